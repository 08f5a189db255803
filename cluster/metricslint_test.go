package cluster

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// exported is what a scrape of the node gets.
func (n *Node) exported(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	n.metrics.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("a scrape of %s got %d", n.ID(), w.Code)
	}
	return w.Body.String()
}

// operatorMetrics are the metrics that alerts and operators rely on, with their types and labels beside that of the group: a node has
// each of them under this name.
var operatorMetrics = map[string]string{
	"edgehold_identity_not_after_seconds":        "gauge",
	"edgehold_identity_renewals_total":           "counter",
	"edgehold_identity_expired_peers_total":      "counter",
	"edgehold_identity_client_cert_errors_total": "counter",
	"edgehold_identity_handshakes_total":         "counter whom outcome",
	"edgehold_identity_handshake_seconds":        "histogram whom",
	"edgehold_identity_refused_peers_total":      "counter why",
	"edgehold_meta_joins_total":                  "counter",
	"edgehold_meta_node_heard_seconds":           "gauge node",
	"edgehold_meta_level":                        "gauge",
	"edgehold_meta_map_version":                  "gauge",
	"edgehold_meta_roll_version":                 "gauge",
	"edgehold_meta_steward_actions_total":        "counter command",
	"edgehold_access_checks_total":               "counter",
	"edgehold_access_limited_total":              "counter",
	"edgehold_access_age_seconds":                "gauge",
	"edgehold_access_audit_errors_total":         "counter",
	"edgehold_replica_voters":                    "gauge group",
	"edgehold_replica_voters_heard":              "gauge group",
	"edgehold_replica_member_changes_total":      "counter group",
	"edgehold_region_holders_barred":             "gauge group",
	"edgehold_disk_free_bytes":                   "gauge",
	"edgehold_disk_fsync_seconds":                "histogram group",
}

// TestMetricsOfEveryNode checks the metrics of a server, an edge and an edge without a port, of a cluster with TLS: they are there with their
// names, types and labels, those of what has happened have moved, and Prometheus' own tool finds nothing to say about any.
func TestMetricsOfEveryNode(t *testing.T) {
	const full = "/dev/full" // takes no line of an audit log
	texts := map[api.NodeID]string{}
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		nodes := []*Node{j.first}
		for _, id := range []api.NodeID{"s2", "s3", "e1", "e2"} {
			role := api.RoleServer
			if id[0] == 'e' {
				role = api.RoleEdge
			}
			cfg, _ := j.joiner(id, role, j.token(api.JoinTokenSpec{Role: role, TTL: time.Hour}))
			cfg.Dir = t.TempDir()
			if _, err := os.Stat(full); err == nil && id == "e1" {
				cfg.Audit = full
			}
			if id == "e2" { // embedded in a program
				_ = cfg.Listener.Close()
				cfg.Listener, cfg.Advertise = nil, ""
			}
			n := j.open(cfg)
			j.ready(n)
			nodes = append(nodes, n)
		}
		access, err := j.first.CreateAccessToken(asSocket(), api.AccessTokenSpec{Name: "app", Policies: []string{"all"}, Ops: 1}, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			for range 3 { // the last ones are over the rate
				_ = n.get(access.Token, "/v1/kv/a")
			}
		}
		_ = nodes[3].get("", "/v1/kv/a")
		if _, err := j.first.Drain(asSocket(), "e1", 5*time.Second); err != nil { // whose end is due then
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second) // the servers become voters
		_ = nodes[2].Close()
		time.Sleep(30 * time.Second)
		for _, n := range nodes {
			if n.ID() != "s3" {
				texts[n.ID()] = n.exported(t)
			}
		}
	})
	for id, text := range texts {
		lint(t, id, text)
	}
	all := texts["s1"] + texts["s2"]
	for name, want := range operatorMetrics {
		kind, labels, _ := strings.Cut(want, " ")
		if !strings.Contains(all, "\n# TYPE "+name+" "+kind+"\n") {
			if !happened[name] {
				t.Errorf("no server has a %s %s", kind, name)
			}
			continue
		}
		for label := range strings.FieldsSeq(labels) {
			if !strings.Contains(all, label+`="`) || !hasLabel(all, name, label) {
				t.Errorf("%s has no label %s", name, label)
			}
		}
	}
	for _, line := range []string{"edgehold_access_checks_total 3", "edgehold_access_limited_total 2", "edgehold_meta_joins_total 5"} {
		if !strings.Contains(texts["s1"], "\n"+line+"\n") {
			t.Errorf("s1 has no line %q", line)
		}
	}
	if silent := valueOf(texts["s1"], `edgehold_meta_node_heard_seconds{node="s3"}`); silent < 20 {
		t.Errorf("a server that is down was heard %v s ago", silent)
	}
	if _, err := os.Stat(full); err == nil && valueOf(texts["e1"], "edgehold_access_audit_errors_total") < 1 {
		t.Error("lines of the audit log that could not be written are not counted")
	}
	for _, name := range []string{"edgehold_replica_member_changes_total", "edgehold_meta_steward_actions_total", "edgehold_identity_handshakes_total", "edgehold_replica_voters", "edgehold_replica_voters_heard", "edgehold_identity_not_after_seconds"} {
		if !moved(all, name) {
			t.Errorf("%s has not moved", name)
		}
	}
}

// happened are the metrics that are there once the matter has happened, because they have labels of its own.
var happened = map[string]bool{"edgehold_identity_refused_peers_total": true}

// valueOf is the value of a metric with its labels; -1 if it is not there.
func valueOf(text, series string) float64 {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			if f, err := strconv.ParseFloat(value, 64); err == nil {
				return f
			}
		}
	}
	return -1
}

func hasLabel(text, name, label string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name) && strings.Contains(line, label+`="`) {
			return true
		}
	}
	return false
}

// moved reports whether a metric has another value than 0 somewhere.
func moved(text, name string) bool {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if ok && (rest[0] == '{' || rest[0] == ' ') && !strings.HasSuffix(line, " 0\n") {
			return true
		}
	}
	return false
}

// lint has Prometheus' own tool check a scrape.
func lint(t *testing.T, id api.NodeID, text string) {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Error("promtool is not installed: make promtool installs it on Debian")
		}
		return // the rest of the test stands without it
	}
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics of %s: %v\n%s", id, err, out)
	}
}
