package client

import (
	"os"
	"strings"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// tokens is the token that requests carry: a fixed one, or that of a file. It is safe for concurrent use.
type tokens struct {
	file string // "" if the token is fixed

	mu  sync.Mutex
	now api.Secret
}

// newTokens returns the token of a Config. CodeInvalid if the Config has both, or if the file cannot be read.
func newTokens(cfg Config) (*tokens, error) {
	if cfg.TokenFile == "" {
		return &tokens{now: cfg.Token}, nil
	}
	if cfg.Token != "" {
		return nil, &api.Error{Code: api.CodeInvalid, Op: "open", Hint: "give a token or a file with one, not both"}
	}
	t := &tokens{file: cfg.TokenFile}
	text, err := t.read()
	if err != nil {
		return nil, &api.Error{Code: api.CodeInvalid, Op: "open", Hint: "the token file cannot be read", Err: err}
	}
	t.now = text
	return t, nil
}

func (t *tokens) read() (api.Secret, error) {
	b, err := os.ReadFile(t.file)
	return api.Secret(strings.TrimSpace(string(b))), err
}

// current returns the token; "" is none.
func (t *tokens) current() api.Secret {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// renew reads the file again after a node has refused the token was. another reports whether there is another token now, and first
// whether this call has read it.
func (t *tokens) renew(was api.Secret) (another, first bool) {
	if t.file == "" {
		return false, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now != was {
		return true, false
	}
	text, err := t.read()
	if err != nil || text == was || text == "" {
		return false, false
	}
	t.now = text
	return true, true
}
