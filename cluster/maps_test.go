package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/peer/peertest"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// fakeMeta is a meta group that never loses its leader.
type fakeMeta struct {
	now  *placement.Map
	roll *placement.Roll
	err  error
	got  placement.Command
}

func (m *fakeMeta) Map() *placement.Map                         { return m.now }
func (m *fakeMeta) Roll() *placement.Roll                       { return m.roll }
func (m *fakeMeta) Get(context.Context) (*placement.Map, error) { return m.now, m.err }
func (m *fakeMeta) Wait(context.Context, meta.Seen)             {}
func (m *fakeMeta) Heard() time.Time                            { return time.Now().Add(-time.Second) }
func (m *fakeMeta) Status() api.GroupStatus                     { return api.GroupStatus{Group: ident.MetaGroup} }
func (m *fakeMeta) Propose(_ context.Context, c placement.Command) (meta.Applied, error) {
	m.got = c
	return meta.Applied{Map: m.now, Roll: m.roll.Revision}, m.err
}

func mapOf(t *testing.T, version uint64) *placement.Map {
	m := planned(t, "s1")
	m.Version = version
	return m
}

// viewOf is a node's view of the map; nil is none.
func viewOf(t *testing.T, m *placement.Map) *meta.View {
	t.Helper()
	v, err := meta.OpenView(meta.Files{}, m)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMapCrosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := peertest.New(t)
		voter := &fakeMeta{now: mapOf(t, 5), roll: &placement.Roll{Revision: 3}}
		start := func(id api.NodeID, view *placement.Map, m metaGroup) *peertest.Station {
			x := mapServer{self: id, view: viewOf(t, view), meta: func() metaGroup { return m }, suspends: &suspends{clock: clock.NewSimulated(time.Now)}}
			return w.Start(id, peer.ServerConfig{}, nil, x.register)
		}
		s, e, c := start("s", nil, voter), start("e", mapOf(t, 4), nil), start("c", nil, nil)
		defer s.Close()
		defer e.Close()
		defer c.Close()
		source := mapsAt{c.Pool}
		news, err := source.Poll(t.Context(), "s", meta.Seen{Map: 4, Roll: 3})
		if err != nil || news.Map == nil || news.Map.Version != 5 || news.Map.Check() != nil || news.Roll != nil {
			t.Errorf("a voter polled: %+v, %v", news, err)
		}
		if !news.Known || news.Fresh != -time.Second {
			t.Errorf("a voter that heard its leader a second ago says %v, %v", news.Known, news.Fresh)
		}
		if news, err := source.Poll(t.Context(), "s", meta.Seen{Map: 5, Roll: 2}); err != nil || news.Map != nil || news.Roll == nil || news.Roll.Roll.Revision != 3 {
			t.Errorf("news of the roll: %+v, %v", news, err)
		}
		if news, err := source.Poll(t.Context(), "s", meta.Seen{Map: 5, Roll: 3}); err != nil || news.Map != nil || news.Roll != nil {
			t.Errorf("without news: %+v, %v", news, err)
		}
		if news, err := source.PollAddress(t.Context(), "e", meta.Seen{}); err != nil || news.Map.Version != 4 || news.Known {
			t.Errorf("a view polled: %+v, %v", news, err)
		}
		began := time.Now()
		if news, err := source.Poll(t.Context(), "e", meta.Seen{Map: 4}); err != nil || news.Map != nil || time.Since(began) < pollPatience {
			t.Errorf("a view without news: %+v, %v after %v", news, err, time.Since(began))
		}
		began = time.Now()
		if news, err := source.Poll(t.Context(), "c", meta.Seen{}); !errors.Is(err, api.CodeUnavailable) || news.Map != nil || time.Since(began) > time.Second {
			t.Errorf("a node that knows nothing: %+v, %v after %v", news, err, time.Since(began))
		}
		if now, err := source.Get(t.Context(), "s"); err != nil || now.Version != 5 {
			t.Errorf("got %+v, %v", now, err)
		}
		if _, err := source.Get(t.Context(), "e"); !errors.Is(err, api.CodeNotLeader) {
			t.Errorf("got from an edge: %v", err)
		}
		command := placement.SetRange{Range: api.Range{Start: "k\xff"}, Epoch: 3, Region: "r", Groups: []api.GroupID{"r.1"}}
		if done, err := source.propose(t.Context(), "s", command); err != nil || done.Map.Version != 5 || done.Roll != 3 {
			t.Errorf("proposed: %+v, %v", done, err)
		}
		if got, ok := voter.got.(placement.SetRange); !ok || got.Range != command.Range || got.Epoch != 3 {
			t.Errorf("the command arrived as %+v", voter.got)
		}
		voter.err = &api.Error{Code: api.CodeNotLeader, Leader: "x"}
		if _, err := source.propose(t.Context(), "s", command); api.AsError(err).Leader != "x" {
			t.Errorf("elsewhere: %v", err)
		}
		if _, err := source.propose(t.Context(), "e", command); !errors.Is(err, api.CodeNotLeader) {
			t.Errorf("at an edge: %v", err)
		}
	})
}

// TestSuspendedVoterTellsNoAge: a machine that was suspended does not report to other nodes that their rolls are as young as its process
// believes. A voter is silent about it for a while longer, in which it may not know yet that it leads no more.
//
// Attack 34: an edge behind a voter that was suspended and is cut off.
func TestSuspendedVoterTellsNoAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := clock.NewSimulated(time.Now)
		voter := &fakeMeta{now: mapOf(t, 5), roll: &placement.Roll{Revision: 3}} // it heard its leader a second ago, by its process
		view := viewOf(t, mapOf(t, 5))
		for _, x := range []mapServer{
			{self: "voter", view: viewOf(t, nil), meta: func() metaGroup { return voter }, suspends: &suspends{clock: sim}},
			{self: "other", view: view, meta: func() metaGroup { return nil }, suspends: &suspends{clock: sim}},
		} {
			known := func(after time.Duration) bool {
				time.Sleep(after)
				answer, err := x.poll(t.Context(), &poll{Since: 5, SinceRoll: 3, AtOnce: true})
				if err != nil {
					t.Fatal(err)
				}
				return answer.Known
			}
			hear := func() {
				if err := view.UpdateRoll(nil, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			hear()
			if !known(0) {
				t.Errorf("%s does not know the age at first", x.self)
			}
			sim.Jump(2 * time.Hour) // a suspend
			if known(0) || known(900*time.Millisecond) {
				t.Errorf("%s passes on the age of its process after a suspend", x.self)
			}
			if x.meta() != nil && known(4*time.Second) {
				t.Errorf("%s believes in its leader already", x.self)
			}
			hear()
			if !known(2 * time.Second) {
				t.Errorf("%s does not know the age when it has been heard again", x.self)
			}
		}
	})
}
