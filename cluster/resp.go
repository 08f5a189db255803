package cluster

import (
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/resp"
	"github.com/edgehold/edgehold/fsm/ident"
)

var respSocket = socketKind{"socket of RESP", "--resp-socket"}

// openRESP serves RESP at the node's port, and at a socket of the file system if one is configured. A client there is one like any
// other: the file keeps other users out, and gives no rights.
func openRESP(n *Node, b *front.Backend) (end func() error, err error) {
	s := resp.New(b, resp.Config{Copies: n.copies, Metrics: n.metrics})
	end = func() error {
		if err := s.Close(closeGrace); err != nil {
			n.log.Named("resp").Warn("commands were cut off", "error", err)
		}
		return nil
	}
	if path := n.cfg.RESPSocket; path != "" {
		l, err := respSocket.listen(path)
		if err != nil {
			return end, err
		}
		s.Serve(ownUsers{l})
	}
	s.Serve(n.port.RESP())
	return end, nil
}

// copies is how many voters, beside the leader, have what any group has acknowledged.
func (n *Node) copies() int {
	m := n.mirror.Map()
	if m == nil {
		return 0
	}
	least := -1
	for i := range m.Groups {
		g := &m.Groups[i]
		if more := len(g.Voters) / 2; g.ID != ident.MetaGroup && (least < 0 || more < least) {
			least = more
		}
	}
	return max(least, 0)
}
