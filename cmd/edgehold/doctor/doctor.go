// Package doctor examines a machine, a node and its cluster for what will hurt later. It changes nothing. A check is a function
// in a file of its kind, and a row of the table.
package doctor

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/words"
)

// Verdict is what a check has found.
type Verdict string

// The verdicts. Skip: the check could not be made, for want of a right, of a folder, or of an answer.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn"
	Fail Verdict = "FAIL"
	Skip Verdict = "skip"
)

// Finding is one line of the report. Next is what to do about it; it is empty only if the verdict is OK.
type Finding struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	Says    string  `json:"says"`
	Next    string  `json:"next,omitempty"`
}

// Node is the node that is asked about itself and its cluster: a [client.Client].
type Node interface {
	Status(ctx context.Context) (*api.Status, error)
	Fetch(ctx context.Context, pathAndQuery string) ([]byte, error)
}

// Config says what to examine.
type Config struct {
	Node Node
	// Data is the data folder of a node of this machine; "" leaves out the checks of it.
	Data string
	// Init is the folder with which a server founded the cluster (--init); "" if none is to be looked at.
	Init string
	// HTTP reaches the other nodes at their URLs.
	HTTP *http.Client
	// At returns the node at a URL, to be asked with the rights of the caller; nil leaves out what other nodes see.
	At func(url string) Node
	// Roots are the certificate authorities that HTTPS clients trust; nil takes the system's.
	Roots *x509.CertPool
	// Clock is the pair of clocks of this machine; nil takes the system's.
	Clock words.Clock

	proc, sys string        // the folders /proc and /sys, unless a test has others
	rateOver  time.Duration // how long the rates of the two clocks are compared; a second
}

// checks is the table of checks, in the order of the report: the machine, the node's folder, the node, the cluster.
var checks = []struct {
	name string
	run  func(ctx context.Context, x *exam) []Finding
}{
	{"clock-source", clockSource},
	{"clock-rate", clockRate},
	{"date", dates},
	{"backlog", backlog},
	{"fsync", fsync},
	{"disk-space", diskSpace},
	{"file-modes", fileModes},
	{"init-folder", initFolder},
	{"descriptors", descriptors},
	{"nodes", nodes},
	{"groups", groups},
	{"troubles", troubles},
	{"levels", levels},
	{"maps", maps},
	{"reach", reach},
	{"mesh", mesh},
	{"hosts", hosts},
	{"plain", plain},
	{"identity", identity},
	{"roots", roots},
	{"https", https},
	{"join-tokens", joinTokens},
	{"anonymous", anonymous},
}

// Run makes every check, one after the other, and returns what they have found, in the order of the table. ctx bounds it.
func Run(ctx context.Context, cfg Config) []Finding {
	cfg.proc, cfg.sys = cmp.Or(cfg.proc, "/proc"), cmp.Or(cfg.sys, "/sys")
	cfg.rateOver = cmp.Or(cfg.rateOver, time.Second)
	if cfg.Clock == nil {
		cfg.Clock = clock.System()
	}
	x := &exam{Config: cfg}
	x.status = sync.OnceValues(func() (*api.Status, error) { return cfg.Node.Status(ctx) })
	x.metrics = sync.OnceValues(func() (samples, error) {
		text, err := cfg.Node.Fetch(ctx, "/metrics")
		return parseMetrics(string(text)), err
	})
	var all []Finding
	for _, c := range checks {
		for _, f := range c.run(ctx, x) {
			f.Check = c.name
			all = append(all, f)
		}
	}
	return all
}

// exam is one run: what is examined, and what has been asked already. An answer is asked for once.
type exam struct {
	Config
	status  func() (*api.Status, error)
	metrics func() (samples, error)
}

func ok(format string, args ...any) []Finding {
	return []Finding{{Verdict: OK, Says: fmt.Sprintf(format, args...)}}
}

func warn(next, format string, args ...any) []Finding {
	return []Finding{{Verdict: Warn, Says: fmt.Sprintf(format, args...), Next: next}}
}

func fail(next, format string, args ...any) []Finding {
	return []Finding{{Verdict: Fail, Says: fmt.Sprintf(format, args...), Next: next}}
}

func skip(next, format string, args ...any) []Finding {
	return []Finding{{Verdict: Skip, Says: fmt.Sprintf(format, args...), Next: next}}
}

// unanswered is a check for which the node gave no answer. What the caller may not see is not checked, and says so.
func unanswered(what string, err error) []Finding {
	switch api.CodeOf(err) {
	case api.CodeUnauthenticated, api.CodeDenied:
		return skip("give --token with the right observe, or --data of a node of this machine", "%s: %v", what, err)
	case api.CodeNotFound:
		return skip("upgrade the node", "%s: the node does not know it", what)
	}
	return fail("see --addr: name a node that runs", "%s: %v", what, err)
}

// noData is a check of the data folder if none was given.
func noData() []Finding {
	return skip("give --data on the machine of the node", "the data folder is not known")
}
