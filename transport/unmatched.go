package transport

import (
	"container/heap"
	"container/list"
	"net"
	"net/netip"
)

// unmatched are the connections that have not chosen a lane, by the address that they come from. Its owner guards it.
type unmatched struct {
	n       int
	sources map[string]*source
	most    byCount
}

// source is an address with its connections, the oldest first.
type source struct {
	address string
	conns   list.List // of *conn
	at      int       // its index in the heap
}

func newUnmatched() *unmatched { return &unmatched{sources: map[string]*source{}} }

// add counts a connection. If there are more than limit, it takes out the oldest of the address that has most of them, and returns
// it: so half of a handshake from one address does not push out those that are a long way off.
func (u *unmatched) add(c *conn, limit int) (over *conn) {
	address := sourceOf(c.RemoteAddr())
	s := u.sources[address]
	if s == nil {
		s = &source{address: address}
		u.sources[address] = s
		heap.Push(&u.most, s)
	}
	c.place, c.source = s.conns.PushBack(c), s
	heap.Fix(&u.most, s.at)
	if u.n++; u.n <= limit {
		return nil
	}
	over = u.most[0].conns.Front().Value.(*conn)
	u.remove(over)
	return over
}

// remove takes a connection out, if it is in.
func (u *unmatched) remove(c *conn) {
	s := c.source
	if s == nil {
		return
	}
	s.conns.Remove(c.place)
	c.place, c.source = nil, nil
	u.n--
	if s.conns.Len() > 0 {
		heap.Fix(&u.most, s.at)
		return
	}
	heap.Remove(&u.most, s.at)
	delete(u.sources, s.address)
}

func (u *unmatched) all() []*conn {
	var all []*conn
	for _, s := range u.most {
		for e := s.conns.Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*conn))
		}
	}
	return all
}

// sourceOf is the address without the port: of IPv6 the network, which one client has to itself.
func sourceOf(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ip := tcp.AddrPort().Addr().Unmap()
		if ip.Is6() {
			return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
		}
		return ip.String()
	}
	return a.String()
}

// byCount is a heap with the source on top that has most connections.
type byCount []*source

var _ heap.Interface = (*byCount)(nil)

func (h byCount) Len() int           { return len(h) }
func (h byCount) Less(i, j int) bool { return h[i].conns.Len() > h[j].conns.Len() }
func (h byCount) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *byCount) Push(x any) {
	s := x.(*source)
	s.at = len(*h)
	*h = append(*h, s)
}

func (h *byCount) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return s
}
