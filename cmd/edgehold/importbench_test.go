package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
	"github.com/edgehold/edgehold/cmd/edgehold/transfer"
)

const (
	speedRounds  = 9
	speedSeconds = 2
	speedClients = "256"
	farRecords   = 24_000 // some seconds of them
)

// BenchmarkImport compares import with the writes of bench on the same planet, in alternate rounds, and reports medians. Near is one
// region without delays. Far is the planet of dev through an edge; its peer is an import with 256 records in flight.
//
//	go test ./cmd/edgehold -run '^$' -bench 'Import|Export' -benchtime 1x -timeout 10m
func BenchmarkImport(b *testing.B) {
	b.Run("Near", func(b *testing.B) {
		addr := startDev(b, "server", "--wan", "off", "--regions", "here")
		measure(b, "bench/s", func() float64 { return benchWrites(b, addr) }, func(peer float64) float64 {
			return importRate(b, addr, writeRecords(b, int(peer*speedSeconds), false, "here"), "0")
		})
	})
	b.Run("Far", func(b *testing.B) {
		addr := startDev(b, "edge")
		regions := []string{"us-east", "eu-west", "ap-south"}
		measure(b, "fixed/s", func() float64 {
			return importRate(b, addr, writeRecords(b, farRecords, false, regions...), speedClients)
		}, func(float64) float64 {
			return importRate(b, addr, writeRecords(b, farRecords, false, regions...), "0")
		})
	})
}

// BenchmarkExport compares export with the SDK listing all pages and writing nothing.
func BenchmarkExport(b *testing.B) {
	addr := startDev(b, "server", "--wan", "off", "--regions", "here")
	importRate(b, addr, writeRecords(b, 100_000, true, "here"), "0")
	measure(b, "pages/s", func() float64 { return pagesAlone(b, addr) }, func(float64) float64 {
		return command(b, "export", "--addr", addr, "-o", "json", "--output", filepath.Join(b.TempDir(), "out.jsonl")).RecordsPerSecond
	})
}

// measure calls run between two runs of its peer, several times, and reports the medians of the rates and of the ratio to the mean
// of the two. The speed of a machine changes in time.
func measure(b *testing.B, peer string, runPeer func() float64, run func(peer float64) float64) {
	var peers, own, ratios []float64
	for b.Loop() {
		before := runPeer()
		for round := range speedRounds {
			r := run(before)
			after := runPeer()
			mean := (before + after) / 2
			peers, own, ratios = append(peers, mean), append(own, r), append(ratios, r/mean)
			b.Logf("round %d: %.0f between %s %.0f and %.0f, ratio %.2f", round+1, r, peer, before, after, r/mean)
			before = after
		}
	}
	b.ReportMetric(median(peers), peer)
	b.ReportMetric(median(own), "records/s")
	b.ReportMetric(median(ratios), "ratio")
}

func median(x []float64) float64 { slices.Sort(x); return x[len(x)/2] }

// command runs a command that prints a result.
func command(b *testing.B, args ...string) transfer.Result {
	b.Helper()
	var c transfer.Result
	i := new(invocation).run(args...)
	if err := json.Unmarshal([]byte(i.out), &c); err != nil || i.status != 0 {
		b.Fatalf("exit %d, %v, %s", i.status, err, i.err)
	}
	return c
}

func importRate(b *testing.B, addr, file, concurrency string) float64 {
	return command(b, "import", file, "--addr", addr, "-o", "json", "--concurrency", concurrency).RecordsPerSecond
}

// benchWrites returns the rate at which bench writes values of the same size to the same keys.
func benchWrites(b *testing.B, addr string) float64 {
	i := new(invocation).run("bench", "--addr", addr, "--prefix", "here/", "--reads", "0", "--clients", speedClients, "--value-size", "256",
		"--duration", fmt.Sprint(speedSeconds, "s"), "-o", "json")
	var r load.Report
	if err := json.Unmarshal([]byte(i.out), &r); err != nil || i.status != 0 || len(r.Operations) == 0 {
		b.Fatalf("exit %d, %v, %s", i.status, err, i.err)
	}
	return r.Operations[len(r.Operations)-1].OpsPerSecond
}

// writeRecords writes a file of records of 256 bytes: for 10,000 random keys in each region, as bench does, or each for a key of its
// own.
func writeRecords(b *testing.B, n int, each bool, regions ...string) string {
	var text strings.Builder
	for i := range n {
		key := i
		if !each {
			key = rand.IntN(10_000)
		}
		fmt.Fprintf(&text, `{"key":"%s/%06d","value":"%s%06d"}`+"\n", regions[i%len(regions)], key, strings.Repeat("0123456789", 25), i)
	}
	file := filepath.Join(b.TempDir(), "in.jsonl")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return file
}

// pagesAlone returns the rate at which a client lists all records, one page after the other, and writes nothing.
func pagesAlone(b *testing.B, addr string) float64 {
	c, err := client.Open(b.Context(), client.Config{Endpoints: []string{addr}, PlainHTTP: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	began, n := time.Now(), 0
	for _, err := range c.List(b.Context(), "") {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	return float64(n) / time.Since(began).Seconds()
}

// startDev starts a planet in another process, which ends with the benchmark, and returns the URL of its last node of the role.
func startDev(b *testing.B, role string, args ...string) (addr string) {
	b.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestCommandProcess$")
	args = append([]string{"dev", "--json", "--port", "0", "--data", b.TempDir()}, args...)
	c.Env = append(os.Environ(), runAs+"="+strings.Join(args, "\n"))
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // killed
	})
	var line struct {
		Nodes []struct{ Role, URL string }
	}
	if err := json.NewDecoder(out).Decode(&line); err != nil {
		b.Fatal(err)
	}
	for _, n := range line.Nodes {
		if n.Role == role {
			addr = n.URL
		}
	}
	return addr
}
