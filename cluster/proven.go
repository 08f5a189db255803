package cluster

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
)

// proven is a node at the other end of a connection that has proved its identity.
type proven struct {
	security *security
	shown    *join.Shown
	now      atomic.Pointer[described]
}

var _ peer.Identity = (*proven)(nil)

// Caller implements [peer.Identity]. The caller has a role while the cluster accepts it: if the map does not name it, because another
// server vouches for it, that of its certificate. It allocates once a map.
func (x *proven) Caller() *peer.Caller {
	m := x.security.view.Map()
	d := x.now.Load()
	if d == nil || d.by != m {
		d = &described{by: m, caller: callerIn(m, x.shown.Node)}
		d.caller.Role = ""
		if x.security.accept(x.shown) == nil {
			d.caller.Role = x.shown.Role
		}
		x.now.Store(d)
	}
	return &d.caller
}

// identifyProven returns the node at the other end of a connection on TLS, or the error with which it is refused, which is sent to it.
func (s *security) identifyProven(ctx context.Context, a transport.Arrival) (any, error) {
	shown, err := s.shown(*a.TLS)
	if err != nil {
		return nil, s.refused(err)
	}
	if err = s.judge(ctx, shown); err == nil && a.Lane == transport.LaneRaft {
		err = s.mayReplicate(shown, a.Target)
	}
	if r, ok := errors.AsType[*join.RefusedError](err); ok {
		return nil, &transport.Denied{Why: string(r.Why), Text: s.refused(r).Error()}
	}
	if err != nil {
		return nil, err
	}
	s.hosts.note(a.Remote)
	return &proven{security: s, shown: shown}, nil
}

// whyNoMember is the reason for which a node is kept from a group's Raft lane.
const whyNoMember join.Why = "no_member"

// mayReplicate refuses a node that is no member of the group whose Raft lane it has reached: by the newest configuration known here, or
// by the map. A server that the map does not name at all was vouched for by another, and may be a member that this node has not
// heard of. So may every server while the group has no configuration here.
func (s *security) mayReplicate(x *join.Shown, lane string) error {
	parts := strings.SplitN(lane, "/", 3)
	if len(parts) < 3 || x.Role != api.RoleServer {
		return &join.RefusedError{Why: whyNoMember, Text: "node " + string(x.Node) + " is an edge, and votes in no group"}
	}
	g := api.GroupID(parts[2])
	t := s.trust()
	if _, named := t.nodes[x.Node]; !named || t.by == nil {
		return nil
	}
	configured := s.members(g)
	if len(configured) == 0 || slices.Contains(configured, string(x.Node)) || wants(t.by, g, x.Node) {
		return nil
	}
	return &join.RefusedError{Why: whyNoMember, Text: "node " + string(x.Node) + " is no member of group " + string(g)}
}

func wants(m *placement.Map, g api.GroupID, node api.NodeID) bool {
	group, ok := m.Group(g)
	return ok && slices.Contains(group.Voters, node)
}

// provenHosts are the addresses at which nodes have proved their identity. Their handshakes do not wait for those of strangers.
type provenHosts struct {
	mu   sync.Mutex
	seen map[netip.Addr]time.Time
}

const (
	provenFor      = 24 * time.Hour
	maxProvenHosts = 8192
)

func (h *provenHosts) known(a net.Addr) bool {
	ip, ok := hostOf(a)
	if !ok {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.seen[ip]
	return ok && time.Since(at) < provenFor
}

// note counts an address. At the bound it forgets those that are old, or, if none is, takes no more.
func (h *provenHosts) note(a net.Addr) {
	ip, ok := hostOf(a)
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == nil {
		h.seen = map[netip.Addr]time.Time{}
	}
	if _, known := h.seen[ip]; !known && len(h.seen) >= maxProvenHosts {
		for o, at := range h.seen {
			if time.Since(at) >= provenFor {
				delete(h.seen, o)
			}
		}
		if len(h.seen) >= maxProvenHosts {
			return
		}
	}
	h.seen[ip] = time.Now()
}

func hostOf(a net.Addr) (netip.Addr, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return tcp.AddrPort().Addr().Unmap(), true
}
