package meta

// Secured reports whether this voter has the CA's key.
func (m *Meta) Secured() bool { return len(m.machine.Vault().CAKey) > 0 }
