package consul

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/cluster/access/accesstest"
)

// TestAccess: a request needs the rights of the keys that it reads and writes, siblings and the front's own among them. Rights on the
// front's keys give nothing beside them.
func TestAccess(t *testing.T) { accesstest.RunKeyspace(t, Prefix, verbs) }

func verbs(_ *testing.T, b *front.Backend, token string) (all []accesstest.Verb) {
	h := New(b, config())
	add := func(line, body string, needs ...accesstest.Need) {
		for way, change := range map[string]func(r *http.Request){
			"X-Consul-Token": func(r *http.Request) { r.Header.Set("X-Consul-Token", token) },
			"Bearer":         func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
			"token":          func(r *http.Request) { r.URL.RawQuery += "&token=" + token },
		} {
			all = append(all, accesstest.Verb{Name: line + " by " + way, Needs: needs, Ask: func(ctx context.Context, _ *accesstest.Client) error {
				method, target, _ := strings.Cut(line, " ")
				r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
				if token != "" {
					change(r)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				switch {
				case w.Code == http.StatusForbidden && strings.HasPrefix(w.Body.String(), "ACL not found"):
					return api.CodeUnauthenticated
				case w.Code == http.StatusForbidden:
					return api.CodeDenied
				}
				return nil
			}})
		}
	}
	read, write := accesstest.Need{Right: front.Read, Key: "consul/a"}, accesstest.Need{Right: front.Write, Key: "consul/a"}
	list := accesstest.Need{Right: front.List, Range: api.PrefixRange("consul/a")}
	mine := accesstest.Need{Right: front.Write, Key: deletedKey}
	add("GET /v1/kv/a", "", read)
	add("GET /v1/kv/a?stale", "", read, list)
	add("GET /v1/kv/a?recurse", "", read, list)
	add("GET /v1/kv/a?keys", "", list)
	add("PUT /v1/kv/a", "x", write, read)
	add("PUT /v1/kv/a?cas=5", "x", write, read)
	add("PUT /v1/kv/a?acquire=s", "x", write, read)
	add("PUT /v1/kv/a?release=s", "x", write, read)
	add("DELETE /v1/kv/a", "", write, read, mine)
	add("DELETE /v1/kv/a?recurse", "", write, read, mine, list)
	add("PUT /v1/session/create", "", accesstest.Need{Right: front.Write, Key: sessions}, accesstest.Need{Right: front.Read, Key: sessions})
	add("PUT /v1/session/destroy/s", "", accesstest.Need{Right: front.Write, Key: sessions}, accesstest.Need{Right: front.Read, Key: sessions})
	add("PUT /v1/session/renew/s", "", accesstest.Need{Right: front.Write, Key: sessions}, accesstest.Need{Right: front.Read, Key: sessions})
	add("GET /v1/session/info/s", "", accesstest.Need{Right: front.Read, Key: sessions})
	add("GET /v1/session/list", "", accesstest.Need{Right: front.Read, Key: sessions}, accesstest.Need{Right: front.List, Range: api.PrefixRange(sessions)})
	add("PUT /v1/txn", "["+kv("get", "a", "")+"]", read)
	add("PUT /v1/txn", "["+kv("get", "a", "")+","+kv("set", "a", "")+"]", read, write)
	add("PUT /v1/txn", "["+kv("delete-tree", "a", "")+"]", read, write, list)
	return all
}
