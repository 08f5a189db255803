package fronts

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// refreshes is the load of TestRefreshTokens: so many requests for so many sessions, of which so many are under way at once.
const (
	refreshes       = 10_000
	refreshSessions = 100
	refreshAtOnce   = 400
)

// TestRefreshTokens: a Worker rotates refresh tokens by a conditional write through a service binding. Of 10,000 refreshes that bring 100 tokens
// to two edges at once, exactly 100 rotate: none twice, and none is lost.
func TestRefreshTokens(t *testing.T) {
	apps := []string{serveRefresh(t, homeEdge(t)), serveRefresh(t, farEdge(t))}
	transport := &http.Transport{MaxConnsPerHost: refreshAtOnce / 2, MaxIdleConnsPerHost: refreshAtOnce}
	t.Cleanup(transport.CloseIdleConnections)
	c := &refreshClient{t: t, http: &http.Client{Transport: transport, Timeout: time.Minute}}

	tokens := make([]string, refreshSessions)
	for i := range tokens {
		if tokens[i] = c.ask(apps[0], "/login", i, ""); tokens[i] == "" {
			t.Fatalf("user %d cannot log in", i)
		}
	}
	var next [refreshSessions]atomic.Pointer[string]
	var rotated atomic.Int64
	at := make(chan int)
	var wg sync.WaitGroup
	for range refreshAtOnce {
		wg.Go(func() {
			for n := range at {
				user := n / len(apps) % refreshSessions
				if token := c.ask(apps[n%len(apps)], "/refresh", user, tokens[user]); token != "" {
					rotated.Add(1)
					next[user].Store(&token)
				}
			}
		})
	}
	for n := range refreshes {
		at <- n
	}
	close(at)
	wg.Wait()
	if n := rotated.Load(); n != refreshSessions {
		t.Errorf("%d refreshes have rotated %d tokens", n, refreshSessions)
	}
	for user := range refreshSessions {
		token := next[user].Load()
		if token == nil {
			t.Errorf("no refresh of user %d has rotated the token", user)
		} else if c.ask(apps[user%2], "/refresh", user, *token) == "" {
			t.Errorf("the new token of user %d is not valid", user)
		}
	}
}

// serveRefresh runs the example at an edge.
func serveRefresh(t *testing.T, edge string) (url string) {
	t.Helper()
	dir := t.TempDir()
	copyFile(t, filepath.Join(dir, "refresh.mjs"), "../../examples/workers/refresh.mjs")
	config, err := os.ReadFile("../../examples/workers/refresh.capnp")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "refresh.capnp")
	write(t, file, strings.Replace(string(config), `"127.0.0.1:7411"`, strconv.Quote(strings.TrimPrefix(edge, "http://")), 1))
	return serve(t, file)
}

type refreshClient struct {
	t    *testing.T
	http *http.Client
}

// ask returns the new token; "" if the request is refused because its token has been used.
func (c *refreshClient) ask(app, path string, user int, token string) string {
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, app+path+"?user="+url.QueryEscape(fmt.Sprint("refresh", user)), strings.NewReader(token))
	if err != nil {
		c.t.Error(err)
		return ""
	}
	res, err := c.http.Do(r)
	if err != nil {
		c.t.Error(err)
		return ""
	}
	defer func() { _ = res.Body.Close() }() // it has been read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Error(err)
	}
	var got struct{ Token string }
	switch res.StatusCode {
	case http.StatusOK:
		if err := json.Unmarshal(body, &got); err != nil || got.Token == "" {
			c.t.Errorf("%s: %s", path, body)
		}
	case http.StatusUnauthorized:
	default:
		c.t.Errorf("%s is answered %s: %s", path, res.Status, body)
	}
	return got.Token
}
