package watch

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

// list lists a page. The cursor of the result is that of the page before, with the pieces that this page was the first to ask.
func (h *Hub) list(ctx context.Context, r *words.ListRequest) (*words.ListResult, error) {
	c := &cursor.Cursor{Range: r.Range}
	if r.Cursor != "" {
		var err error
		if c, err = cursor.Decode(r.Cursor); err != nil {
			return nil, err
		}
		if !c.Range.ContainsRange(r.Range) {
			return nil, api.Errorf(api.CodeInvalid, "the cursor is of a list of %s, and %s is no further page of it", cursor.Describe(c.Range), cursor.Describe(r.Range))
		}
	}
	res, err := h.cfg.Lister.List(ctx, r)
	if err != nil || res.Stale || len(res.At) == 0 {
		return res, err
	}
	for _, x := range res.At {
		contact(c, x)
	}
	out := *res
	if out.Cursor, err = c.Encode(); err != nil {
		out.Cursor = "" // the list is whole; no cursor has room for its owners
	}
	return &out, nil
}

// contact adds to the cursor of a list that a group was asked. Of a piece that was asked before, the position of the first time stays:
// what changed since is in none of the pages, or in some.
func contact(c *cursor.Cursor, x words.Listed) {
	p, ok := cursor.Clip(x.Piece, c.Range)
	if !ok {
		return
	}
	for i := range c.Pieces {
		o := &c.Pieces[i]
		if o.Group != p.Group || o.Epoch != p.Epoch || o.Index != p.Index || o.Of != p.Of || !adjoin(o.Range, p.Range) {
			continue
		}
		o.Range = union(o.Range, p.Range)
		if !guardFirstPage {
			o.At = x.At
		}
		return
	}
	c.Pieces = append(c.Pieces, cursor.Piece{Piece: p, At: x.At})
}

// adjoin reports whether the ranges overlap or one begins where the other ends.
func adjoin(a, b api.Range) bool {
	return a.Overlaps(b) || a.End != "" && a.End == b.Start || b.End != "" && b.End == a.Start
}

// pages is what a list has delivered so far, for what the watch beside it leaves out: events of keys that are not listed yet, which their
// page, read later, will have; and events that a page has.
type pages struct {
	of   api.Range
	next api.Key // where the next page begins
	all  bool    // there is no further page
	at   []*cursor.Cursor
}

// add notes a page that was delivered. CodeUnavailable if it does not say where all its groups stood.
func (p *pages) add(res *words.ListResult) error {
	page := api.Range{Start: p.next, End: p.of.End}
	if p.all = !res.More || len(res.Entries) == 0; !p.all {
		p.next = res.Entries[len(res.Entries)-1].Key + "\x00"
		page.End = p.next
	}
	c := &cursor.Cursor{Range: page}
	for _, x := range res.At {
		if o, ok := cursor.Clip(x.Piece, page); ok {
			c.Pieces = append(c.Pieces, cursor.Piece{Piece: o, At: x.At})
		}
	}
	if _, err := c.Within(page); err != nil {
		return &api.Error{Code: api.CodeUnavailable, Op: "watch", Hint: "the owner of a part of the range does not say at which position it was listed: an older version runs there; upgrade it"}
	}
	p.at = append(p.at, c)
	return nil
}

// told reports whether an event of the key is not to be delivered.
func (p *pages) told(k api.Key, o cursor.Origin) bool {
	if !p.all && k >= p.next {
		return true
	}
	for _, c := range p.at {
		if c.Range.Contains(k) {
			return guardPageRepeats && c.Told(k, o)
		}
	}
	return false
}

// moved drops the pages whose positions the watch has passed. It reports whether nothing is left to be left out.
func (p *pages) moved(at *cursor.Cursor) bool {
	left := p.at[:0]
	for _, c := range p.at {
		if !c.Before(at.Part(c.Range)) {
			left = append(left, c)
		}
	}
	clear(p.at[len(left):])
	p.at = left
	return p.all && len(left) == 0
}
