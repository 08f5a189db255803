package cluster

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/consul"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/transport"
)

// openConsul serves the front for clients of Consul at its listener, with the TLS that clients meet at the node's port.
func openConsul(n *Node, b *front.Backend) (end func() error, err error) {
	secure := n.membership.security.port()
	secure.Node, secure.Join, secure.Known = nil, nil, nil
	port, err := transport.Open(transport.Config{Listener: n.cfg.ConsulListener, Secure: secure, Logger: n.log.Named("consul")})
	if err != nil {
		return nil, err
	}
	_, _ = port.Peer().Close(), port.Calls().Close() // they have no error to close with: nodes have no business here
	s := httpd.Serve(port.HTTP(), httpd.ServerConfig{
		Log: b.Log, MaxConns: n.cfg.MaxHTTPConns,
		Handler: consul.New(b, consul.Config{
			Region: n.cfg.Region, Server: n.cfg.Role == api.RoleServer, Address: n.cfg.self().Address, Regions: n.regions, OneOwner: n.oneOwnerOfConsul, Home: n.homeOfConsul,
		}),
	})
	return func() error {
		if err := s.Close(closeGrace); err != nil {
			n.log.Named("consul").Warn("requests were cut off", "error", err)
		}
		return port.Close()
	}, nil
}

// regions are those with nodes.
func (n *Node) regions() (all []api.RegionID) {
	if m := n.mirror.Map(); m != nil {
		for _, o := range m.Nodes {
			if !slices.Contains(all, o.Region) {
				all = append(all, o.Region)
			}
		}
	}
	return all
}

// ownerOfConsul is the group that has all keys of the front, in one range of the placement map: versions of several do not compare.
func (n *Node) ownerOfConsul() (api.GroupID, error) {
	m := n.mirror.Map()
	if m == nil {
		return "", &api.Error{Code: api.CodeUnavailable, Hint: "the placement of keys is not known here yet"}
	}
	spans := m.Scan(api.PrefixRange(consul.Prefix))
	if len(spans) != 1 || len(spans[0].Groups) != 1 {
		return "", errSeveralOwners
	}
	return spans[0].Groups[0], nil
}

var errSeveralOwners = api.Errorf(api.CodeInvalid, "the keys that begin with %s have several owners", consul.Prefix)

func (n *Node) oneOwnerOfConsul() error {
	_, err := n.ownerOfConsul()
	return err
}

// homeOfConsul is the owner of the front's keys.
func (n *Node) homeOfConsul() (h consul.Home) {
	owner, err := n.ownerOfConsul()
	if err != nil {
		return h
	}
	m := n.mirror.Map()
	g, _ := m.Group(owner)
	leader := n.router.Leader(g.ID)
	for _, id := range g.Voters {
		if o, ok := m.Node(id); ok {
			h.Peers = append(h.Peers, o.Address)
			if id == leader {
				h.Leader = o.Address
			}
		}
	}
	return h
}
