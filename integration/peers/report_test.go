package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReport: medians of figures, the order of the rows, ratios, and failures that are not hidden.
func TestReport(t *testing.T) {
	r := &report{Machine: machine{Cores: 2, MemoryGiB: 4, Kernel: "Linux 6.1", FileSystem: "ext4", Go: "go1"}, Versions: map[string]string{etcdName: "v3", natsName: "v2"}}
	for round, rate := range []float64{900, 2000, 1000} {
		r.add(work{etcdName, putWork, 64}, round, sample{Rate: rate, P50: rate / 100, P99: 20, ServerCPU: 400})
		r.add(work{edgeholdName, putWork, 64}, round, sample{Rate: 2 * rate, P50: 1, P99: 2, ServerCPU: 100, Failed: 1})
		r.add(work{edgeholdName, putWork, 1}, round, sample{Rate: rate, P50: 1, P99: 2, ServerCPU: 100})
	}
	r.end()
	got := r.markdown()
	for _, want := range []string{
		"Measured: etcd v3.",
		"| 1 | edgehold | 1,000 | 900-2,000 | 1.00 | 2.00 | 100 | - |  |  |\n| 64 | edgehold (3 failed) | 2,000 | 1,800-4,000 |",
		"| 64 | etcd | 1,000 | 900-2,000 | 10.0 | 20.0 | 400 | - | 2.00 | 0.25 |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if text := r.text(); !strings.Contains(text, "1,800-4,000") {
		t.Error(text)
	}
}

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-puts", "1, 64", "-reads", "", "-seconds", "0.5", "-products", "etcd"})
	if err != nil {
		t.Fatal(err)
	}
	if len(o.puts) != 2 || o.puts[1] != 64 || len(o.reads) != 0 || o.window.Milliseconds() != 500 || !o.wants(etcdName) || o.wants(natsName) {
		t.Errorf("%+v", o)
	}
	for _, bad := range [][]string{{"-puts", "0"}, {"-conns", "x"}, {"-rounds", "0"}, {"more"}, {"-products", "etcd,oracle"}} {
		if _, err := parseOptions(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestThousands(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(v); got != want {
			t.Errorf("%v is %s", v, got)
		}
	}
}

func TestRefresh(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(file, []byte("before\n"+figuresBegin+"old\n"+figuresEnd+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := refresh(file, "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "before\n"+figuresBegin+"\nnew\n\n"+figuresEnd+"after\n" {
		t.Errorf("%q, %v", b, err)
	}
	if err := os.WriteFile(file, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := refresh(file, "new\n"); err == nil {
		t.Error("figures were put where there is no place for them")
	}
}
