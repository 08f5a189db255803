package placement

// Init gives a new meta group its first map; if there is a map, it does nothing.
type Init struct {
	Map *Map `cbor:"1,keyasint"`
	// Vault has the CA's key and the first join tokens of a cluster that is founded with TLS.
	Vault *Vault `cbor:"2,keyasint,omitempty"`
}

func (Init) kind() byte { return kindInit }

func (s *state) init(c Init) (changes, error) {
	if s.Map != nil {
		return nothing, nil
	}
	if err := c.Map.Check(); err != nil {
		return nothing, err
	}
	if c.Vault != nil && c.Map.Level < LevelIdentity {
		return nothing, bad("a map of level %d has no vault", c.Map.Level)
	}
	s.Map = c.Map
	if c.Vault == nil {
		return founding, nil
	}
	s.Vault = c.Vault
	return founding | ofVault, c.Vault.Check()
}

// TermStart is a new leader's first command; it changes nothing but [Machine.Term].
type TermStart struct{}

func (TermStart) kind() byte { return kindTermStart }
