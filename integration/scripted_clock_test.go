package integration

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/words"
)

// grantors are the clocks of the servers of us-east.
func (p *planet) grantors(do func(c *clock.Simulated)) {
	for _, h := range p.hosts {
		if h.region == "us-east" && h.role == api.RoleServer {
			do(h.clock)
		}
	}
}

// disturbances are what clocks may do without a stale read. Of a holder that is cut off, each says how long after that
// it must go on to serve, and by when a write is acknowledged, in true time.
var disturbances = []struct {
	name         string
	do           func(holder *clock.Simulated, grantors func(func(*clock.Simulated)))
	serves, most time.Duration
}{
	{"nothing", func(*clock.Simulated, func(func(*clock.Simulated))) {}, leaseTerm - keepAlive, outwait},
	{"both drift, as far apart as may be", func(h *clock.Simulated, grantors func(func(*clock.Simulated))) {
		h.SetRate(1 - 0.99*words.ClockRateError)
		grantors(func(c *clock.Simulated) { c.SetRate(1 + 0.99*words.ClockRateError) })
	}, leaseTerm - keepAlive, outwait},
	{"both drift, the other way", func(h *clock.Simulated, grantors func(func(*clock.Simulated))) {
		h.SetRate(1 + 0.99*words.ClockRateError)
		grantors(func(c *clock.Simulated) { c.SetRate(1 - 0.99*words.ClockRateError) })
	}, leaseTerm - keepAlive - leeway, outwait + leeway},
	{"both drift, and the holder is far away", func(h *clock.Simulated, grantors func(func(*clock.Simulated))) {
		h.SetRate(1 - 0.99*words.ClockRateError)
		grantors(func(c *clock.Simulated) { c.SetRate(1 + 0.99*words.ClockRateError) })
	}, leaseTerm - keepAlive - reach, outwait},
	{"BOOTTIME is slewed, slower at the holder", func(h *clock.Simulated, grantors func(func(*clock.Simulated))) {
		h.Slew(0.9)
		grantors(func(c *clock.Simulated) { c.Slew(1.1) })
	}, leaseTerm - keepAlive, outwait},
	{"the holder sleeps", func(h *clock.Simulated, _ func(func(*clock.Simulated))) { h.Suspend() }, leaseTerm - keepAlive, outwait},
	{"the holder's clock jumps ahead", func(h *clock.Simulated, _ func(func(*clock.Simulated))) { h.Jump(time.Minute) }, 0, outwait},
	{"the grantors sleep for two seconds", func(_ *clock.Simulated, grantors func(func(*clock.Simulated))) {
		grantors((*clock.Simulated).Suspend)
		time.AfterFunc(2*time.Second, func() { grantors((*clock.Simulated).Resume) })
	}, leaseTerm - keepAlive, outwait + 2*time.Second},
	{"the grantors' clocks stop for two seconds", func(_ *clock.Simulated, grantors func(func(*clock.Simulated))) {
		grantors((*clock.Simulated).Stop)
		time.AfterFunc(2*time.Second, func() { grantors((*clock.Simulated).Resume) })
	}, leaseTerm - keepAlive, outwait + 2*time.Second},
}

// TestClocks disturbs clocks on both sides while a holder is cut off and its key is written: no read returns the old value
// once the write is acknowledged, and that is not long after W.
func TestClocks(t *testing.T) {
	for i, d := range disturbances {
		if testing.Short() && i%4 != 1 {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			scripted(t, 1, func(p *planet) {
				const key = "us-east/greeting"
				// A holder next to the grantor: nothing but W keeps their clocks apart.
				holder, writer := p.byName["us-east-edge-1"], p.byName["eu-west-edge-1"]
				if strings.HasSuffix(d.name, "far away") {
					holder = p.byName["ap-south-edge-1"]
				}
				p.put(writer, key, "old")
				p.lease(holder, key, "old")
				time.Sleep(2 * keepAlive)
				d.do(holder.clock, p.grantors)
				p.fabric.Isolate(holder.name)
				cut := time.Now()
				w := p.begin(writer, put(key, "new"))
				last := cut
				if d.serves > 0 {
					last, _ = p.lapse(holder, key, "old")
				} else if v, ok := holder.byLease(key); ok {
					p.t.Errorf("it serves %q by a lease that has run out by its own clock", v)
				}
				if served := last.Sub(cut); served < d.serves-leeway {
					p.t.Errorf("it served for %v after it was cut off", served)
				}
				w.ok(p.t)
				if !w.ended.After(last) {
					p.t.Errorf("it served %v after the write was acknowledged", last.Sub(w.ended))
				}
				if took := w.ended.Sub(cut); took > d.most+reach {
					p.t.Errorf("acknowledged %v after the cut, more than %v", took, d.most)
				}
				holder.clock.Resume()
				p.fabric.Rejoin(holder.name)
				p.reads(holder, key, "new")
			})
		})
	}
}

// TestSuspendedEdge: a machine that slept longer than its leases last sees that when it wakes, by BOOTTIME, and serves
// nothing by them, also before it can reach another node.
func TestSuspendedEdge(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const key = "us-east/greeting"
		edge, writer := p.byName["eu-west-edge-1"], p.byName["us-east-edge-1"]
		p.put(writer, key, "old")
		p.lease(edge, key, "old")
		edge.clock.Suspend()
		p.fabric.Isolate(edge.name)
		p.put(writer, key, "new")
		time.Sleep(20 * time.Second)
		edge.clock.Resume()
		if v, ok := edge.byLease(key); ok {
			p.t.Errorf("it woke, and serves %q by a lease", v)
		}
		p.unavailable(edge, get(key), 200*time.Millisecond)
		if res, _ := p.anyAge(edge, key, "old"); res.Age < 15*time.Second {
			p.t.Errorf("after 20 s asleep it says that what it has is %v old", res.Age)
		}
		p.fabric.Rejoin(edge.name)
		p.reads(edge, key, "new")
		p.lease(edge, key, "new")
	})
}

// TestWrongClock: a holder whose clock is slow by more than eps gets no leases once that has been seen over 30 s, an
// alarm names it, and only it. When the clock runs right again it gets leases again.
func TestWrongClock(t *testing.T) {
	skipUnderRace(t, "a long time, also virtually")
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const key, alarms = "us-east/greeting", "edgehold_region_clock_alarms_total"
		wrong, right := p.byName["eu-west-edge-1"], p.byName["ap-south-edge-1"]
		p.put(right, key, "hello")
		p.lease(wrong, key, "hello")
		p.lease(right, key, "hello")
		if said := p.metrics("us-east", alarms); len(said) > 0 {
			p.t.Errorf("alarms before anything is wrong: %q", said)
		}
		wrong.clock.SetRate(0.9)
		time.Sleep(40 * time.Second)
		for range 50 { // the hottest of keys
			if p.reads(wrong, key, "hello").ServedBy == api.ServedByLease {
				p.t.Fatal("its clock is wrong, and it serves by a lease")
			}
			time.Sleep(200 * time.Millisecond)
		}
		p.lease(right, key, "hello")
		said := p.metrics("us-east", alarms)
		if len(said) == 0 {
			p.t.Error("no alarm")
		}
		for _, line := range said {
			if !strings.Contains(line, `node="`+wrong.name+`"`) {
				p.t.Errorf("a false alarm: %s", line)
			}
		}
		wrong.clock.SetRate(1)
		time.Sleep(75 * time.Second)
		p.lease(wrong, key, "hello")
	})
}

// TestLeadersClock: a holder with a good clock keeps its leases while the leader's is slewed as fast as time daemons do it, and
// no alarm names it; and a server whose clock stood still as a leader, and that leads again, suspects no holder because of it.
func TestLeadersClock(t *testing.T) {
	skipUnderRace(t, "a long time, also virtually")
	const key, group, alarms = "us-east/greeting", "us-east.1", "edgehold_region_clock_alarms_total"
	for name, disturb := range map[string]func(p *planet){
		"slewed slower": func(p *planet) { p.leader(group).clock.Slew(0.92) },
		"slewed faster": func(p *planet) { p.leader(group).clock.Slew(1.08) },
		"stood still, and leads again": func(p *planet) {
			leader := p.leader(group)
			p.fabric.Isolate(leader.name)
			leader.clock.Stop()
			p.newLeader(group, leader)
			time.Sleep(10 * time.Second)
			leader.clock.Resume()
			p.fabric.Rejoin(leader.name)
			for p.leader(group) != leader {
				old := p.leader(group)
				p.fabric.Isolate(old.name)
				p.newLeader(group, old)
				p.fabric.Rejoin(old.name)
				time.Sleep(3 * time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scripted(t, 1, func(p *planet) {
				at := p.byName["eu-west-edge-1"]
				p.put(at, key, "v")
				p.lease(at, key, "v")
				time.Sleep(40 * time.Second) // the leader has seen all clocks
				disturb(p)
				p.lease(at, key, "v")
				for range 120 {
					if p.reads(at, key, "v").ServedBy != api.ServedByLease {
						p.t.Fatal("the holder has lost its lease")
					}
					time.Sleep(500 * time.Millisecond)
				}
				for _, said := range p.metrics("", alarms) {
					if strings.Contains(said, group) {
						p.t.Errorf("a false alarm: %s", said)
					}
				}
			})
		})
	}
}

// sum adds up a metric of all nodes.
func (p *planet) sum(name string) (n float64) {
	for _, line := range p.metrics("", name) {
		x, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			p.t.Errorf("the metric %q: %v", line, err)
		}
		n += x
	}
	return n
}

// observer is a token that may read the metrics, which a planet on TLS asks for.
func (p *planet) observer() api.Secret {
	p.t.Helper()
	if p.observing != "" {
		return p.observing
	}
	var err error
	for _, h := range p.hosts {
		n := h.running()
		if h.role != api.RoleServer || n == nil {
			continue
		}
		var made *api.NewAccessToken
		if made, err = n.CreateAccessToken(within(p.t, time.Minute), api.AccessTokenSpec{Name: "observer", Policies: []string{"observe"}}, 30*time.Second); err == nil {
			p.observing = api.Secret(made.Token)
			return p.observing
		}
	}
	p.t.Fatalf("no server makes a token: %v", err)
	return ""
}

// metrics are the lines of a metric, of all servers of the region, or of all nodes if the region is "".
func (p *planet) metrics(region, name string) (lines []string) {
	p.t.Helper()
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		node, _, _ := net.SplitHostPort(address)
		return p.fabric.Dial(ctx, "a scraper", node)
	}, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // in a bubble it is long before any certificate
	for _, h := range p.hosts {
		n := h.running()
		if region != "" && (h.region != region || h.role != api.RoleServer) || n == nil {
			continue
		}
		r, err := http.NewRequestWithContext(within(p.t, 10*time.Second), http.MethodGet, n.URL()+"/metrics", nil)
		if err != nil {
			p.t.Fatal(err)
		}
		if p.ids != nil {
			r.Header.Set("Authorization", "Bearer "+p.observer().Reveal())
		}
		res, err := (&http.Client{Transport: t}).Do(r)
		if err != nil {
			p.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			p.t.Fatalf("metrics of %s: %s, %v", h.name, res.Status, err)
		}
		for line := range strings.SplitSeq(string(body), "\n") {
			if strings.HasPrefix(line, name) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
