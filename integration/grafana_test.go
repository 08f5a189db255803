package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/edgehold/edgehold/integration/clients"
)

const dashboardFile = "../docs/grafana.json"

// dashboard is what Grafana needs of a dashboard to take it.
type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Time          struct{ From, To string }
	Templating    struct {
		List []struct{ Name, Type string }
	}
	Panels []dashboardPanel
}

type dashboardPanel struct {
	ID          int
	Type, Title string
	GridPos     struct{ H, W, X, Y int }
	Datasource  struct{ Type, UID string }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct {
		RefID, Expr, LegendFormat string
		Datasource                struct{ Type, UID string }
	}
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	d := new(dashboard)
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboard checks the form of docs/grafana.json: a row for each promise, panels that do not overlap, and queries with what Grafana
// needs.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 30 || d.Time.From == "" || len(d.Templating.List) != 2 {
		t.Errorf("%+v", d)
	}
	var rows []string
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W < 1 || p.GridPos.H < 1 {
			t.Errorf("%+v", p)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" {
					t.Errorf("%q is over %q", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.Type != "timeseries" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%+v", p)
		}
		for i, q := range p.Targets {
			if q.RefID != string(rune('A'+i)) || q.Expr == "" || q.LegendFormat == "" || q.Datasource != p.Datasource || !strings.Contains(q.Expr, `job="$job"`) {
				t.Errorf("%q: %+v", p.Title, q)
			}
		}
	}
	for _, promise := range []string{"Reads", "Latency", "Leases", "Revocation", "Writes", "Transactions", "Watches", "Disks", "Certificates", "Members", "Admission"} {
		if !strings.Contains("\n"+strings.Join(rows, "\n"), "\n"+promise) {
			t.Errorf("there is no row for %s", promise)
		}
	}
}

// expressions are the queries of the dashboard, as Prometheus gets them, by the titles of their panels.
func (d *dashboard) expressions() map[string][]string {
	all := map[string][]string{}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			all[p.Title] = append(all[p.Title], strings.NewReplacer("$__rate_interval", "1m", "$job", "edgehold").Replace(q.Expr))
		}
	}
	return all
}

// TestDashboardQueries has Prometheus' own parser read every query of the dashboard.
func TestDashboardQueries(t *testing.T) {
	promtool := clients.Need(t, "promtool")
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for _, queries := range readDashboard(t).expressions() {
		for _, q := range queries {
			rules = append(rules, rule{"dashboard:query", q})
		}
	}
	if len(rules) < 30 {
		t.Fatalf("only %d queries were found", len(rules))
	}
	for i := range rules {
		rules[i].Record += strings.Repeat("x", i) // no two may be the same
	}
	text, err := yamlv3.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
