package consul

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// client speaks the protocol to the front over a reference store.
type client struct {
	testing.TB
	h http.Handler
	m *storetest.Memory
}

func config() Config {
	return Config{
		Region: "home", Server: true, Address: "10.0.0.1:7400", Regions: func() []api.RegionID { return []api.RegionID{"home", "away"} },
		OneOwner: func() error { return nil }, Home: func() Home { return Home{"127.0.0.1:1", []string{"127.0.0.1:1", "127.0.0.1:2"}} },
	}
}

func newClient(t testing.TB, change ...func(*front.Config)) *client {
	m := storetest.NewMemory()
	c := front.Config{Store: m, Lister: m, Watcher: m, Node: "n1", URL: "http://n1:7400"}
	for _, f := range change {
		f(&c)
	}
	return &client{t, New(front.New(c), config()), m}
}

// reply is an answer.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends "METHOD PATH", with a body; header lines are "Name: value".
func (c *client) ask(line, body string, lines ...string) reply {
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequestWithContext(c.Context(), method, target, strings.NewReader(body))
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		c.Error(err)
	}
	return reply{w.Code, w.Result().Header, string(b)}
}

// want asks, and demands the status and the body.
func (c *client) want(line, body string, status int, answer string) reply {
	c.Helper()
	r := c.ask(line, body)
	if r.status != status || r.body != answer {
		c.Errorf("%s is answered %d %s, want %d %s", line, r.status, r.body, status, answer)
	}
	return r
}

// pairs asks for keys.
func (c *client) pairs(target string) (all []pair) {
	c.Helper()
	r := c.ask("GET /v1/kv/"+target, "")
	if r.status == http.StatusNotFound {
		return nil
	}
	if err := json.Unmarshal([]byte(r.body), &all); err != nil {
		c.Fatalf("%s: %d %s", target, r.status, r.body)
	}
	return all
}

// one is the key that is asked for; the zero pair if it is absent.
func (c *client) one(key string) pair {
	c.Helper()
	if all := c.pairs(key); len(all) == 1 {
		return all[0]
	}
	return pair{}
}

// session creates a session, and returns its id.
func (c *client) session(body string) string {
	c.Helper()
	var made struct{ ID string }
	r := c.ask("PUT /v1/session/create", body)
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || len(made.ID) != 36 {
		c.Fatalf("a session %s: %d %s", body, r.status, r.body)
	}
	return made.ID
}

func (r reply) index() string { return r.header.Get("X-Consul-Index") }
