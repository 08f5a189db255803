package local_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/local"
)

// ask is one request over HTTP.
type ask struct {
	method, path, body string
	header             string // Name: value
}

func put(key, value string) ask { return ask{method: "PUT", path: "/v1/kv/" + key, body: value} }

func txn(steps ...string) ask {
	return ask{method: "POST", path: "/v1/txn", body: `{"then":[` + strings.Join(steps, ",") + `]}`}
}

func step(name, key, value string) string {
	return fmt.Sprintf(`{%q:{"key":%q,"value":%q}}`, name, key, value)
}

func times(n int, step string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = step
	}
	return all
}

// TestLimitsOverHTTP reaches each limit that clients meet, through a server and through an edge: what is at the limit is done, and
// what is one over is refused with 413, names the limit and the size, and changes nothing.
func TestLimitsOverHTTP(t *testing.T) {
	if testing.Short() {
		t.Skip("megabytes, for limits")
	}
	temporary(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p, err := local.Start(ctx, local.Config{Regions: []api.RegionID{"here", "there"}, Replicas: 1, Port: -1, WAN: "off"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	nodes := p.Nodes()
	const kept = "here/kept" // every refused write would change it
	big := func(n int) string { return strings.Repeat("v", n) }
	half := func(key string) string { return step("put", key, big(api.MaxValueBytes-len(key))) } // an eighth of the bytes of a transaction
	eighths := func(regions ...string) (steps []string) {
		for i := range 8 {
			steps = append(steps, half(fmt.Sprintf("%s/t%d", regions[i%len(regions)], i)))
		}
		return steps
	}
	const full = "here/full"
	send(ctx, t, nodes[0].URL, put(full, big(api.MaxValueBytes-1)), 200)
	get := func(key string) string { return `{"get":{"key":"` + key + `"}}` }
	one := txn(get(kept)).body
	for _, c := range []struct {
		name     string
		at, over ask
		names    []string
	}{
		{"key", put("here/"+big(api.MaxKeyBytes-5), "x"), put("here/"+big(api.MaxKeyBytes-4), "x"), []string{"4096", "4097"}},
		{"key to be read", ask{method: "GET", path: "/v1/kv/here/" + big(api.MaxKeyBytes-5)}, ask{method: "GET", path: "/v1/kv/here/" + big(api.MaxKeyBytes-4)}, []string{"4096", "4097"}},
		{"value", put("here/v", big(api.MaxValueBytes)), put(kept, big(api.MaxValueBytes+1)), []string{"1048576", "1048577"}},
		{"value of a step", txn(step("put", "here/v", big(api.MaxValueBytes))), txn(step("put", kept, "x"), step("put", kept, big(api.MaxValueBytes+1))), []string{"1048576", "1048577"}},
		{"value that grows", txn(step("append_if_absent", full, "x")), txn(step("put", kept, "x"), step("append_if_absent", full, "yy")), []string{"1048576", "1048578"}},
		{"Idempotency-Key", ask{"PUT", "/v1/kv/here/i", "x", "Idempotency-Key: " + big(api.MaxIdempotencyKeyBytes)},
			ask{"PUT", "/v1/kv/" + kept, "x", "Idempotency-Key: " + big(api.MaxIdempotencyKeyBytes+1)}, []string{"255", "256"}},
		{"operations", txn(times(api.MaxTxnOps, step("put", "here/o", "x"))...), txn(times(api.MaxTxnOps+1, step("put", kept, "x"))...), []string{"2500", "2501"}},
		{"bytes", txn(eighths("here")...), txn(append(eighths("here"), step("put", kept, ""))...), []string{"8388608", "8388617"}},
		{"bytes over regions", txn(eighths("here", "there")...), txn(append(eighths("here", "there"), step("put", kept, ""))...), []string{"8388608", "8388617"}},
		{"what a transaction reads", txn(append(times(8, get(full)), step("put", "here/w", "x"))...),
			txn(append(times(8, get(full)), get(kept), step("put", kept, "x"))...), []string{"8388608", "8388612"}},
		{"what it reads over regions", txn(append(times(8, get("there/t1")), step("put", "here/w", "x"))...),
			txn(append(append(times(4, get(full)), times(5, get("there/t1"))...), step("put", kept, "x"))...), []string{"8388608", "9437144"}},
		{"what it makes", txn(append(times(8, step("append_if_absent", full, "v")), step("put", "here/w", "x"))...),
			txn(append(append(times(8, get(full)), `{"add":{"key":"`+kept+`n","delta":1}}`), step("put", kept, "x"))...), []string{"8388608", "8388628"}},
		{"body", ask{method: "POST", path: "/v1/txn", body: one + strings.Repeat(" ", api.MaxTxnBodyBytes-len(one))},
			ask{method: "POST", path: "/v1/txn", body: one + strings.Repeat(" ", api.MaxTxnBodyBytes-len(one)+1)}, []string{fmt.Sprint(api.MaxTxnBodyBytes), fmt.Sprint(api.MaxTxnBodyBytes + 1)}},
		{"list page", ask{method: "GET", path: "/v1/kv?prefix=here/&keys_only&limit=1000"}, ask{method: "GET", path: "/v1/kv?prefix=here/&limit=1001"}, []string{"1000", "1001"}},
		{"bound of a list", ask{method: "GET", path: "/v1/kv?keys_only&start=" + big(api.MaxKeyBytes)}, ask{method: "GET", path: "/v1/kv?start=" + big(api.MaxKeyBytes+1)}, []string{"4096", "4097"}},
		{"prefix of a placement", ask{method: "POST", path: "/v1/cluster/placement", body: fmt.Sprintf(`{"prefix":%q,"region":"here"}`, big(api.MaxKeyBytes))},
			ask{method: "POST", path: "/v1/cluster/placement", body: fmt.Sprintf(`{"prefix":%q,"region":"here"}`, big(api.MaxKeyBytes+1))}, []string{"4096", "4097"}},
	} {
		for _, node := range []local.NodeInfo{nodes[0], nodes[len(nodes)-1]} {
			where := c.name + " at " + string(node.Node)
			if strings.HasSuffix(c.at.path, "/placement") && node.Role == api.RoleEdge { // administration is served at servers alone
				send(ctx, t, node.URL, c.at, 403)
				continue
			}
			send(ctx, t, node.URL, put(kept, "kept"), 200)
			send(ctx, t, node.URL, c.at, 200)
			answer := send(ctx, t, node.URL, c.over, 413)
			var problem struct{ Code, Applied, Detail string }
			if err := json.Unmarshal([]byte(answer), &problem); err != nil || problem.Code != "too_large" || problem.Applied != "no" {
				t.Errorf("%s: %.300s", where, answer)
			}
			for _, n := range c.names {
				if !strings.Contains(problem.Detail, n) {
					t.Errorf("%s: %q does not name %s", where, problem.Detail, n)
				}
			}
			if got := send(ctx, t, node.URL, ask{method: "GET", path: "/v1/kv/" + kept}, 200); got != "kept" {
				t.Errorf("%s: what was refused has changed the key to %.40q", where, got)
			}
		}
	}
}

// send sends the request and wants an answer of that status.
func send(ctx context.Context, t *testing.T, url string, a ask, status int) (body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, a.method, url+a.path, strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	if name, value, ok := strings.Cut(a.header, ": "); ok {
		req.Header.Set(name, value)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %.60s: %v", a.method, a.path, err)
	}
	defer func() { _ = r.Body.Close() }() // it has been read
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != status {
		t.Errorf("%s %.60s: status %d, want %d: %.300s", a.method, a.path, r.StatusCode, status, b)
	}
	return string(b)
}
