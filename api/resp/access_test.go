package resp

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/cluster/access/accesstest"
)

// TestAccess: a command needs the rights of the keys that it reads, writes and lists, and rights on a database give nothing in
// another one.
func TestAccess(t *testing.T) { accesstest.RunKeyspace(t, "redis/1/", verbs) }

func verbs(t *testing.T, b *front.Backend, token string) (all []accesstest.Verb) {
	s := New(b, Config{})
	t.Cleanup(func() { _ = s.Close(30 * time.Second) })
	mine, theirs := net.Pipe()
	s.take(theirs)
	w := newWireConn(t, mine)
	t.Cleanup(func() { _ = mine.Close() })
	if token != "" {
		if got := w.ask("AUTH", token); got != "+OK\r\n" {
			t.Fatalf("AUTH: %q", got)
		}
	}
	for _, db := range []string{"1", "10", "0"} {
		dir := api.Key("redis/" + db + "/")
		add := func(rights []front.Right, commands ...string) {
			var needs []accesstest.Need
			for _, r := range rights {
				n := accesstest.Need{Right: r, Key: dir + "k"}
				if r == front.List {
					n = accesstest.Need{Right: r, Range: api.PrefixRange(dir + "k")}
				}
				needs = append(needs, n)
			}
			all = append(all, accesstest.Verb{Name: strings.Join(commands, ", ") + " in " + db, Needs: needs, Ask: func(context.Context, *accesstest.Client) error {
				return w.codeOf(append([]string{"SELECT " + db}, commands...))
			}})
		}
		r, wr, l := front.Read, front.Write, front.List
		for _, c := range []string{"GET k", "MGET k k", "EXISTS k", "TTL k", "TYPE k", "STRLEN k", "GETEX k", "WATCH k"} {
			add([]front.Right{r}, c)
		}
		for _, c := range []string{"SET k v", "SET k v EX 10", "MSET k v"} {
			add([]front.Right{wr}, c)
		}
		for _, c := range []string{
			"SET k v NX", "SET k v XX", "SET k v GET", "SETNX k v", "GETSET k v", "GETDEL k", "GETEX k EX 10", "MSETNX k v", "DEL k", "UNLINK k",
			"INCRBY k 1", "APPEND k 1", "EXPIRE k 10", "PERSIST k",
		} {
			add([]front.Right{r, wr}, c)
		}
		add([]front.Right{l}, "SCAN 0 MATCH k*")
		add([]front.Right{l}, "KEYS k*")
		add([]front.Right{r}, "MULTI", "GET k", "EXEC")
		add([]front.Right{wr}, "MULTI", "SET k v", "EXEC")
		add([]front.Right{r, wr}, "MULTI", "SET k v", "GET k", "EXEC")
		add([]front.Right{r, wr}, "MULTI", "SET k v", "EXPIRE k 10", "EXEC")
	}
	return all
}

// codeOf sends commands and returns the code of the error of the last one.
func (w *wireConn) codeOf(commands []string) error {
	answer := ""
	for _, c := range commands {
		answer = w.ask(strings.Fields(c)...)
	}
	switch {
	case strings.HasPrefix(answer, "-NOPERM"):
		return api.CodeDenied
	case strings.HasPrefix(answer, "-NOAUTH"):
		return api.CodeUnauthenticated
	}
	return nil
}

// TestAuthentication: a client without rights may authenticate itself, and nothing else; a token that is wrong is refused, and ten in
// a row end the connection.
func TestAuthentication(t *testing.T) {
	a := &tokens{of: map[string]string{"secret": "app"}}
	s := serve(t, func(f *front.Config, _ *Config) { f.Access = a })
	w := dialWire(t, s.address)
	for command, want := range map[string]string{
		"GET k": "-NOAUTH", "PING": "-NOAUTH", "NOSUCH": "-NOAUTH", "HELLO 3": "-NOAUTH HELLO", "AUTH wrong": "-WRONGPASS", "AUTH": "-ERR wrong number",
		"AUTH a b c": "-ERR syntax", "HELLO 2 AUTH u wrong": "-WRONGPASS", "GET": "-NOAUTH",
	} {
		if got := w.ask(strings.Fields(command)...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", command, got)
		}
	}
	for _, command := range []string{"AUTH secret", "AUTH any secret", "HELLO 2 AUTH any secret SETNAME me"} {
		w := dialWire(t, s.address)
		if got := w.ask(strings.Fields(command)...); got != "+OK\r\n" && got[0] != '*' {
			t.Errorf("%s: %q", command, got)
		}
		if got := w.ask("GET", "k"); got != "$-1\r\n" {
			t.Errorf("after %s: %q", command, got)
		}
		if got := w.ask("AUTH", "wrong"); !strings.HasPrefix(got, "-WRONGPASS") {
			t.Errorf("after %s: %q", command, got)
		}
		if got := w.ask("GET", "k"); got != "$-1\r\n" {
			t.Errorf("a wrong token took the principal away: %q", got)
		}
		if got := w.ask("RESET"); got != "+RESET\r\n" {
			t.Errorf("RESET: %q", got)
		}
		if got := w.ask("GET", "k"); !strings.HasPrefix(got, "-NOAUTH") {
			t.Errorf("after RESET: %q", got)
		}
	}
	guesser := dialWire(t, s.address)
	for range maxWrongInARow {
		guesser.ask("AUTH", "guess")
	}
	if got := guesser.ask("AUTH", "secret"); got != "" {
		t.Errorf("after %d guesses: %q", maxWrongInARow, got)
	}
}

// TestStrangers: what a client that must authenticate itself may make a node keep is little.
func TestStrangers(t *testing.T) {
	s := serve(t, func(f *front.Config, _ *Config) { f.Access = &tokens{of: map[string]string{"secret": "app"}} })
	for what, c := range map[string]struct{ bytes, want string }{
		"many arguments":  {"*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"},
		"long arguments":  {"*3\r\n$4\r\nAUTH\r\n$9000\r\n" + strings.Repeat("x", 9000) + "\r\n$9000\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"},
		"a long argument": {"*2\r\n$4\r\nAUTH\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"},
	} {
		w := dialWire(t, s.address)
		if _, err := w.c.Write([]byte(c.bytes)); err != nil {
			t.Fatal(err)
		}
		if got := w.receive(); got != c.want {
			t.Errorf("%s: %q", what, got)
		}
		if got := w.receive(); got != "" {
			t.Errorf("%s: then %q", what, got)
		}
	}
}

// TestAuthenticatedAtOnce: what comes together with AUTH may be as large as after its answer.
func TestAuthenticatedAtOnce(t *testing.T) {
	s := serve(t, func(f *front.Config, _ *Config) { f.Access = &tokens{of: map[string]string{"secret": "app"}} })
	w := dialWire(t, s.address)
	value := strings.Repeat("v", strangeBytes+1)
	sent := append(encode("AUTH", "secret"), encode(append([]string{"MSET"}, slicesOf("k", 2*strangers)...)...)...)
	if _, err := w.c.Write(append(sent, encode("SET", "k", value)...)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := w.receive(); got != "+OK\r\n" {
			t.Errorf("got %q", got)
		}
	}
}

// tokens is an Access with tokens that may do everything, and denied keys.
type tokens struct {
	of     map[string]string
	denied api.Key
}

func (a *tokens) Authenticate(credential, _ string) (*front.Principal, error) {
	if credential == "" {
		return &front.Principal{}, nil
	}
	if name := a.of[credential]; name != "" {
		return &front.Principal{Name: name}, nil
	}
	return nil, api.CodeUnauthenticated
}

func (a *tokens) Check(p *front.Principal) error {
	if p.Anonymous() && len(a.of) > 0 {
		return api.CodeUnauthenticated
	}
	return nil
}

func (a *tokens) Enter(p *front.Principal, _ int64) error { return a.Check(p) }
func (a *tokens) Charge(*front.Principal, int64)          {}
func (a *tokens) AllowKey(_ *front.Principal, _ string, _ front.Right, k api.Key) error {
	if k == a.denied {
		return &api.Error{Code: api.CodeDenied, Key: k}
	}
	return nil
}
func (a *tokens) Holds(*front.Principal, front.Right, api.Key) bool                 { return true }
func (a *tokens) AllowRange(*front.Principal, string, front.Right, api.Range) error { return nil }
func (a *tokens) AllowCluster(*front.Principal, string, front.Right, string) error  { return nil }
func (a *tokens) Changes() uint64                                                   { return 0 }
func (a *tokens) Describe(*front.Principal) (*api.Self, error)                      { return &api.Self{}, nil }
