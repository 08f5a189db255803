package group

import (
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// feedIndex finds the feeds that want a key, however many others there are: a segment tree over the bounds of their ranges.
type feedIndex struct {
	starts []api.Key // of the segments between two bounds, sorted; the first one is ""
	nodes  [][]*feed // node i has children 2i and 2i+1, and the leaf of segment s is node len(starts)+s
}

// newFeedIndex returns the index of the feeds.
func newFeedIndex(feeds []*feed) *feedIndex {
	x := &feedIndex{starts: []api.Key{""}}
	for _, f := range feeds {
		for i := range f.request.parts {
			r := f.request.parts[i].Range
			x.starts = append(x.starts, r.Start, r.End)
		}
	}
	slices.Sort(x.starts)
	x.starts = slices.Compact(x.starts)
	x.nodes = make([][]*feed, 2*len(x.starts))
	for _, f := range feeds {
		for i := range f.request.parts {
			x.add(f, f.request.parts[i].Range)
		}
	}
	return x
}

// add adds a feed that wants the keys of a range.
func (x *feedIndex) add(f *feed, r api.Range) {
	lo, hi := x.segment(r.Start), len(x.starts)
	if r.End != "" {
		hi = x.segment(r.End)
	}
	for lo, hi = lo+len(x.starts), hi+len(x.starts); lo < hi; lo, hi = lo/2, hi/2 {
		if lo%2 == 1 {
			x.nodes[lo] = append(x.nodes[lo], f)
			lo++
		}
		if hi%2 == 1 {
			hi--
			x.nodes[hi] = append(x.nodes[hi], f)
		}
	}
}

// segment returns the number of the segment that has the key.
func (x *feedIndex) segment(k api.Key) int {
	i, found := slices.BinarySearchFunc(x.starts, k, func(a, b api.Key) int { return strings.Compare(string(a), string(b)) })
	if found {
		return i
	}
	return i - 1
}

// each visits the feeds whose range has the key.
func (x *feedIndex) each(k api.Key, visit func(*feed)) {
	for i := len(x.starts) + x.segment(k); i > 0; i /= 2 {
		for _, f := range x.nodes[i] {
			visit(f)
		}
	}
}

// pass adds to each feed what it wants of a command, and to touched the feeds that had nothing new before.
func (x *feedIndex) pass(c *visible, touched []*feed) []*feed {
	for i := range c.events {
		e := &c.events[i]
		x.each(e.Key, func(f *feed) {
			if !f.request.wants(e) {
				return
			}
			if len(f.news) == 0 {
				touched = append(touched, f)
			}
			f.news = addNews(f.news, c, i)
		})
	}
	return touched
}

// addNews adds the i-th event of a command. It shares the memory of the command's events while these are neighbours.
func addNews(news []visible, c *visible, i int) []visible {
	last := len(news) - 1
	if last < 0 || news[last].index != c.index {
		return append(news, visible{index: c.index, events: c.events[i : i+1 : i+1], first: i})
	}
	v := &news[last]
	if v.first >= 0 && v.first+len(v.events) == i {
		v.events = c.events[v.first : i+1 : i+1]
		return news
	}
	v.events, v.first = append(v.events, c.events[i]), -1
	return news
}

// commandsOf divides events by the commands that made them visible.
func commandsOf(events []fsm.Event) (all []visible) {
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].Index == events[0].Index {
			n++
		}
		all = append(all, visible{index: events[0].Index, events: events[:n:n]})
		events = events[n:]
	}
	return all
}
