package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/fsm/placement"
)

// identity is the node that a data folder belongs to. It is claimed, durably, when the node may begin to vote. Before that nothing
// in the folder counts: a server that has lost its folder is recognised by an unclaimed one. It may not vote again under its old
// name, since it has forgotten its votes and what it acknowledged.
type identity struct {
	file    meta.File
	node    api.NodeID // "" while the folder is unclaimed
	cluster string     // the cluster that the node has founded; "" if none
}

// nodeFile is the file of a data folder that names its node.
const nodeFile = "node"

// identityOf is what the file holds, a line each.
const identityOf = "%s\n%s\n%s\n%s\n" // node, region, role, cluster

// identify reads which node the folder belongs to, and makes the folder if there is none. CodeConflict if it is another node's.
func identify(dir string, self placement.Node) (identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return identity{}, &api.Error{Code: api.CodeInvalid, Op: "open", Hint: "the data folder cannot be made; see --data", Err: err}
	}
	x := identity{file: meta.OSFile(filepath.Join(dir, nodeFile))}
	b, err := x.file.Read()
	if errors.Is(err, fs.ErrNotExist) {
		return x, nil
	}
	if err != nil {
		return x, err
	}
	lines := append(strings.Split(string(b), "\n"), "", "", "", "")
	x.node, x.cluster = api.NodeID(lines[0]), lines[3]
	if was := (placement.Node{ID: x.node, Region: api.RegionID(lines[1]), Role: api.Role(lines[2])}); was.ID != self.ID || was.Region != self.Region || was.Role != self.Role {
		return x, api.Errorf(api.CodeConflict, "the data folder %s belongs to the %s %q in region %q, not to the %s %q in region %q; start that one, or use another folder",
			dir, was.Role, was.ID, was.Region, self.Role, self.ID, self.Region)
	}
	return x, nil
}

// claim makes the folder the node's, unless it is already. It does nothing for a node without a folder.
func (x *identity) claim(self placement.Node) error {
	if x.node != "" || x.file == nil {
		return nil
	}
	if err := x.file.Write(fmt.Appendf(nil, identityOf, self.ID, self.Region, self.Role, x.cluster)); err != nil {
		return err
	}
	x.node = self.ID
	return nil
}
