package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
)

// flows counts the requests that groups have answered. Its zero value works, and it is safe for concurrent use. It has a row for each
// group that was ever asked, of which a cluster has few.
type flows struct{ groups sync.Map } // of api.GroupID to *flow

// flow is the answers of a group, and the microseconds for which they were awaited, together.
type flow struct{ reads, writes, readTime, writeTime atomic.Uint64 }

// The operations that count as reads and as writes, by their names in the metrics.
var (
	readOps  = map[string]bool{"read": true, "list": true}
	writeOps = map[string]bool{"txn": true, "prepare": true}
)

// count counts an answer, which was awaited for took.
func (f *flows) count(g api.GroupID, op string, took time.Duration) {
	reads, writes := readOps[op], writeOps[op]
	if !reads && !writes {
		return
	}
	x, ok := f.groups.Load(g)
	if !ok {
		x, _ = f.groups.LoadOrStore(g, new(flow))
	}
	if reads {
		x.(*flow).reads.Add(1)
		x.(*flow).readTime.Add(uint64(max(0, took.Microseconds())))
	} else {
		x.(*flow).writes.Add(1)
		x.(*flow).writeTime.Add(uint64(max(0, took.Microseconds())))
	}
}

// Flows returns how many reads and writes each group has answered since the router was made. It does not block.
func (r *Router) Flows() (all []api.Flow) {
	r.flows.groups.Range(func(g, x any) bool {
		f := x.(*flow)
		all = append(all, api.Flow{Group: g.(api.GroupID), Reads: f.reads.Load(), Writes: f.writes.Load(), ReadUs: f.readTime.Load(), WriteUs: f.writeTime.Load()})
		return true
	})
	return all
}
