package integration

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestCutOffHolder: a holder that is cut off delays a write to what it holds at most W after its last renewal; the write
// names the holder that delayed it, and the next one is not delayed.
func TestCutOffHolder(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const key = "us-east/greeting"
		holder, writer := p.byName["eu-west-edge-1"], p.byName["us-east-edge-1"]
		p.put(writer, key, "one")
		p.lease(holder, key, "one")
		sid := p.session(holder, key)
		p.fabric.Isolate(holder.name)
		cut := time.Now() // no renewal is later
		time.Sleep(500 * time.Millisecond)
		w := p.begin(writer, put(key, "two"))
		last, _ := p.lapse(holder, key, "one")
		w.ok(p.t)
		if waited := w.ended.Sub(cut); waited > outwait+leeway {
			p.t.Errorf("acknowledged %v after the holder was cut off; W is %v", waited, outwait)
		}
		if !w.ended.After(last) {
			p.t.Errorf("acknowledged %v before the holder stopped to serve", last.Sub(w.ended))
		}
		p.delayedBy(w, holder)
		p.notDelayed(writer, key)
		if s, ok := p.leader("us-east.1").running().Machine("us-east.1").Session(sid); ok {
			p.t.Errorf("the session that was outwaited lives on: %+v", s)
		}
	})
}

// TestSilentHolder: a holder that renews and does not answer revocations, because nothing of the owner's region reaches
// it, delays a write at most W and the second after which it is renewed no more.
func TestSilentHolder(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const key = "us-east/greeting"
		holder, writer := p.byName["eu-west-edge-1"], p.byName["us-east-edge-1"]
		p.put(writer, key, "one")
		p.lease(holder, key, "one")
		for _, h := range p.hosts {
			if h.region == "us-east" {
				p.fabric.Cut(h.name, holder.name)
			}
		}
		w := p.begin(writer, put(key, "two"))
		took := w.ok(p.t)
		if took > outwait+words.SuspectAfterNoAnswer+leeway {
			p.t.Errorf("the write took %v; W is %v", took, outwait)
		}
		if took <= outwait {
			p.t.Errorf("the write took %v, less than W: the holder was not renewed while the write waited", took)
		}
		p.delayedBy(w, holder)
		p.notDelayed(writer, key)
	})
}

// delayedBy demands that the write says that this holder alone delayed it, and for how long.
func (p *planet) delayedBy(w *writing, holder *host) {
	p.t.Helper()
	took, d := w.ended.Sub(w.began), w.res.Timing.Delayed
	if len(d) != 1 || string(d[0].Node) != holder.name || d[0].Wait > took || d[0].Wait < took-leeway {
		p.t.Errorf("a write that took %v says that it was delayed by %v; it was %s", took, d, holder.name)
	}
}

func (p *planet) notDelayed(writer *host, key api.Key) {
	p.t.Helper()
	w := p.begin(writer, put(key, "three"))
	if took := w.ok(p.t); took > leeway || len(w.res.Timing.Delayed) > 0 {
		p.t.Errorf("the next write took %v and says %v", took, w.res.Timing.Delayed)
	}
}

// TestElectionsDoNotRestartTheWait: while a write waits for a holder that is cut off, its group changes its leader three
// times. It still ends W and a second after it began, or as soon as there is a leader again.
func TestElectionsDoNotRestartTheWait(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const key = "us-east/greeting"
		const term = 12 * time.Second // long enough for three elections
		holder, writer := p.byName["eu-west-edge-1"], p.byName["us-east-edge-1"]
		if _, err := p.byName["us-east-1"].running().SetSetting(p.t.Context(), "edge-lease-max", term.String(), false); err != nil {
			p.t.Fatal(err)
		}
		kill(holder)
		holder.startAs(func(c *cluster.Config) { c.LeaseTerm, c.KeepAlive = term, keepAlive })
		p.ready(10 * time.Second)
		p.put(writer, key, "one")
		p.lease(holder, key, "one")
		s, ok := p.leader("us-east.1").running().Machine("us-east.1").Session(p.session(holder, key))
		if !ok || s.Term != term {
			p.t.Fatalf("the holder's session is %+v", s)
		}
		wait := words.GrantorWait(s.Term, s.Pause)

		p.fabric.Isolate(holder.name)
		txn := put(key, "two")
		txn.ID = api.RequestID{Client: api.ClientID{1}, Seq: 1}
		w := p.begin(writer, txn)
		p.soon(2*time.Second, "all replicas know that the holder is suspect", func() bool {
			known := 0
			for _, h := range p.hosts {
				if n := h.running(); h.region == "us-east" && h.role == api.RoleServer {
					if s, ok := n.Machine("us-east.1").Session(p.session(holder, key)); ok && s.Suspect {
						known++
					}
				}
			}
			return known == 3
		})
		var without time.Duration // all the time without a leader
		for range 3 {
			old, began := p.leader("us-east.1"), time.Now()
			p.fabric.Isolate(old.name)
			p.newLeader("us-east.1", old)
			without += time.Since(began)
			p.fabric.Rejoin(old.name)
			time.Sleep(time.Second)
		}
		led := time.Now().Add(-time.Second)
		took := w.ok(p.t)
		if most := wait + words.SuspectAfterNoAnswer + without + leeway; took > most {
			p.t.Errorf("the write took %v, more than %v: W is %v, and there was no leader for %v", took, most, wait, without)
		}
		// Where the wait was over before the last election, only that was left to wait for.
		if most := max(wait+words.SuspectAfterNoAnswer, led.Sub(w.began)) + time.Second; took > most {
			p.t.Errorf("the write took %v: elections restart the wait of %v", took, wait)
		}
		p.t.Logf("three elections in %v, and the write took %v; W is %v", without, took, wait)
	})
}
