package kvconnect

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/cluster/access/accesstest"
)

// TestAccess: a request needs the rights of the keys that it reads and writes, siblings among them, and a write the right to list the
// database, which makes its versionstamp exact. Rights on a database give nothing in another one.
func TestAccess(t *testing.T) { accesstest.RunKeyspace(t, "deno/app/", verbs) }

func verbs(_ *testing.T, b *front.Backend, token string) (all []accesstest.Verb) {
	h := New(b)
	for _, name := range []string{"app", "app2", "other"} {
		d := database{name}
		add := func(name string, needs []accesstest.Need, route string, body []byte) {
			all = append(all, accesstest.Verb{Name: name + " in " + d.name, Needs: needs, Ask: func(ctx context.Context, _ *accesstest.Client) error {
				return ask(ctx, h, d, token, route, body)
			}})
		}
		need := func(r front.Right, keys ...string) (all []accesstest.Need) {
			for _, key := range keys {
				all = append(all, accesstest.Need{Right: r, Key: d.data([]byte(key))}, accesstest.Need{Right: r, Key: d.meta([]byte(key))})
			}
			return all
		}
		within := func(r front.Right) accesstest.Need {
			return accesstest.Need{Right: r, Range: api.PrefixRange(d.prefix())}
		}
		key := k("a")
		add("the exchange", []accesstest.Need{within(front.List)}, "", []byte(`{"supportedVersions":[3]}`))
		add("get", need(front.Read, key), "/strong/"+routeRead, readMessage(rng{start: key}))
		add("getMany", need(front.Read, key, k("b")), "/strong/"+routeRead, readMessage(rng{start: key}, rng{start: k("b")}))
		add("list", append(need(front.Read, key), within(front.List)), "/eventual/"+routeRead, readMessage(rng{"\x02", "\x03", 10, false}))
		add("set", append(need(front.Write, key), within(front.List)), "/strong/"+routeWrite, writeMessage(nil, put(key, "x")))
		add("delete", append(need(front.Write, key), within(front.List)), "/strong/"+routeWrite, writeMessage(nil, del(key)))
		add("set with a check", append(append(need(front.Write, key), need(front.Read, k("b"))[0]), within(front.List)), "/strong/"+routeWrite,
			writeMessage([]chk{{k("b"), ""}}, put(key, "x")))
		add("sum", append(append(need(front.Write, key), need(front.Read, key)...), within(front.List)), "/strong/"+routeWrite, writeMessage(nil, sum(key, 1)))
	}
	return all
}

func ask(ctx context.Context, h http.Handler, d database, token, route string, body []byte) error {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, pathPrefix+d.name+route, bytes.NewReader(body))
	r.Header.Set("X-Denokv-Version", "3")
	r.Header.Set("X-Denokv-Database-Id", d.id())
	if token == "" {
		token = Anonymous
	}
	r.Header.Set("Authorization", "Bearer "+token)
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
