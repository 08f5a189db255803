package router

import (
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
)

// flows counts the requests that groups have answered. Its zero value works, and it is safe for concurrent use. It has a row for each
// group that was ever asked, of which a cluster has few.
type flows struct{ groups sync.Map } // of api.GroupID to *flow

type flow struct{ reads, writes atomic.Uint64 }

// The operations that count as reads and as writes, by their names in the metrics.
var (
	readOps  = map[string]bool{"read": true, "list": true}
	writeOps = map[string]bool{"txn": true, "prepare": true}
)

// count counts an answer.
func (f *flows) count(g api.GroupID, op string) {
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
	} else {
		x.(*flow).writes.Add(1)
	}
}

// Flows returns how many reads and writes each group has answered since the router was made. It does not block.
func (r *Router) Flows() (all []api.Flow) {
	r.flows.groups.Range(func(g, x any) bool {
		f := x.(*flow)
		all = append(all, api.Flow{Group: g.(api.GroupID), Reads: f.reads.Load(), Writes: f.writes.Load()})
		return true
	})
	return all
}
