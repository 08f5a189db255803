package workerskv

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/front"
)

// lister makes one page of a list: the keys that there are at one instant of each group, and then the metadata of each.
//
// Keys and metadata are ranges of their own, and two lists are not of one instant. So a key's metadata counts if it has the version of
// the key, since one transaction writes both, or if the key has had one version from before the metadata was listed until after. Any
// other key has changed meanwhile, and is looked at again. So each key is listed, or left out, as it was at one instant between call and
// return. If no key of the page changes meanwhile, the page is a snapshot.
type lister struct {
	*request
	faults *fault.Catcher
	ctx    context.Context
	store  front.Caller
}

// state is a key of a page.
type state struct {
	name     string
	version  api.Version
	ttl      time.Duration
	metadata []byte
	known    bool // the metadata is that of the version, or the key is gone
	gone     bool
}

// rounds is how often the metadata of keys that change is listed before they are read one by one.
const rounds = 3

// pairsAtOnce is how many keys that change are read at once, with values that may be large.
const pairsAtOnce = 8

// states returns the keys of a list that the protocol has a name for.
func (l *lister) states(found []api.Entry) []*state {
	all := make([]*state, 0, len(found))
	for i := range found {
		if name, ok := l.namespace.named(found[i].Key); ok {
			all = append(all, &state{name: name, version: found[i].Version, ttl: found[i].TTL})
		}
	}
	return all
}

// complete sets the metadata of the keys, which are in order.
func (l *lister) complete(states []*state) error {
	for range rounds {
		open := unknown(states)
		if len(open) == 0 {
			return nil
		}
		if err := l.round(open); err != nil {
			return err
		}
	}
	for open := unknown(states); len(open) > 0; {
		n := min(len(open), pairsAtOnce)
		if err := l.readPairs(open[:n]); err != nil {
			return err
		}
		open = open[n:]
	}
	return nil
}

func unknown(states []*state) (open []*state) {
	for _, s := range states {
		if !s.known {
			open = append(open, s)
		}
	}
	return open
}

// round lists metadata, and then keys once more if there is a key whose version the metadata does not have.
func (l *lister) round(open []*state) error {
	first, last := open[0].name, open[len(open)-1].name
	metas, err := l.metas(api.Range{Start: l.namespace.meta(first), End: l.namespace.meta(last) + "\x00"})
	if err != nil {
		return err
	}
	for _, s := range open {
		if m, ok := metas[l.namespace.meta(s.name)]; ok && m.Version == s.version {
			s.metadata, s.known = m.Value, true
		}
	}
	if open = unknown(open); len(open) == 0 {
		return nil
	}
	span := api.Range{Start: l.namespace.value(open[0].name), End: l.namespace.value(open[len(open)-1].name) + "\x00"}
	again, more, err := l.keys(l.namespace.outside(span), api.MaxListLimit)
	if err != nil {
		return err
	}
	now := make(map[api.Key]*api.Entry, len(again))
	for i := range again {
		now[again[i].Key] = &again[i]
	}
	for _, s := range open {
		key := l.namespace.value(s.name)
		switch e := now[key]; {
		case e != nil && e.Version == s.version:
			s.metadata, s.known = metas[l.namespace.meta(s.name)].Value, true
		case e != nil:
			s.version, s.ttl = e.Version, e.TTL
		case !more || key < again[len(again)-1].Key:
			s.known, s.gone = true, true
		}
	}
	return nil
}

// readPairs reads keys with their metadata.
func (l *lister) readPairs(open []*state) error {
	names := make([]string, len(open))
	for i, s := range open {
		names[i] = s.name
	}
	var out api.ReadResult
	if err := l.read(l.ctx, l.store, names, true, &out); err != nil {
		return err
	}
	for i, s := range open {
		value, meta := &out.Entries[2*i], &out.Entries[2*i+1]
		s.metadata, s.ttl, s.gone, s.known = meta.Value, value.TTL, !value.Exists, true
	}
	return nil
}

// metas returns all entries of a range of metadata.
func (l *lister) metas(r api.Range) (map[api.Key]api.Entry, error) {
	all := map[api.Key]api.Entry{}
	for {
		res, err := l.store.List(l.ctx, &api.ListRequest{Range: r, Limit: api.MaxListLimit})
		if err != nil {
			return nil, err
		}
		for _, e := range res.Entries {
			all[e.Key] = e
		}
		if !res.More || len(res.Entries) == 0 {
			return all, nil
		}
		r.Start = res.Entries[len(res.Entries)-1].Key + "\x00"
	}
}

// keys lists the first keys of ranges that are in order, at most limit of them. more reports whether there are further ones.
func (l *lister) keys(ranges []api.Range, limit int) (found []api.Entry, more bool, err error) {
	results, errs := make([]*api.ListResult, len(ranges)), make([]error, len(ranges))
	var wg sync.WaitGroup
	for i, r := range ranges {
		wg.Go(func() {
			defer l.faults.Catch("list", &errs[i])
			results[i], errs[i] = l.store.List(l.ctx, &api.ListRequest{Range: r, Limit: limit, KeysOnly: true})
		})
	}
	wg.Wait()
	for i, res := range results {
		if more { // what follows is of further pages
			break
		}
		if errs[i] != nil {
			return nil, false, errs[i]
		}
		take := min(len(res.Entries), limit-len(found))
		found = append(found, res.Entries[:take]...)
		more = res.More || take < len(res.Entries)
	}
	return found, more, nil
}
