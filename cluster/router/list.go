package router

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// ahead bounds the parts of a list that are asked at once.
const ahead = 8

// List visits, in order, the spans of the placement map that overlap the range, and merges the groups of each span. If
// the first span does not fill the page, the next ones are asked at once.
func (r *Router) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	began := time.Now()
	defer func() { r.metrics.seconds(time.Since(began).Seconds(), "list") }()
	request := *q
	if request.Limit == 0 {
		request.Limit = api.DefaultListLimit
	}
	if q.Range.End != "" && q.Range.End <= q.Range.Start {
		return &words.ListResult{}, nil
	}
	if request.Age == 0 {
		request.Age = words.NewAge()
	}
	c := r.call("list", true)
	for {
		m, err := r.placement(ctx, c)
		if err != nil {
			return nil, readError(err)
		}
		collect := r.page
		if len(q.Also) > 0 {
			collect = r.together
		}
		page, err := collect(ctx, m, &request)
		if err == nil && page.Stale && q.Consistency == api.Bounded && page.Age > q.MaxStale {
			return nil, tooOld("list", page.Age)
		}
		if api.CodeOf(err) != api.CodeWrongGroup {
			return page, readError(c.end(err))
		}
		if err := r.relocate(ctx, c, m, err); err != nil {
			return nil, readError(err)
		}
	}
}

// page collects one page by one map. It returns CodeWrongGroup if a group no longer owns its part. The whole page is
// then to be collected again.
func (r *Router) page(ctx context.Context, m *placement.Map, q *words.ListRequest) (*words.ListResult, error) {
	spans := m.Scan(q.Range)
	if q.Reverse {
		reverse(spans)
	}
	p := &page{limit: q.Limit, reverse: q.Reverse}
	for i := 0; i < len(spans) && !p.full(); {
		n := 1
		if i > 0 {
			n = min(ahead, len(spans)-i)
		}
		merges, err := r.open(ctx, q, spans[i:i+n], q.Limit-len(p.entries), q.KeysOnly)
		if err != nil {
			return nil, err
		}
		for _, x := range merges {
			if err := p.take(ctx, x); err != nil {
				return nil, err
			}
			p.asked(x)
		}
		i += n
		if p.full() && !p.more {
			err = r.probe(ctx, q, spans[i:], p)
		}
		if err != nil {
			return nil, err
		}
	}
	res := &words.ListResult{ListResult: api.ListResult{Entries: p.entries, More: p.more}}
	if !p.asOf.IsZero() {
		res.Stale, res.Age = true, time.Since(p.asOf)
		return res, nil
	}
	res.At = p.positions(q.Range)
	return res, nil
}

// probe determines whether anything follows a full page, in spans that were not asked so far.
func (r *Router) probe(ctx context.Context, q *words.ListRequest, spans []placement.Span, p *page) error {
	for i := 0; i < len(spans) && !p.more; i += ahead {
		merges, err := r.open(ctx, q, spans[i:min(i+ahead, len(spans))], 1, true)
		if err != nil {
			return err
		}
		for _, x := range merges {
			some, err := x.any(ctx)
			if err != nil {
				return err
			}
			p.more = p.more || some
			p.asked(x)
		}
	}
	return nil
}

// open makes a merge of each span and fetches the first pages of all their groups at once.
func (r *Router) open(ctx context.Context, q *words.ListRequest, spans []placement.Span, limit int, keysOnly bool) ([]*merging, error) {
	merges := make([]*merging, len(spans))
	var sources []*source
	for i, s := range spans {
		merges[i] = &merging{reverse: q.Reverse}
		for _, g := range s.Groups {
			x := &source{router: r, more: true, request: words.ListRequest{
				ListRequest: api.ListRequest{Range: s.Range, Limit: limit, Reverse: q.Reverse, KeysOnly: keysOnly, Consistency: q.Consistency, MaxStale: q.MaxStale}, Group: g, Age: q.Age,
			}}
			merges[i].sources = append(merges[i].sources, x)
			sources = append(sources, x)
		}
	}
	return merges, fetchAll(ctx, sources)
}

// fetchAll fetches a page of every source at once. The first error ends the others.
func fetchAll(ctx context.Context, sources []*source) error {
	if len(sources) == 1 {
		return sources[0].fetch(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for _, s := range sources {
		wg.Go(func() {
			if err := s.fetch(ctx); err != nil {
				once.Do(func() { first = err })
				cancel()
			}
		})
	}
	wg.Wait()
	return first
}

// page is what has been collected.
type page struct {
	entries []api.Entry
	bytes   int
	limit   int
	reverse bool
	heavy   bool // the next entry would exceed MaxListBytes
	more    bool
	asOf    time.Time // the answers of replicas are no older than this; zero if there are none
	at      []words.Listed
}

// asked notes how old the entries from a span's groups may be, and at which positions they were read.
func (p *page) asked(x *merging) {
	for _, s := range x.sources {
		p.asOf = older(p.asOf, s.asOf)
		p.at = append(p.at, s.at...)
	}
}

// positions returns the positions at which what the page covers of the range was read. More may have been fetched.
func (p *page) positions(covers api.Range) []words.Listed {
	if p.more && len(p.entries) > 0 {
		if last := p.entries[len(p.entries)-1].Key; p.reverse {
			covers.Start = last
		} else {
			covers.End = last + "\x00"
		}
	}
	var at []words.Listed
	for _, x := range p.at {
		if part, ok := x.Range.Intersect(covers); ok {
			x.Range = part
			at = append(at, x)
		}
	}
	return at
}

// older returns the earlier of two instants. A zero instant stands for none.
func older(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (p *page) full() bool { return p.heavy || len(p.entries) >= p.limit }

// take moves entries from a span's groups to the page until the page is full or the groups have no more.
func (p *page) take(ctx context.Context, x *merging) error {
	for {
		e, ok, err := x.peek(ctx)
		if err != nil || !ok {
			return err
		}
		size := len(e.Key) + len(e.Value)
		if len(p.entries) > 0 && p.bytes+size > api.MaxListBytes {
			p.heavy = true
		}
		if p.full() {
			p.more = true
			return nil
		}
		p.entries, p.bytes = append(p.entries, e), p.bytes+size
		x.pop()
	}
}

// merging is the groups of one span, merged by key. A key has one owner, so no key comes twice.
type merging struct {
	sources []*source
	reverse bool
	first   *source // the source of the entry that peek returned
}

// peek returns the next entry of all sources, or false if there is none.
func (x *merging) peek(ctx context.Context) (api.Entry, bool, error) {
	x.first = nil
	for _, s := range x.sources {
		if err := s.fill(ctx); err != nil {
			return api.Entry{}, false, err
		}
		if len(s.entries) == 0 {
			continue
		}
		if x.first == nil || (s.entries[0].Key < x.first.entries[0].Key) != x.reverse {
			x.first = s
		}
	}
	if x.first == nil {
		return api.Entry{}, false, nil
	}
	return x.first.entries[0], true, nil
}

// pop drops the entry that peek returned.
func (x *merging) pop() { x.first.entries = x.first.entries[1:] }

func (x *merging) any(ctx context.Context) (bool, error) {
	_, ok, err := x.peek(ctx)
	return ok, err
}

// source is one group's part of one span, page by page.
type source struct {
	router  *Router
	request words.ListRequest // of the next page
	entries []api.Entry       // fetched and not taken
	more    bool              // there are further pages
	// asOf is the instant that no replica's answer among all pages so far is older than. It is zero if no replica
	// answered.
	asOf time.Time
	// at are the positions at which what was fetched was read.
	at []words.Listed
	// also are the further pages of the last answer.
	also []api.ListPage
}

// fill fetches the next page if no entry of the last one is left.
func (s *source) fill(ctx context.Context) error {
	for len(s.entries) == 0 && s.more {
		if err := s.fetch(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fetch asks the group's leader for the next page.
func (s *source) fetch(ctx context.Context) (err error) {
	defer s.router.cfg.Faults.Catch("list", &err)
	r := s.router
	c := r.call("list", true)
	c.timeout = r.cfg.ReadTimeout
	var res *words.ListResult
	c.send = func(ctx context.Context, node api.NodeID) (err error) {
		asked := time.Now()
		c.asOf = time.Time{}
		if res, err = r.cfg.Remote(node).List(ctx, &s.request); err == nil && res.Stale {
			r.byReplica(c, node, asked, res.Age)
		}
		return err
	}
	if !r.askHere(ctx, c, s.request.Group, s.request.Consistency) {
		if err := r.toGroup(ctx, c, s.request.Group); err != nil {
			return err
		}
	}
	s.asOf, s.at, s.also = older(s.asOf, c.asOf), append(s.at, res.At...), res.Also
	s.entries, s.more = res.Entries, res.More && len(res.Entries) > 0
	if s.more {
		if last := res.Entries[len(res.Entries)-1].Key; s.request.Reverse {
			s.request.Range.End = last
		} else {
			s.request.Range.Start = last + "\x00"
		}
	}
	return nil
}

func reverse(spans []placement.Span) {
	for i, j := 0, len(spans)-1; i < j; i, j = i+1, j-1 {
		spans[i], spans[j] = spans[j], spans[i]
	}
}
