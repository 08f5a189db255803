package workerskv_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/workerskv"
	"github.com/edgehold/edgehold/cluster/access/accesstest"
)

// TestAccess: a request needs the rights of the keys that it reads and writes, metadata among them, and rights on a namespace give nothing
// in another one.
func TestAccess(t *testing.T) { accesstest.RunKeyspace(t, "kv/NS/", verbs) }

func verbs(_ *testing.T, b *front.Backend, token string) (all []accesstest.Verb) {
	h := workerskv.New(b)
	for _, ns := range []string{"NS", "NS2", "other"} {
		dir := api.Key("kv/" + ns + "/")
		add := func(name string, needs []accesstest.Need, method, target, body string) {
			all = append(all, accesstest.Verb{Name: name + " in " + ns, Needs: needs, Ask: func(ctx context.Context, _ *accesstest.Client) error {
				return ask(ctx, h, token, ns, method, target, body)
			}})
		}
		need := func(r front.Right, keys ...api.Key) (all []accesstest.Need) {
			for _, k := range keys {
				all = append(all, accesstest.Need{Right: r, Key: dir + k})
			}
			return all
		}
		add("get", need(front.Read, "k", ".meta/k"), "GET", "/k", "")
		add("get with cache_ttl", need(front.Read, "k", ".meta/k"), "GET", "/k?cache_ttl=60", "")
		add("put", need(front.Write, "k", ".meta/k"), "PUT", "/k", "v")
		add("delete", need(front.Write, "k", ".meta/k"), "DELETE", "/k", "")
		add("list", append(need(front.Read, ".meta/a"), accesstest.Need{Right: front.List, Range: api.PrefixRange(dir + "a")}), "GET", "/?prefix=a", "")
		add("list all", append(need(front.Read, ".meta/"), accesstest.Need{Right: front.List, Range: api.PrefixRange(dir)}), "GET", "/", "")
		add("bulk", need(front.Read, "k", "l"), "POST", "/bulk/get", `{"keys":["k","l"]}`)
	}
	return all
}

func ask(ctx context.Context, h http.Handler, token, ns, method, target, body string) error {
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	r.Header.Set(workerskv.NamespaceHeader, ns)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	switch w.Code {
	case http.StatusUnauthorized:
		return api.CodeUnauthenticated
	case http.StatusForbidden:
		return api.CodeDenied
	}
	return nil
}
