package local_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/local"
)

// TestDevRoundTrip: a write from another region takes a round trip; a read under a lease at an edge in this process takes none.
func TestDevRoundTrip(t *testing.T) {
	const far = 100 * time.Millisecond
	p := local.Dev(t, local.WithRegions("here", "there"), local.WithRoundTrip(far))
	e := p.Edge("there")
	began := time.Now()
	if _, err := e.Put(t.Context(), "k", nil); err != nil || time.Since(began) < far {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
	for end := time.Now().Add(30 * time.Second); ; {
		began := time.Now()
		v, err := e.Get(t.Context(), "k")
		if err != nil || time.Now().After(end) {
			t.Fatalf("%+v, %v", v, err)
		}
		if took := time.Since(began); v.ServedBy == api.ServedByLease && took < far {
			break
		}
	}
}

// exampleTB stands for the *testing.T of the test that calls Dev.
type exampleTB struct {
	ctx      context.Context
	cleanups []func()
}

func (t *exampleTB) Helper()                           {}
func (t *exampleTB) Context() context.Context          { return t.ctx }
func (t *exampleTB) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleTB) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *exampleTB) end() {
	for _, f := range t.cleanups {
		f()
	}
}

// TestDev: a planet with TLS in one line; what is written in one region is read in the other, and nothing is left behind. What cannot be had
// fails the test, with the reason.
func TestDev(t *testing.T) {
	temporary(t)
	tb := &exampleTB{ctx: t.Context()}
	defer tb.end()
	p := local.Dev(tb, local.WithRegions("here", "there"), local.WithTLS(), local.WithEdges(0))
	if _, err := p.Client("here").Put(t.Context(), "there/k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	there := p.Client("there")
	v, err := there.Get(t.Context(), "there/k")
	if err != nil || string(v.Value) != "v" || v.Node != "there-1" || p.Client("there") != there {
		t.Errorf("%+v, %v", v, err)
	}
	for says, do := range map[string]func(){
		"names \"a\" twice":    func() { local.Dev(tb, local.WithRegions("a", "a")) },
		"no client of nowhere": func() { p.Client("nowhere") },
		"a planet with TLS":    func() { p.Edge("here") },
	} {
		var failed any
		func() {
			defer func() { failed = recover() }()
			do()
		}()
		if !strings.Contains(fmt.Sprint(failed), says) {
			t.Errorf("%q: %v", says, failed)
		}
	}
}

// BenchmarkEmbeddedGet: reads of 100 bytes by the SDK's client of an edge in this process, under a lease.
func BenchmarkEmbeddedGet(b *testing.B) {
	e := local.Dev(b, local.WithRegions("here"), local.WithEdges(0)).Edge("here")
	if _, err := e.Put(b.Context(), "k", make([]byte, 100)); err != nil {
		b.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; {
		v, err := e.Get(b.Context(), "k")
		if err != nil || time.Now().After(end) {
			b.Fatalf("%+v, %v", v, err)
		}
		if v.ServedBy == api.ServedByLease {
			break
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Get(b.Context(), "k"); err != nil {
			b.Fatal(err)
		}
	}
}
