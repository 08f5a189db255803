package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestExportStale checks that a stale export reads from replicas and prints how old the oldest page may be.
func TestExportStale(t *testing.T) {
	p := newPlanet(t)
	p.must(t, sample(20), "import", "-")
	asked := 0
	p.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/kv" && r.URL.Query().Get("consistency") == "stale" {
			asked++
			w.Header().Set("Edgehold-Served-By", "stale")
			w.Header().Set("Edgehold-Age", "61.500")
		}
		return false
	})
	i := p.on(t, "", "export", "--consistency", "stale")
	if i.status != 0 || lineCount(i.out) != 20 || asked == 0 || !strings.Contains(i.err, "up to 61.5 s old") {
		t.Errorf("exit %d, %d lines, asked %d times, %s", i.status, lineCount(i.out), asked, i.err)
	}
	if i := p.on(t, "", "export"); i.status != 0 || strings.Contains(i.err, "old") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
}
