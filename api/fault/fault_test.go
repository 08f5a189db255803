package fault

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
)

// counts is a registry that keeps what is counted.
type counts struct {
	observe.NoMetrics
	of map[string]float64
}

func (c counts) Counter(name, _ string, _ ...string) func(float64, ...string) {
	return func(n float64, values ...string) { c.of[name+" "+strings.Join(values, " ")] += n }
}

type damaged struct{}

func (damaged) Error() string { return "the disk is damaged" }
func (damaged) EndsProcess()  {}

func TestCatch(t *testing.T) {
	m := counts{of: map[string]float64{}}
	var logged string
	c := NewCatcher(m, func(msg string, args ...any) { logged = fmt.Sprint(append([]any{msg}, args...)...) })
	carryOut := func(c *Catcher, f func() error) (err error) {
		defer c.Catch("put", &err)
		return f()
	}

	if err := carryOut(c, func() error { return nil }); err != nil || len(m.of) != 0 || logged != "" {
		t.Errorf("no panic: %v, counted %v, logged %q", err, m.of, logged)
	}
	if err := carryOut(c, func() error { return api.CodeDenied }); !errors.Is(err, api.CodeDenied) {
		t.Errorf("an error that is no panic: %v", err)
	}
	for _, c := range []*Catcher{c, nil} {
		err := carryOut(c, func() error { var parts []int; return fmt.Errorf("%d", parts[0]) })
		if api.CodeOf(err) != api.CodeInternal || api.CodeOf(err).Applied() != "unknown" {
			t.Errorf("a panic is returned as %v", err)
		}
	}
	if m.of["edgehold_panics_total put"] != 1 {
		t.Errorf("counted %v", m.of)
	}
	if !strings.Contains(logged, "index out of range") || !strings.Contains(logged, "fault_test.go") {
		t.Errorf("logged without its cause or its stack: %q", logged)
	}
}

// TestEnds checks that a panic that must end the process is not caught, and neither is that of net/http.
func TestEnds(t *testing.T) {
	for _, x := range []any{damaged{}, fmt.Errorf("read: %w", damaged{}), http.ErrAbortHandler} {
		got := func() (got any) {
			defer func() { got = recover() }()
			var err error
			func() {
				defer (*Catcher)(nil).Catch("get", &err)
				panic(x)
			}()
			return nil
		}()
		if got != x {
			t.Errorf("a panic with %v went on as %v", x, got)
		}
	}
}
