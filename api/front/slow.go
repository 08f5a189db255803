package front

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe/slow"
	"github.com/edgehold/edgehold/api/observe/trace"
)

// Note collects what a request has asked of a [Caller], for the list of slow requests. The zero Note is ready. It belongs to one
// goroutine, and refers to what the request has read until it is zero again.
type Note struct {
	key    api.Key
	keys   int
	by     string
	group  api.GroupID
	timing api.Timing
	err    error
	used   bool
}

// Noting returns the Caller with a note of what is read and done by it; nil notes nothing. n must not be used by two requests at once: a
// Caller that serves several has none.
func (c Caller) Noting(n *Note) Caller {
	c.note = n
	return c
}

// Source returns what answered: "lease", "owner" or "stale"; "" if nothing did.
func (n *Note) Source() string { return n.by }

// NoteRead notes a read and its answer. A nil Note notes nothing.
func (n *Note) NoteRead(r *api.ReadRequest, out *api.ReadResult, err error) {
	if n == nil || len(r.Keys) == 0 {
		return
	}
	n.answered(r.Keys[0], len(r.Keys), err)
	if err == nil {
		n.by, n.group = out.ServedBy.String(), out.Group
		n.add(&out.Timing)
	}
}

// NoteTxn notes a transaction and its result. A nil Note notes nothing.
func (n *Note) NoteTxn(t *api.Txn, res *api.TxnResult, err error) {
	if n == nil {
		return
	}
	keys := len(t.If) + len(t.Then) + len(t.Else)
	switch {
	case len(t.Then) > 0:
		n.answered(t.Then[0].Key, keys, err)
	case len(t.If) > 0:
		n.answered(t.If[0].Key, keys, err)
	case len(t.Else) > 0:
		n.answered(t.Else[0].Key, keys, err)
	default:
		return
	}
	if err == nil {
		n.by, n.group = api.ServedByOwner.String(), res.Group
		n.add(&res.Timing)
	}
}

// noteList notes a list and its answer.
func (n *Note) noteList(r *api.ListRequest, out *api.ListResult, err error) {
	if n == nil {
		return
	}
	n.answered(r.Range.Start, 1+len(r.Also), err)
	if err == nil {
		n.by = api.ServedByOwner.String()
		if out.Stale {
			n.by = api.ServedByStale.String()
		}
	}
}

func (n *Note) answered(k api.Key, keys int, err error) {
	if !n.used {
		n.key = k
	}
	n.used, n.err = true, err
	n.keys += keys
}

func (n *Note) add(t *api.Timing) {
	n.timing.Route += t.Route
	n.timing.Revoke += t.Revoke
	n.timing.Commit += t.Commit
	if len(t.Delayed) > 0 {
		n.timing.Delayed = t.Delayed
	}
}

// Slow remembers a request if it is one of the slowest at present. ctx is that of the request. Only requests that have asked something
// of the store are remembered. A quick one costs a comparison.
func (b *Backend) Slow(ctx context.Context, l Labels, n *Note, started time.Time, took time.Duration) {
	ended := started.Add(took)
	if !n.used || !b.slow.Takes(ended, took) {
		return
	}
	r := api.SlowRequest{
		Front: l.Front, Route: l.Route, Key: n.key, Node: b.Node, Started: started.UTC().Round(0), TookMS: slow.Millis(took),
		Source: n.by, Group: n.group, Parts: partsOf(took, &n.timing), TraceID: trace.ID(ctx),
	}
	if n.keys > 1 {
		r.Keys = n.keys
	}
	if n.err != nil {
		r.Source, r.Group, r.Error = "", "", api.CodeOf(n.err)
	}
	b.slow.Add(ended, r)
}

// IsSlow reports whether a request would be one of the slowest at present, for a front that makes its Note only then.
func (b *Backend) IsSlow(started time.Time, took time.Duration) bool {
	return b.slow.Takes(started.Add(took), took)
}

// partsOf returns where the time of a request went.
func partsOf(took time.Duration, t *api.Timing) []api.SlowPart {
	var parts []api.SlowPart
	rest := took
	for _, p := range [3]struct {
		what string
		d    time.Duration
	}{{"route", t.Route}, {"revoke", t.Revoke}, {"commit", t.Commit}} {
		if p.d <= 0 {
			continue
		}
		rest -= p.d
		parts = append(parts, api.SlowPart{What: p.what, MS: slow.Millis(p.d)})
	}
	for _, d := range t.Delayed {
		parts = append(parts, api.SlowPart{What: "holder", Node: d.Node, MS: slow.Millis(d.Wait)})
	}
	if rest > 0 {
		parts = append(parts, api.SlowPart{What: "node", MS: slow.Millis(rest)})
	}
	return parts
}

// hotTxn counts the keys of a transaction that the caller may carry out.
func (b *Backend) hotTxn(t *api.Txn) {
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		for i := range branch {
			if branch[i].Writes() {
				b.hot.Write(branch[i].Key)
			} else if branch[i].Kind == api.OpGet {
				b.hot.Read(branch[i].Key)
			}
		}
	}
}

// HasSlow reports whether the node answers about slow requests.
func (b *Backend) HasSlow() bool { return b.slowRequests != nil }

// SlowRequests implements api.Slow. It needs [Observe]. Keys that the caller may not list are left out of the answer, and the row says
// so.
func (c Caller) SlowRequests(ctx context.Context, node api.NodeID) (*api.SlowReport, error) {
	if err := c.May("slow", Observe, string(node)); err != nil {
		return nil, err
	}
	out, err := c.backend.slowRequests.SlowRequests(ctx, node)
	if err != nil {
		return nil, err
	}
	c.HideKeys(out)
	return out, nil
}

// HideKeys takes the keys that the caller may not list out of a report. A list over all keys has no key to hide.
func (c Caller) HideKeys(r *api.SlowReport) {
	a := c.backend.access
	if a == nil {
		return
	}
	for i := range r.Slow {
		if x := &r.Slow[i]; guardHideSlowKeys && !x.Hidden && x.Key != "" && !a.Holds(c.principal, List, x.Key) {
			x.Key, x.Hidden = "", true
		}
	}
	for i := range r.Hot {
		if x := &r.Hot[i]; guardHideSlowKeys && !x.Hidden && !a.Holds(c.principal, List, x.Key) {
			x.Key, x.Hidden = "", true
		}
	}
}
