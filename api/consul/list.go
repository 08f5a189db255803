package consul

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

const (
	// spareRows is how many rows fewer than fit are planned for one part of a long list, as some may come before all parts are read.
	spareRows = 200
	// maxPoints bounds the sessions that a list asks for one by one; else it lists all.
	maxPoints = 16
	// maxScans bounds how often a list is made again because it has grown, or because locks have come to other sessions.
	maxScans = 4
)

// listing is a tree as it was at one instant.
type listing struct {
	cells   []*cell // of the keys that exist, in order
	index   uint64
	holders []string // the sessions that hold locks in the tree
	age     time.Duration
}

// listTree lists a tree. Without values, the cells have none.
func listTree(ctx context.Context, s front.Caller, prefix string, c api.Consistency, keysOnly bool) (*listing, error) {
	return listRanges(ctx, s, outsideOwn(tree(prefix)), c, keysOnly)
}

// listRanges lists ranges of keys with their siblings. What a lock holds is a value: if there are locks, values are read in any case.
func listRanges(ctx context.Context, s front.Caller, ranges []api.Range, c api.Consistency, keysOnly bool) (*listing, error) {
	var ids []string
	for range maxScans {
		x, err := scan(ctx, s, &scanRequest{ranges: ranges, consistency: c, keysOnly: keysOnly, sessions: ids})
		if err != nil {
			return nil, err
		}
		rows, withLocks := rowsOf(x.entries)
		if withLocks && keysOnly {
			keysOnly = false
			continue
		}
		named := holdersOf(rows)
		if slices.ContainsFunc(named, func(id string) bool { return !slices.Contains(ids, id) }) {
			ids = named
			continue
		}
		l, err := x.listing(ctx, s, c, rows, named)
		if l != nil || err != nil {
			return l, err
		}
	}
	return nil, busy("the locks in the tree change hands too often")
}

// rowsOf joins entries, which are in order, to rows. withLocks reports whether one has a lock.
func rowsOf(entries []api.Entry) (rows []*row, withLocks bool) {
	for i := range entries {
		name, sibling, ok := split(entries[i].Key)
		if !ok {
			continue // written by other means
		}
		if n := len(rows); n == 0 || rows[n-1].name != name {
			rows = append(rows, &row{name: name})
		}
		rows[len(rows)-1].set(sibling, &entries[i])
		withLocks = withLocks || sibling == locked
	}
	return rows, withLocks
}

// holdersOf returns the sessions that locks name.
func holdersOf(rows []*row) (ids []string) {
	for _, r := range rows {
		if id := r.lock.Session; id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// listing makes a listing of rows. x has all sessions that existed at its instant: another one had ended by then, and never comes back,
// so that when it did can be read later. It is nil if a replica that is behind answers that read: to it, a session still exists.
func (x *scanned) listing(ctx context.Context, s front.Caller, c api.Consistency, rows []*row, ids []string) (*listing, error) {
	found := map[string]*api.Entry{}
	for i := range x.sessions {
		found[string(x.sessions[i].Key[len(sessions):])] = &x.sessions[i]
	}
	var gone []string
	for _, id := range ids {
		if found[id] == nil {
			gone = append(gone, id)
		}
	}
	ends, err := endsOf(ctx, s, c, gone)
	if err != nil || len(ends) < len(gone) {
		return nil, err
	}
	for i := range ends {
		found[gone[i]] = &ends[i]
	}
	l := &listing{age: x.age}
	if guardIndexRises {
		l.index = x.deleted.Version.Integer()
	}
	for _, r := range rows {
		l.add(newCell(r, found[r.lock.Session]))
	}
	return l, nil
}

// endsOf reads the absent keys of sessions that have ended, in the order of their ids: the version of each is that of the end. It returns
// none if a replica that is behind answers, to which a session still exists.
func endsOf(ctx context.Context, s front.Caller, c api.Consistency, ids []string) (ends []api.Entry, err error) {
	for some := range slices.Chunk(ids, api.MaxReadKeys) {
		q := api.ReadRequest{Consistency: c}
		for _, id := range some {
			q.Keys = append(q.Keys, sessionKey(id))
		}
		var out api.ReadResult
		if err := s.Read(ctx, &q, &out); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out.Entries, func(e api.Entry) bool { return e.Exists }) {
			return nil, nil
		}
		ends = append(ends, out.Entries...)
	}
	return ends, nil
}

func (l *listing) add(c *cell) {
	index := c.index
	if !guardIndexRises {
		index = c.data.Version.Integer()
	}
	l.index = max(l.index, index)
	if c.exists {
		l.cells = append(l.cells, c)
	}
	if c.wasHeld && !slices.Contains(l.holders, c.lock.Session) {
		l.holders = append(l.holders, c.lock.Session)
	}
}

// scanRequest asks for what ranges hold at one instant, with the sessions by their ids.
type scanRequest struct {
	ranges      []api.Range
	consistency api.Consistency
	keysOnly    bool
	sessions    []string
}

type scanned struct {
	entries  []api.Entry
	sessions []api.Entry // without values: those that exist
	deleted  api.Entry   // of deletedKey
	age      time.Duration
}

// ofSessions are ranges that have the sessions.
func (r *scanRequest) ofSessions() (all []api.Range) {
	if len(r.sessions) > maxPoints {
		return []api.Range{api.PrefixRange(sessions)}
	}
	for _, id := range r.sessions {
		all = append(all, point(sessionKey(id)))
	}
	return all
}

// entriesOf joins the entries of pages. more reports whether there are further ones.
func entriesOf(pages []api.ListPage) (all []api.Entry, more bool, err error) {
	for i := range pages {
		page := &pages[i]
		if page.More && len(page.Entries) < api.MaxListLimit {
			return nil, false, tooMuch("over %d bytes", api.MaxListBytes)
		}
		all, more = append(all, page.Entries...), more || page.More
	}
	return all, more, nil
}

// scan reads ranges at one instant. All lists are one request to the owner, whatever the ranges hold: a page of a longer one begins
// at a key that is known before. CodeInvalid if the keys have several owners, CodeTooLarge if one answer cannot have all of them.
func scan(ctx context.Context, s front.Caller, r *scanRequest) (*scanned, error) {
	own, rows, most := r.ofSessions(), r.ranges, 1
	if len(r.sessions) > maxPoints {
		most = api.MaxListLimit
	}
	for range maxScans {
		q := &api.ListRequest{Range: point(deletedKey), Limit: 1, KeysOnly: r.keysOnly, Consistency: r.consistency}
		for _, part := range own {
			q.Also = append(q.Also, api.ListPart{Range: part, Limit: most, KeysOnly: true})
		}
		for _, part := range rows {
			q.Also = append(q.Also, api.ListPart{Range: part, Limit: api.MaxListLimit, KeysOnly: r.keysOnly})
		}
		res, err := s.List(ctx, q)
		switch {
		case api.CodeOf(err) == api.CodeInvalid:
			return nil, severalOwners()
		case err != nil:
			return nil, err
		case len(res.Also) != len(q.Also):
			return nil, &api.Error{Code: api.CodeUnavailable, Op: "list", Hint: "the owner of the keys runs an older version"}
		}
		x := &scanned{age: res.Age}
		if len(res.Entries) > 0 {
			x.deleted = res.Entries[0]
		}
		var moreOwn, moreRows bool
		if x.sessions, moreOwn, err = entriesOf(res.Also[:len(own)]); err != nil {
			return nil, err
		}
		if x.entries, moreRows, err = entriesOf(res.Also[len(own):]); err != nil {
			return nil, err
		}
		if !moreOwn && !moreRows {
			return x, nil
		}
		if moreOwn {
			if own, err = cut(ctx, s, r.ofSessions(), r.consistency, api.MaxListParts-len(rows)); err != nil {
				return nil, err
			}
		}
		if moreRows {
			if rows, err = cut(ctx, s, r.ranges, r.consistency, api.MaxListParts-len(own)); err != nil {
				return nil, err
			}
		}
	}
	return nil, busy("the tree grows too fast")
}

func tooMuch(format string, n int) error {
	return refuse(http.StatusRequestEntityTooLarge, "Response too large, "+format+": read a longer prefix, or ?keys", n)
}

func severalOwners() error {
	return refuse(http.StatusInternalServerError, "the keys that begin with %s have several owners, and an answer would be of no one instant. Give all of "+
		"them to one group, while there are none: edgehold placement set --prefix %s --group GROUP, and place nothing below it apart", Prefix, Prefix)
}

// cut cuts ranges into at most so many that each have few enough rows for one page, by what they hold now.
func cut(ctx context.Context, s front.Caller, ranges []api.Range, c api.Consistency, most int) (parts []api.Range, err error) {
	for _, rest := range ranges {
		for {
			res, err := s.List(ctx, &api.ListRequest{Range: rest, Limit: api.MaxListLimit - spareRows, KeysOnly: true, Consistency: c})
			if err != nil {
				return nil, err
			}
			if !res.More {
				parts = append(parts, rest)
				break
			}
			next := res.Entries[len(res.Entries)-1].Key
			if name, _, ok := split(next); ok {
				next = dataKey(name) // its siblings follow it
			}
			if next <= rest.Start {
				return nil, tooMuch("over %d rows of one key", api.MaxListLimit)
			}
			parts = append(parts, api.Range{Start: rest.Start, End: next})
			rest.Start = next
		}
		if len(parts) > most {
			return nil, tooMuch("over %d rows", most*(api.MaxListLimit-spareRows))
		}
	}
	return parts, nil
}

// keysUnder returns the names of the keys in a tree that have a value, in order.
func keysUnder(ctx context.Context, s front.Caller, prefix string) ([]string, error) {
	x, err := scan(ctx, s, &scanRequest{ranges: outsideOwn(tree(prefix)), keysOnly: true})
	if err != nil {
		return nil, err
	}
	rows, _ := rowsOf(x.entries)
	var names []string
	for _, r := range rows {
		if r.data.Exists {
			names = append(names, r.name)
		}
	}
	return names, nil
}
