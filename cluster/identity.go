package cluster

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// identify makes the folder that of the node, or tells that it is another's. fresh: it was nobody's before.
func identify(dir string, id api.NodeID) (fresh bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, &api.Error{Code: api.CodeInvalid, Op: "open", Hint: "the data folder cannot be made; see --data", Err: err}
	}
	name := filepath.Join(dir, "node")
	b, err := os.ReadFile(name)
	switch have := strings.TrimSpace(string(b)); {
	case errors.Is(err, fs.ErrNotExist):
		return true, os.WriteFile(name, []byte(string(id)+"\n"), 0o600)
	case err != nil:
		return false, err
	case have != string(id):
		return false, api.Errorf(api.CodeConflict, "the data folder %s belongs to node %q, not %q; use that id or another folder", dir, have, id)
	}
	return false, nil
}

// admit registers this node with the cluster, and lets it open the replicas that the map names it for.
//
// A server that the map knows but whose folder is new has lost its log. It may not vote again under its old name: it
// would have forgotten whom it voted for and what it acknowledged.
func (n *Node) admit(ctx context.Context, m *placement.Map) error {
	if _, known := m.Node(n.cfg.ID); known && n.cfg.Role == api.RoleServer && !n.admitted.Load() && !n.asked {
		return api.Errorf(api.CodeConflict,
			"the cluster knows a node %s, but this data folder is new; start it with its old folder, or under a new id", n.cfg.ID)
	}
	n.asked = true
	if _, err := n.changes.Join(ctx, n.self()); err != nil {
		return err
	}
	n.admitted.Store(true)
	return nil
}
