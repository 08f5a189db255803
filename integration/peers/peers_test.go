package main

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestMain lets the test binary be a member, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "member" {
		if err := start(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestBench runs everything once, very shortly: all members start, all work is done, nothing stays behind.
func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	o := &options{
		tree: "../..", dir: dir, products: allNames,
		puts: []int{1, 8}, reads: []int{8}, conns: []int{2}, resp: []int{2}, watchers: []int{3}, rounds: 1, window: 300 * time.Millisecond,
	}
	r, err := bench(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", r.text())
	for _, w := range []work{
		{edgeholdName, putWork, 1}, {etcdName, putWork, 8}, {natsName, putWork, 8}, {edgeholdName, readWork, 8}, {etcdName, readWork, 8},
		{edgeholdName, localWork, 2}, {bareName, localWork, 2}, {edgeholdName, respWork, 2}, {edgeholdName, pipeWork, 2},
		{edgeholdName, watchWork, 3}, {etcdName, watchWork, 3}, {natsName, watchWork, 3},
	} {
		if x := r.find(w); x == nil || x.Median.Rate <= 0 || x.Median.P50 > x.Median.P99 {
			t.Errorf("%v: %+v", w, x)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
