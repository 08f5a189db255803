package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// seeds returns how many runs there are: a third of them is lossy. Each takes 30 ms.
func seeds() uint64 {
	if testing.Short() {
		return 3
	}
	return 24
}

// driver changes the world at random for a while: writes, changes of leaders, moves back and forth, and, if lossy, trims and forgets.
type driver struct {
	w     *world
	rnd   *rand.Rand
	lossy bool
	spans []*span
}

// span is a range of the world with its owners.
type span struct {
	of    api.Range
	epoch uint64
	own   []api.GroupID
}

func newDriver(seed uint64, lossy bool) *driver {
	return &driver{newWorld("g", "h"), rand.New(rand.NewPCG(seed, 1)), lossy, []*span{{prefix(""), 1, []api.GroupID{"g", "h"}}}}
}

// newWideDriver has two ranges whose owners change one by one, and may be the same. What it writes at once is of both, if it can be.
func newWideDriver(seed uint64, lossy bool) *driver {
	d := newDriver(seed, lossy)
	d.w.divide("d/3")
	d.spans = []*span{{api.Range{End: "d/3"}, 1, []api.GroupID{"g", "h"}}, {api.Range{Start: "d/3"}, 1, []api.GroupID{"g", "h"}}}
	return d
}

func (d *driver) key() api.Key { return api.Key(fmt.Sprintf("d/%d/%d", d.rnd.IntN(6), d.rnd.IntN(4))) }

func (d *driver) write() {
	switch d.rnd.IntN(4) {
	case 0:
		k, other := d.key(), d.key()
		if len(d.spans) == 1 || !d.w.write(map[api.Key]string{k: fmt.Sprint(d.rnd.Uint32()), other + "x": "with it"}) {
			d.w.write(map[api.Key]string{k: fmt.Sprint(d.rnd.Uint32()), k + "x": "with it", k + "y": "and it"})
		}
	case 1:
		d.w.put(d.key(), "")
	default:
		d.w.put(d.key(), fmt.Sprint(d.rnd.Uint32()))
	}
}

func (d *driver) step() {
	switch n := d.rnd.IntN(100); {
	case n < 4:
		d.w.fail()
	case n < 7:
		d.move()
	case d.lossy && n < 9:
		own := d.spans[d.rnd.IntN(len(d.spans))].own
		d.w.trim(own[d.rnd.IntN(len(own))])
	case d.lossy && n < 10:
		d.w.forget([]api.GroupID{"g", "h", "i", "j", "k"}[d.rnd.IntN(5)])
	default:
		d.write()
	}
	time.Sleep(time.Duration(d.rnd.IntN(50)) * time.Millisecond)
}

// move gives the keys of a range to other groups, step by step.
func (d *driver) move() {
	x := d.spans[d.rnd.IntN(len(d.spans))]
	to := [][]api.GroupID{{"g", "h"}, {"i", "j", "k"}, {"i"}, {"k", "g"}}[d.rnd.IntN(4)]
	x.epoch++
	for _, g := range x.own {
		d.w.cede(x.of, g, to...)
		for range 3 {
			d.write()
		}
		time.Sleep(time.Duration(d.rnd.IntN(30)) * time.Millisecond)
	}
	d.w.adopt(x.of, x.epoch, to...)
	for range d.rnd.IntN(4) {
		d.write()
	}
	x.own = to
	time.Sleep(time.Duration(d.rnd.IntN(30)) * time.Millisecond)
	d.w.learn()
}

// roam watches at changing nodes: after some batches it breaks off, forgets what came after the last id, and continues there.
func roam(ctx context.Context, t *testing.T, hubs []*Hub, r api.WatchRequest, seed uint64) *client {
	rnd := rand.New(rand.NewPCG(seed, 2))
	all := &client{t: t}
	for ctx.Err() == nil {
		r.From = all.cursor
		s, err := hubs[rnd.IntN(len(hubs))].Watch(ctx, &r)
		if err != nil {
			if api.CodeOf(err) != api.CodeUnavailable {
				t.Error(err)
			}
			continue
		}
		for range rnd.IntN(30) {
			b, err := s.Next()
			if err != nil {
				break
			}
			all.keep(b)
			if rnd.IntN(10) == 0 {
				time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
			}
		}
		_ = s.Close()
		all.log = all.log[:all.whole]
	}
	return all
}

// TestCursorWhole: what watchers at any nodes are told before an id and after its resume is all that happened, or a gap says that it is
// not: over changes of leaders, moves, trims and lost receipts.
func TestCursorWhole(t *testing.T) {
	roamed(t, newDriver, prefix("d/"), prefix("d/"), prefix("d/3/"), prefix("d/1"), api.Range{Start: "d/2/2", End: "d/4/2"})
}

// TestCursorWholeOverRanges: the same of two ranges that move one by one, and what a group wrote at once in both comes together.
func TestCursorWholeOverRanges(t *testing.T) {
	roamed(t, newWideDriver, prefix("d/"), prefix("d/"), prefix("d/3/"), api.Range{Start: "d/2/2", End: "d/4/2"})
}

func roamed(t *testing.T, newDriver func(seed uint64, lossy bool) *driver, ranges ...api.Range) {
	for seed := range seeds() {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDriver(seed, seed%3 == 2)
				hubs := []*Hub{d.w.hub(t), d.w.hub(t)}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var all []*client
				var wg sync.WaitGroup
				for i, r := range ranges {
					all = append(all, nil)
					wg.Go(func() {
						all[i] = roam(ctx, t, hubs, api.WatchRequest{Range: r}, seed*100+uint64(i))
					})
				}
				synctest.Wait()
				for range 300 {
					d.step()
				}
				time.Sleep(time.Minute)
				cancel()
				wg.Wait()
				for i, c := range all {
					d.w.judge(t, c, ranges[i])
				}
			})
		})
	}
}

// TestListThenWatch: a list and the watch beside it have the state of the range, no key goes back on the way, and after a gap all begins
// again.
func TestListThenWatch(t *testing.T) {
	for seed := range seeds() {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { listThenWatch(t, seed) })
		})
	}
}

func listThenWatch(t *testing.T, seed uint64) {
	d := newDriver(seed, seed%3 == 2)
	for range 40 {
		d.write()
	}
	p := &pagedWorld{world: d.w, read: map[api.Key]api.Version{}}
	h, err := New(Config{Feeder: d.w, Lister: p, Map: d.w.placement})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	done := make(chan *mirror)
	go func() {
		time.Sleep(200 * time.Millisecond)
		m := follow(t, h, api.WatchRequest{Range: prefix("d/")})
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
			m.next(p.has)
		}
		if !m.ready || m.cursor == "" {
			t.Error("the list was never complete")
		}
		done <- m
	}()
	for range 300 {
		d.step()
	}
	m := <-done
	d.w.same(t, prefix("d/"), m.values())
	if m.resets > 0 && !d.lossy {
		t.Errorf("%d resets for no reason", m.resets)
	}
}

// pagedWorld lists three keys a page, and notes the version that each key had: for one that was absent, the position.
type pagedWorld struct {
	*world
	read map[api.Key]api.Version
}

func (p *pagedWorld) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	small := *q
	small.Limit = 3
	time.Sleep(15 * time.Millisecond)
	res, err := p.world.List(ctx, &small)
	for err != nil && ctx.Err() == nil { // it is moving
		time.Sleep(10 * time.Millisecond)
		res, err = p.world.List(ctx, &small)
	}
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	for i := range 6 {
		for j := range 4 {
			for _, end := range []string{"", "x", "y"} {
				k := api.Key(fmt.Sprintf("d/%d/%d%s", i, j, end))
				for _, at := range res.At {
					if has(at.Piece, k) && (!res.More || k <= res.Entries[len(res.Entries)-1].Key) {
						p.read[k] = api.Version{Epoch: at.Epoch, Index: at.At.Index}
					}
				}
			}
		}
	}
	for _, e := range res.Entries {
		delete(p.read, e.Key) // versions tell
	}
	p.mu.Unlock()
	time.Sleep(15 * time.Millisecond)
	return res, nil
}

// has reports whether a page that was read lacked the key at that version or a later one.
func (p *pagedWorld) has(e api.Event) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, absent := p.read[e.Key]
	return absent && e.Version.Compare(v) <= 0
}
