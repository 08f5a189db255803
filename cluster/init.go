package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/fsm/placement"
)

// The files that InitFolder writes.
const (
	InitBootstrap = "bootstrap" // the folder of the server that founds the cluster
	InitServer    = "server"    // the folders of the nodes that join it
	InitEdge      = "edge"
	InitToken     = "join"   // the join token in each of them
	InitRoots     = "ca.pem" // what clients trust, in each of the three

	initKey    = "ca-key.pem"
	initTokens = "tokens.json" // written last
)

// initToken is a join token that the founder puts into the vault. Its secret is in the folder of those that join.
type initToken struct {
	ID   string   `json:"id"`
	Hash []byte   `json:"hash"` // SHA-256 of the secret
	Role api.Role `json:"role"`
	TTL  string   `json:"ttl"` // from the founding on; "0s" is for ever
}

// InitFolder makes what a cluster is founded with, before there is one: below dir, bootstrap has the CA with its key, and server and edge have a
// join token each, which any number of nodes may use until ttl after the founding (0: for ever). It returns the id of the cluster; "" if
// dir has all that already, or what is left of it after bootstrap was emptied: then nothing is changed.
func InitFolder(dir string, ttl time.Duration) (string, error) {
	boot := filepath.Join(dir, InitBootstrap)
	if initialized(dir) {
		return "", nil
	}
	id, err := newClusterID()
	if err != nil {
		return "", err
	}
	ca, err := join.NewCA(id)
	if err != nil {
		return "", err
	}
	certificate, key, err := ca.PEM()
	if err != nil {
		return "", err
	}
	var tokens []initToken
	files := []initFile{{InitBootstrap, initKey, key, 0o600}, {InitBootstrap, InitRoots, certificate, 0o644}}
	for folder, role := range map[string]api.Role{InitServer: api.RoleServer, InitEdge: api.RoleEdge} {
		t, err := join.NewToken(join.Fingerprint(ca.Certificate))
		if err != nil {
			return "", err
		}
		hash := t.SecretHash()
		tokens = append(tokens, initToken{ID: t.ID.String(), Hash: hash[:], Role: role, TTL: ttl.String()})
		files = append(files, initFile{folder, InitToken, []byte(t.Reveal() + "\n"), 0o600}, initFile{folder, InitRoots, certificate, 0o644})
	}
	text, err := json.Marshal(tokens)
	if err != nil {
		return "", err
	}
	for _, f := range append(files, initFile{InitBootstrap, initTokens, text, 0o600}) {
		if err := f.write(dir); err != nil {
			return "", &api.Error{Code: api.CodeInvalid, Op: "init", Hint: "the files cannot be written to " + boot, Err: err}
		}
	}
	return id, nil
}

// initFile is a file of InitFolder.
type initFile struct {
	folder, name string
	text         []byte
	mode         fs.FileMode
}

func (f initFile) write(dir string) error {
	folder := filepath.Join(dir, f.folder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	path := filepath.Join(folder, f.name)
	if err := meta.OSFile(path).Write(f.text); err != nil { // with mode 0600
		return err
	}
	return os.Chmod(path, f.mode)
}

// initialized reports whether InitFolder has done its work below dir.
func initialized(dir string) bool {
	there := func(folder, name string) bool {
		_, err := os.Lstat(filepath.Join(dir, folder, name))
		return err == nil
	}
	switch {
	case there(InitBootstrap, initTokens):
		return true
	case there(InitBootstrap, initKey): // an earlier run was interrupted
		return false
	}
	return there(InitServer, InitToken) || there(InitEdge, InitToken)
}

// secrets are what a cluster with TLS is founded with. They stay in the founder's folder until the meta group's vault has them.
type secrets struct {
	Cluster string           `json:"cluster"`
	Root    []byte           `json:"root"`
	Vault   *placement.Vault `json:"vault"`
}

// foundingFile is where the founder keeps its secrets until then.
const foundingFile = "founding"

func (n *membership) foundingFile() meta.File {
	return meta.OSFile(filepath.Join(string(n.credentials.folder), foundingFile))
}

// secretsOf are the secrets of the cluster that this server founds: those that it has begun with, else those of the folder of
// --init, else new ones for a cluster of that id.
func (n *membership) secretsOf(id string) (*secrets, error) {
	if n.credentials.folder == "" {
		return newSecrets(id)
	}
	b, err := n.foundingFile().Read()
	if err == nil {
		s := new(secrets)
		return s, json.Unmarshal(b, s)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var s *secrets
	if n.cfg.Init != "" {
		s, err = readInit(n.cfg.Init, time.Now())
	} else {
		s, err = newSecrets(id)
	}
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(string(n.credentials.folder), 0o700); err != nil {
		return nil, err
	}
	if b, err = json.Marshal(s); err != nil {
		return nil, err
	}
	return s, n.foundingFile().Write(b)
}

func newSecrets(id string) (*secrets, error) {
	ca, err := join.NewCA(id)
	if err != nil {
		return nil, err
	}
	key, err := ca.Key()
	if err != nil {
		return nil, err
	}
	return &secrets{Cluster: id, Root: ca.Certificate.Raw, Vault: &placement.Vault{CAKey: key}}, nil
}

// readInit reads the folder bootstrap that InitFolder has written.
func readInit(dir string, now time.Time) (*secrets, error) {
	certificate, err := os.ReadFile(filepath.Join(dir, InitRoots))
	if err != nil {
		return nil, initError(dir, err)
	}
	key, _, err := join.ReadSecret(filepath.Join(dir, initKey))
	if err != nil {
		return nil, initError(dir, err)
	}
	text, _, err := join.ReadSecret(filepath.Join(dir, initTokens))
	if err != nil {
		return nil, initError(dir, err)
	}
	ca, err := join.ParseCA(certificate, key)
	if err != nil {
		return nil, err
	}
	var tokens []initToken
	if err := json.Unmarshal(text, &tokens); err != nil {
		return nil, initError(dir, err)
	}
	der, err := ca.Key()
	if err != nil {
		return nil, err
	}
	s := &secrets{Cluster: ca.Cluster(), Root: ca.Certificate.Raw, Vault: &placement.Vault{CAKey: der}}
	for _, t := range tokens {
		k, err := t.token(now)
		if err != nil {
			return nil, initError(dir, err)
		}
		s.Vault.Put(k)
	}
	return s, s.Vault.Check()
}

func (t initToken) token(now time.Time) (placement.JoinToken, error) {
	id, err := join.ParseTokenID(t.ID)
	if err != nil {
		return placement.JoinToken{}, err
	}
	ttl, err := time.ParseDuration(t.TTL)
	if err != nil {
		return placement.JoinToken{}, err
	}
	k := placement.JoinToken{ID: placement.TokenID(id), Hash: t.Hash, Role: t.Role, Uses: placement.Unlimited, By: "init", Made: now.Unix()}
	if ttl > 0 {
		k.Ends = now.Add(ttl).Unix()
	}
	return k, nil
}

func initError(dir string, err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e
	}
	return &api.Error{Code: api.CodeInvalid, Op: "bootstrap", Hint: fmt.Sprintf("%s is not the folder \"bootstrap\" that \"edgehold init\" makes", dir), Err: err}
}

// secure makes first the map of a cluster with TLS, and this server its first node that has proved itself. The founder signs its own
// certificate.
func (n *membership) secure(first *placement.Map, s *secrets) error {
	ca, err := join.OpenCA(s.Root, s.Vault.CAKey)
	if err != nil {
		return err
	}
	first.Security, first.Roots = placement.TLS, [][]byte{s.Root}
	own := &first.Nodes[0]
	own.Names = n.cfg.Names
	id := n.credentials.identity()
	if id == nil || id.Cluster != s.Cluster {
		key, err := n.credentials.nextKey()
		if err != nil {
			return err
		}
		subject := join.Subject{Cluster: s.Cluster, Region: n.cfg.Region, Role: n.cfg.Role, Node: n.cfg.ID}
		leaf, err := ca.Sign(join.Template{Subject: subject, Key: &key.PublicKey, Names: certNames(*own), Now: time.Now()})
		if err != nil {
			return err
		}
		if id, err = join.NewIdentity(key, leaf, nil, first.Roots); err != nil {
			return err
		}
		roots, err := join.ParseCertificates(first.Roots)
		if err != nil {
			return err
		}
		if err := n.credentials.keep(id, roots); err != nil {
			return err
		}
	}
	pin := id.Pin()
	own.Pins = [][]byte{pin[:]}
	n.foundVault = s.Vault
	return first.Check()
}

// forgetSecrets removes the founder's secrets from its folder, when the meta group has them.
func (n *membership) forgetSecrets() {
	if n.credentials.folder == "" {
		return
	}
	path := filepath.Join(string(n.credentials.folder), foundingFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.log.Error("cannot remove the CA's key from the folder of the server that has founded the cluster", "file", path, "error", err)
	}
}
