package cluster

import (
	"crypto/x509"
	"path/filepath"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/notice"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// membership is this node's standing in its cluster: the identity in its folder, and what it has founded or is to found.
type membership struct {
	*network
	nonce ident.Nonce
	// identity belongs to openMembership, and then to the task that joins.
	identity identity
	found    founding
	// credentials are what the node proves itself with, if the cluster has TLS.
	credentials *credentials
	// foundVault is the vault of the cluster that the node has founded; nil for none.
	foundVault *placement.Vault
	// waits is what a node that is joining by a token waits for.
	waits atomic.Pointer[string]
	// admitted: the node may open the replicas that the map names it for.
	admitted atomic.Bool
	refused  atomic.Pointer[string] // why the cluster does not take the node; nil if it does, as far as is known
}

// refuse notes why the cluster does not take this node; "" if it does.
func (m *membership) refuse(why string) { m.refused.Store(&why) }

// refusedWhy is why the cluster does not take this node; "" if it does, as far as is known.
func (m *membership) refusedWhy() string {
	if why := m.refused.Load(); why != nil {
		return *why
	}
	return ""
}

// openMembership reads the node's folder and decides how the node begins. CodeConflict if the folder is another node's.
func openMembership(cfg *Config, log hclog.Logger, said *notice.Book, nonce ident.Nonce) (*membership, error) {
	var folder identity
	var kept meta.Files
	if cfg.Dir != "" {
		var err error
		if folder, err = identify(cfg.Dir, cfg.self()); err != nil {
			return nil, err
		}
		kept = meta.Files{Map: meta.OSFile(filepath.Join(cfg.Dir, "placement")), Roll: meta.OSFile(filepath.Join(cfg.Dir, "roll"))}
	}
	view, err := meta.OpenView(kept, cfg.Static)
	if err != nil {
		return nil, err
	}
	m := &membership{network: newNetwork(cfg, log, view, said), nonce: nonce, identity: folder}
	m.credentials = m.security.credentials
	m.admitted.Store(folder.node != "")
	if err := m.credentials.open(cfg.Dir); err != nil {
		return nil, err
	}
	if cfg.Bootstrap && cfg.Static == nil && folder.node == "" && view.Map() == nil {
		m.credentials.forget()
	}
	if cfg.Identity != nil && m.credentials.identity() == nil {
		if err := m.credentials.keep(cfg.Identity, []*x509.Certificate{cfg.Identity.Root}); err != nil {
			return nil, err
		}
	}
	if cfg.Static != nil {
		if err := m.identity.claim(m.self()); err != nil {
			return nil, err
		}
		m.admitted.Store(true)
	}
	return m, m.begin()
}
