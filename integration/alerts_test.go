package integration

import (
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/local"
	"github.com/edgehold/edgehold/integration/clients"
)

const (
	alertRules = "../docs/alerts.yaml"
	alertTests = "../docs/examples/alerts*_test.yaml"
	alertPage  = "../docs/operations/alerts.md"
	runbook    = "https://github.com/edgehold/edgehold/blob/main/docs/operations/alerts.md#"
)

// alert is a rule of Prometheus.
type alert struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

// alerts reads the rules.
func alerts(t *testing.T) (all []alert) {
	t.Helper()
	text, err := os.ReadFile(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []alert } }
	if err := yamlv3.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 7 {
		t.Fatalf("only %d rules were found", len(all))
	}
	return all
}

// alertTestFiles are the files with the tests of the rules.
func alertTestFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(alertTests)
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of the rules: %v", err)
	}
	return files
}

// TestAlertsHaveHeadings checks that each rule names its heading of docs/operations/alerts.md, that no heading is without a rule, and
// that each rule has a test.
func TestAlertsHaveHeadings(t *testing.T) {
	var tests []byte
	for _, file := range alertTestFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, text...)
	}
	var headings []string
	for _, line := range lines(t, alertPage) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			headings = append(headings, name)
		}
	}
	var names []string
	for _, a := range alerts(t) {
		names = append(names, a.Alert)
		if url := a.Annotations["runbook_url"]; url != runbook+strings.ToLower(a.Alert) {
			t.Errorf("%s leads to %q", a.Alert, url)
		}
		if s := a.Labels["severity"]; s != "page" && s != "ticket" || a.Annotations["summary"] == "" {
			t.Errorf("%s: severity %q, summary %q", a.Alert, s, a.Annotations["summary"])
		}
		if !regexp.MustCompile(`alertname: ` + a.Alert + `\b[^\[]*exp_alerts:\n`).Match(tests) {
			t.Errorf("no test sees the alert %s", a.Alert)
		}
	}
	if !slices.Equal(headings, names) {
		t.Errorf("the headings of the page are %v, the rules %v", headings, names)
	}
}

var (
	registered = regexp.MustCompile(`\.(?:Counter|Gauge|Histogram|Total)\(\s*"(edgehold_\w+)",\s*"[^"]*"((?:,\s*"\w+")*)`)
	selected   = regexp.MustCompile(`(edgehold_\w+)(?:\{([^}]*)\})?`)
	matched    = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
)

// TestAlertsNameMetrics checks that each metric of a rule and of the dashboard is among those of a running server or edge. A metric with labels of its
// own is not there until something has been counted: such a one is registered by a room of the node, with the labels that the rule
// selects by.
func TestAlertsNameMetrics(t *testing.T) {
	skipUnderRace(t, "starts nodes")
	t.Parallel()
	rules, err := os.ReadFile(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{}
	sources(t, false, func(text string) {
		for _, m := range registered.FindAllStringSubmatch(text, -1) {
			labels[m[1]] = m[2]
		}
	})
	board, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	named := slices.Concat(rules, board)
	there := scrapedNames(t, func(names map[string]bool) bool {
		for name, of := range labels {
			if of == "" && regexp.MustCompile(name+`(_bucket)?\b`).Match(named) && !names[name] {
				return false
			}
		}
		return true
	})
	queries := map[string][]string{}
	for _, a := range alerts(t) {
		queries[a.Alert] = []string{a.Expr}
	}
	maps.Copy(queries, readDashboard(t).expressions())
	for title, exprs := range queries {
		named := selected.FindAllStringSubmatch(strings.Join(exprs, "\n"), -1)
		if len(named) < len(exprs) {
			t.Errorf("%s names no metric: %s", title, exprs)
		}
		for _, m := range named {
			name := m[1]
			if base := strings.TrimSuffix(name, "_bucket"); labels[base] != "" || there[base] {
				name = base
			}
			of, ok := labels[name]
			if !ok || of == "" && !there[name] {
				t.Errorf("%s names the metric %s: no node has it", title, name)
			}
			for _, l := range matched.FindAllStringSubmatch(m[2], -1) {
				if !strings.Contains(of, `"`+l[1]+`"`) && l[1] != "group" && l[1] != "room" && l[1] != "job" {
					t.Errorf("%s selects %s by the label %s, which it has not", title, name, l[1])
				}
			}
		}
	}
}

// scrapedNames are the names of the metrics of all nodes of a small planet with disks, as soon as they are enough, or after half a
// minute.
func scrapedNames(t *testing.T, enough func(map[string]bool) bool) map[string]bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := local.Start(ctx, local.Config{Regions: []api.RegionID{"r"}, Replicas: 1, Edges: 1, Port: -1, WAN: "off", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	names := map[string]bool{}
	for range 60 {
		for _, n := range p.Nodes() {
			scrapeNames(t, n.URL, names)
		}
		if enough(names) {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	return names
}

func scrapeNames(t *testing.T, url string, names map[string]bool) {
	t.Helper()
	res, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "TYPE" {
			names[f[2]] = true
		}
	}
}

// TestAlertRules has Prometheus's own tool check the rules and run their tests.
func TestAlertRules(t *testing.T) {
	promtool := clients.Need(t, "promtool")
	for _, args := range [][]string{{"check", "rules", alertRules}, append([]string{"test", "rules"}, alertTestFiles(t)...)} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
