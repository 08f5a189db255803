package meta

import "github.com/edgehold/edgehold/api"

// Secured reports whether this voter has the CA's key.
func (m *Meta) Secured() bool { return len(m.machine.Vault().CAKey) > 0 }

// RemovedEdge reports whether the id is that of one of the last edges that were removed, as far as this voter has applied.
func (m *Meta) RemovedEdge(id api.NodeID) bool { return m.machine.RemovedEdge(id) }
