package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/cmd/edgehold/doctor"
)

// TestDoctor checks the report as text and as JSON, and that the exit status is 1 if a line says FAIL.
func TestDoctor(t *testing.T) {
	p := newPlanet(t)
	i := p.on(t, "", "doctor")
	if i.status != exitFailed || !strings.Contains(i.out, "\nFAIL  nodes ") || !strings.Contains(i.out, "; next: ") || !strings.Contains(i.err, "lines say FAIL") {
		t.Errorf("exit %d\n%s%s", i.status, i.out, i.err)
	}
	i = p.on(t, "", "doctor", "-o", "json")
	var found []doctor.Finding
	if err := json.Unmarshal([]byte(i.out), &found); err != nil || len(found) < 12 || found[0].Check != "clock-source" || i.status != exitFailed {
		t.Errorf("exit %d, %v\n%s", i.status, err, i.out)
	}
	if i := p.on(t, "", "doctor", "more"); i.status != exitUsage {
		t.Errorf("an argument: exit %d", i.status)
	}
}
