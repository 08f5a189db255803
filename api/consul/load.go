package consul

import (
	"context"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

const (
	// maxKeys bounds the keys that one transaction names, so that they and their sessions are read at once.
	maxKeys = 150
	// maxLoads bounds how often rows are read again because their locks have come to other sessions meanwhile.
	maxLoads = 8
)

// view is rows with the sessions that their locks name, as they were at one instant.
type view struct {
	cells    map[string]*cell
	sessions map[string]*api.Entry // by id
	delays   map[string]bool       // by id of a session: its lock-delay lasts
}

// load reads rows by their names, and sessions by their ids. Leases answer if they can. It reads again, with further sessions, until
// it has all that the locks of the rows name.
func load(ctx context.Context, s front.Caller, c api.Consistency, names, ids []string) (*view, error) {
	ids = slices.Clone(ids)
	var out api.ReadResult
	for range maxLoads {
		q := api.ReadRequest{Snapshot: true, Consistency: c}
		for _, name := range names {
			q.Keys = append(q.Keys, keysOf(name)...)
		}
		for _, id := range ids {
			q.Keys = append(q.Keys, sessionKey(id), delayKey(id))
		}
		if err := s.Read(ctx, &q, &out); err != nil {
			return nil, err
		}
		v := viewOf(names, ids, out.Entries)
		more := v.missing()
		if len(more) == 0 {
			return v, nil
		}
		ids = append(ids, more...)
	}
	return nil, busy("the locks of the keys change hands too often")
}

func busy(why string) error { return &api.Error{Code: api.CodeUnavailable, Op: "txn", Hint: why} }

// viewOf makes a view of what was read. Its entries belong to it.
func viewOf(names, ids []string, entries []api.Entry) *view {
	entries = slices.Clone(entries)
	v := &view{cells: map[string]*cell{}, sessions: map[string]*api.Entry{}, delays: map[string]bool{}}
	rest := entries[4*len(names):]
	for i, id := range ids {
		v.sessions[id], v.delays[id] = &rest[2*i], rest[2*i+1].Exists
	}
	for i, name := range names {
		e := entries[4*i : 4*i+4]
		r := &row{name: name}
		r.set("", &e[0])
		for j, sibling := range siblings {
			r.set(sibling, &e[j+1])
		}
		c := newCell(r, v.sessions[r.lock.Session])
		c.delayed = v.delays[c.after]
		v.cells[name] = c
	}
	return v
}

// missing returns the sessions that locks name and that are not among those of the view.
func (v *view) missing() (ids []string) {
	for _, c := range v.cells {
		for _, id := range [2]string{c.lock.Session, c.lock.After} {
			if id != "" && v.sessions[id] == nil && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
