package cluster

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// debugFiles are the files of a node's debug bundle.
func debugFiles(t *testing.T, bundle []byte) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(bundle))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(text)
	}
}

func (n *Node) debugBundle(t *testing.T) map[string]string {
	t.Helper()
	var b bytes.Buffer
	if err := n.WriteDebug(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return debugFiles(t, b.Bytes())
}

// TestDebugBundle checks that a server and an edge say what they are and how they are.
func TestDebugBundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		plan := planned(t, "s1", "e1")
		s, e := b.config("s1", api.RoleServer), b.config("e1", api.RoleEdge)
		s.Static, e.Static, s.Version = plan, plan, "v1.2.3"
		for _, n := range []*Node{b.open(s), b.open(e)} {
			b.ready(n)
			n.log.Named("test").Warn("something odd", "n", 1)
			n.log.Debug("a detail")
			files := n.debugBundle(t)
			for name, want := range map[string]string{
				"version.json": `"go": "go`, "config.json": `"node": "` + string(n.ID()) + `"`, "status.json": `"cluster_id": "` + plan.ClusterID + `"`,
				"settings.json": `"dead-after"`, "map.json": `"s1"`, "metrics.txt": "\nedgehold_meta_map_version 1\n",
				"goroutines.txt": "goroutine profile: total", "heap.pprof": "\x1f\x8b", "log.txt": string(n.ID()) + ".test: something odd: n=1\n",
			} {
				if !strings.Contains(files[name], want) {
					t.Errorf("%s: %s has no %q:\n%.500s", n.ID(), name, want, files[name])
				}
			}
			if len(files) != len(debugParts) || strings.Contains(files["log.txt"], "a detail") {
				t.Errorf("%d files; the log is\n%s", len(files), files["log.txt"])
			}
			for name, text := range files {
				if strings.HasSuffix(name, ".json") && !json.Valid([]byte(text)) {
					t.Errorf("%s is no JSON", name)
				}
			}
		}
	})
}

// TestDebugBundleGoesOn says why a part is not there, refuses a second bundle at the same time, and makes one again after that.
func TestDebugBundleGoesOn(t *testing.T) {
	n := &Node{log: hclog.NewNullLogger(), metrics: newMetrics(), started: time.Now()}
	n.cfg.ID = "s1"
	parts := append(slices.Clone(debugParts[:2]),
		debugPart{"broken.txt", func(_ *Node, _ context.Context, w io.Writer) error {
			_, _ = io.WriteString(w, "a half")
			return errors.New("it is broken")
		}},
		debugPart{"endless.txt", func(_ *Node, _ context.Context, w io.Writer) error {
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return err
				}
			}
		}},
		debugPart{"again.txt", func(n *Node, ctx context.Context, w io.Writer) error {
			err := n.WriteDebug(ctx, io.Discard)
			_, _ = io.WriteString(w, string(api.CodeOf(err)))
			return nil
		}},
	)
	for range 2 {
		var b bytes.Buffer
		if err := n.writeDebug(t.Context(), &b, parts); err != nil {
			t.Fatal(err)
		}
		files := debugFiles(t, b.Bytes())
		if files["broken.txt.error"] != "it is broken\n" || !strings.Contains(files["endless.txt.error"], "over the limit") || files["again.txt"] != "unavailable" || len(files) != 5 {
			t.Errorf("%v", files)
		}
	}
	if err := n.WriteDebug(t.Context(), errWriter{}); err == nil || n.debugging.Load() {
		t.Errorf("a client that has gone: %v", err)
	}
}

type errWriter struct{}

func (errWriter) Write([]byte) (int, error) { return 0, errors.New("gone") }

// forms are the ways in which a secret may be written.
func forms(b []byte) []string {
	return []string{string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b)}
}

// TestDebugBundleHasNoSecret searches the bundles of a server and an edge of a secure cluster, each of which was given a join token, for
// every secret that there is: access tokens, join tokens, private keys, that of the CA too, and for keys, values and ids of requests.
func TestDebugBundleHasNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		var tokens []string
		nodes := []*Node{j.first}
		for id, role := range map[api.NodeID]api.Role{"s2": api.RoleServer, "e1": api.RoleEdge} {
			token := j.token(api.JoinTokenSpec{Role: role, TTL: time.Hour})
			cfg, _ := j.joiner(id, role, token)
			cfg.Dir = t.TempDir()
			n := j.open(cfg)
			j.ready(n)
			tokens, nodes = append(tokens, token), append(nodes, n)
		}
		access, err := j.first.CreateAccessToken(asSocket(), api.AccessTokenSpec{Name: "app", Policies: []string{"all"}}, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, access.Token)
		secrets := map[string][]string{"the value": {"private-value"}, "the key": {"private-key"}, "the id of the request": {"private-request"}}
		for _, n := range nodes {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/kv/private-key", strings.NewReader("private-value"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+access.Token)
			r.Header.Set("Idempotency-Key", "private-request")
			w := httptest.NewRecorder()
			if n.api.ServeHTTP(w, r); w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", n.ID(), w.Code, w.Body)
			}
			_ = n.get(access.Token, "/v1/kv/private-key")
			_ = n.get(access.Token+"x", "/v1/kv/private-key") // and one that is refused
			key, err := x509.MarshalPKCS8PrivateKey(n.membership.credentials.identity().Key)
			if err != nil {
				t.Fatal(err)
			}
			secrets["the key of "+string(n.ID())] = keyForms(t, key)
			for _, v := range n.membership.credentials.identity().Vouchers {
				secrets["a voucher of "+string(n.ID())] = forms(v.Raw)
			}
		}
		vault, err := j.first.members.get(ident.MetaGroup).meta.Vault(t.Context())
		if err != nil || len(vault.CAKey) == 0 || len(vault.Tokens) == 0 {
			t.Fatalf("%v", err)
		}
		secrets["the key of the CA"] = keyForms(t, vault.CAKey)
		for _, text := range tokens {
			body := text[strings.IndexByte(text, '_')+1:]
			secrets["the token "+text] = []string{text, body, body[len(body)/2:]}
		}
		for _, x := range vault.Tokens {
			secrets["the hash of a join token"] = forms(x.Hash)
		}
		for _, n := range nodes {
			for name, text := range n.debugBundle(t) {
				for what, forms := range secrets {
					for _, f := range forms {
						if strings.Contains(text, f) {
							t.Errorf("%s: %s has %s", n.ID(), name, what)
						}
					}
				}
				if strings.Contains(text, "PRIVATE KEY") {
					t.Errorf("%s: %s has a private key", n.ID(), name)
				}
			}
		}
	})
}

// keyForms are the ways in which a private key may be written: as it is, its secret number, and the lines of PEM.
func keyForms(t *testing.T, der []byte) []string {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	d, err := key.(interface{ Bytes() ([]byte, error) }).Bytes()
	if err != nil || len(d) != 32 {
		t.Fatal(err)
	}
	all := append(forms(der), forms(d)...)
	lines := strings.Split(string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: der})), "\n")
	return append(all, lines[2]) // the first one is the same for every key of a kind
}

// TestDebugBundleNeedsOperate checks the right, at an edge too: a token with it gets the bundle, and no other.
func TestDebugBundleNeedsOperate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(newBubble(t), func(*Config) {}, "s1", "e1")
		for policy, want := range map[string][2]int{ // at a server, and at an edge, which knows no administrators
			"": {401, 401}, "observe": {403, 403}, "all": {403, 403}, "operate": {200, 200}, "admin": {200, 401},
		} {
			token := ""
			if policy != "" {
				token = g.token("s1", api.AccessTokenSpec{Name: policy, Policies: []string{policy}}).Token
			}
			for i, at := range []api.NodeID{"s1", "e1"} {
				w := g.nodes[at].get(token, "/v1/debug")
				if w.Code != want[i] {
					t.Errorf("%s with %q: %d with %.60s", at, policy, w.Code, w.Body)
				} else if w.Code == http.StatusOK && len(debugFiles(t, w.Body.Bytes())) != len(debugParts) {
					t.Errorf("%s: the bundle is not whole", at)
				}
			}
		}
	})
}
