package leasecache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// peer is one server node: a lease stream, opened again whenever it breaks, and the keep-alives sent on it. A break by
// itself changes nothing: sessions run on until their terms end.
type peer struct {
	edge   *Cache
	node   api.NodeID
	stop   context.CancelFunc
	groups atomic.Pointer[[]api.GroupID] // groups that have a voter there
	kick   chan struct{}                 // capacity 1: send a keep-alive now

	mu   sync.Mutex
	sent [keepAlivesKept]sentKeepAlive // a ring of the newest keep-alives
	next int

	answers answers
}

// sentKeepAlive is a keep-alive against which an answer is measured.
type sentKeepAlive struct {
	seq    uint64
	at     words.ClockSample // before it was sent
	covers map[api.GroupID]*session
}

const (
	keepAlivesKept    = 64
	streamBackoff     = 50 * time.Millisecond
	maxStreamBackoff  = 2 * time.Second
	streamOpenTimeout = 5 * time.Second
	// maxAcks bounds the acknowledgements that wait for a stream. The peer asks again for those over the bound.
	maxAcks = 1024
)

// run holds a stream to the peer until ctx ends.
func (p *peer) run(ctx context.Context) {
	backoff := streamBackoff
	for ctx.Err() == nil {
		began := time.Now()
		p.stream(ctx)
		if time.Since(began) > maxStreamBackoff {
			backoff = streamBackoff
		}
		t := time.NewTimer(p.edge.cfg.jitter(backoff))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		backoff = min(2*backoff, maxStreamBackoff)
	}
}

// stream opens one stream and serves it until it breaks.
func (p *peer) stream(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tooLong := time.AfterFunc(streamOpenTimeout, cancel)
	ls, err := p.edge.cfg.Open(ctx, p.node)
	if err != nil {
		tooLong.Stop()
		return
	}
	p.edge.meter.streams.Add(1)
	defer p.edge.meter.streams.Add(-1)
	acks := make(chan *words.RevokeAck, maxAcks)
	var receiving sync.WaitGroup
	if tooLong.Stop() {
		receiving.Go(func() {
			defer cancel()
			p.receive(ls, acks)
		})
		p.send(ctx, ls, acks)
	}
	cancel()
	_ = ls.Close() // the stream is given up in any case
	receiving.Wait()
}

// send sends acknowledgements as they come and a keep-alive every H, the first at once.
func (p *peer) send(ctx context.Context, ls words.LeaseStream, acks <-chan *words.RevokeAck) {
	every := time.NewTicker(p.edge.cfg.KeepAlive)
	defer every.Stop()
	err := p.sendKeepAlive(ls)
	for err == nil {
		select {
		case a := <-acks:
			err = ls.SendAck(a)
		case <-every.C:
			err = p.sendKeepAlive(ls)
		case <-p.kick:
			err = p.sendKeepAlive(ls)
		case <-ctx.Done():
			return
		}
	}
}

// sendKeepAlive sends one message for all sessions in groups that have a voter at the peer. It sends none if there are
// no such sessions.
func (p *peer) sendKeepAlive(ls words.LeaseStream) error {
	e := p.edge
	k := &words.KeepAlive{Node: e.cfg.Node, Nonce: e.cfg.Nonce, Seq: e.seq.Add(1)}
	covers := make(map[api.GroupID]*session)
	for _, id := range *p.groups.Load() {
		g := e.lookupGroup(id)
		if g == nil {
			continue
		}
		if s := g.live(); s != nil {
			covers[id] = s
			k.Sessions = append(k.Sessions, words.SessionKeepAlive{Group: id, Session: s.id})
		}
	}
	if len(k.Sessions) == 0 {
		return nil
	}
	k.Clock = e.cfg.Clock.Now() // before it is sent: the terms count from here
	p.mu.Lock()
	p.sent[p.next] = sentKeepAlive{seq: k.Seq, at: k.Clock, covers: covers}
	p.next = (p.next + 1) % keepAlivesKept
	p.mu.Unlock()
	e.meter.keepAlives.Add(1)
	return ls.SendKeepAlive(k)
}

// sentAs returns the keep-alive with the number. If that is no longer known, it returns one that covers nothing.
func (p *peer) sentAs(seq uint64) sentKeepAlive {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.sent {
		if k.seq == seq {
			return k
		}
	}
	return sentKeepAlive{}
}

// receive handles the messages on the stream until it breaks.
func (p *peer) receive(ls words.LeaseStream, acks chan<- *words.RevokeAck) {
	for {
		ev, err := ls.Recv()
		if err != nil {
			return
		}
		switch {
		case ev.Revoke != nil:
			spans := p.edge.revocationSpans(ev.Revoke)
			p.edge.revoked(ev.Revoke.Group, ev.Revoke.Session, ev.Revoke.Leases, acks)
			for _, s := range spans {
				s.End()
			}
		case ev.Leads != nil:
			p.leads(*ev.Leads)
		default:
			p.statuses(ev.Statuses, acks)
		}
	}
}

// leads notes that the peer leads a group. Calls that wait for a leader go on at once.
func (p *peer) leads(l words.Leads) {
	if g := p.edge.lookupGroup(l.Group); g != nil {
		g.wakeUp()
	}
	signal(p.kick)
	p.edge.cfg.OnLeads(l)
}

// statuses handles the answers to keep-alives. In each answer it first handles the leases to give up.
func (p *peer) statuses(all []words.SessionStatus, acks chan<- *words.RevokeAck) {
	e := p.edge
	now := e.cfg.Clock.Now()
	if len(all) > 0 {
		if k := p.sentAs(all[0].Seq); k.covers != nil {
			p.answers.add(now.HolderElapsed(k.at), time.Now())
		}
	}
	for i := range all {
		st := &all[i]
		if len(st.Pending) != 0 {
			e.revoked(st.Group, st.Session, st.Pending, acks)
		}
		g := e.lookupGroup(st.Group)
		if g == nil {
			continue
		}
		g.heard(st.Session, st.DedupEpoch)
		s := g.live()
		if s == nil || s.id != st.Session {
			continue
		}
		e.cfg.OnHeard(g.id)
		if st.Dead {
			g.died(s, now)
			continue
		}
		k := p.sentAs(st.Seq)
		if k.covers[g.id] != s {
			continue // not an answer to a keep-alive that covered this session
		}
		g.tells(st.Now, k.at)
		if st.Extended {
			s.extend(k.at)
			e.meter.sessions[sessionExtended].Add(1)
			e.meter.answered(now.HolderElapsed(k.at))
			g.reconcile(s, st.Leases, now)
		}
	}
}
