package cluster

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"github.com/edgehold/edgehold/cluster/join"
)

// identityDir is the folder of a node's key and certificates, in its data folder.
const identityDir = "identity"

// credentials are what this node proves itself with. Safe for concurrent use but for keep and
// nextKey, which belong to one task at a time.
type credentials struct {
	folder join.Folder // "" keeps nothing
	now    atomic.Pointer[join.Identity]
	next   *ecdsa.PrivateKey // the key of the next certificate, without a folder; of the task that keeps
}

// open reads what the data folder has.
func (c *credentials) open(dir string) error {
	if dir == "" {
		return nil
	}
	c.folder = join.Folder(filepath.Join(dir, identityDir))
	id, err := c.folder.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		c.now.Store(id)
	}
	return err
}

// forget has the node prove itself with nothing: it was interrupted while it founded a cluster, which does not exist. It asks others again
// before it founds one, and they know no root by which it could prove itself.
func (c *credentials) forget() { c.now.Store(nil) }

// identity returns what the node proves itself with at present; nil if it has nothing.
func (c *credentials) identity() *join.Identity { return c.now.Load() }

// keep makes id what the node proves itself with, durably if it has a folder. roots are all that the cluster trusts.
func (c *credentials) keep(id *join.Identity, roots []*x509.Certificate) error {
	if c.folder != "" {
		if err := c.folder.Save(id, roots); err != nil {
			return err
		}
	}
	c.next = nil
	c.now.Store(id)
	return nil
}
