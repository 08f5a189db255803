package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what the command line asks for.
type options struct {
	tree     string // the folder of Edgehold's module
	dir      string
	products []string
	puts     []int
	reads    []int
	conns    []int
	resp     []int
	watchers []int
	rounds   int
	warmUp   time.Duration
	window   time.Duration
	timeout  time.Duration
	json     string
	markdown bool
	into     string
	profile  string
	leader   bool // clients talk to the leader alone
}

// The names of the products.
const (
	edgeholdName = "edgehold"
	etcdName     = "etcd"
	natsName     = "nats"
	bareName     = "bare"
	redisName    = "redis"
)

// allNames in the order of the tables.
var allNames = []string{edgeholdName, etcdName, natsName, bareName, redisName}

func parseOptions(args []string) (*options, error) {
	o := &options{}
	var products, puts, reads, conns, resp, watchers string
	var warmUp, seconds float64
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.StringVar(&o.tree, "tree", ".", "`folder` of the module that Edgehold's binary is built from")
	f.StringVar(&o.dir, "dir", os.TempDir(), "`folder` under which all members keep their data, on the disk to be measured")
	f.StringVar(&products, "products", strings.Join(allNames, ","), "which products to measure")
	f.StringVar(&puts, "puts", "1,64,256,1024", "numbers of clients that put; empty: none")
	f.StringVar(&reads, "reads", "64,512", "numbers of clients that read linearizably; empty: none")
	f.StringVar(&conns, "conns", "1,64", "numbers of connections of local reads; empty: none")
	f.StringVar(&resp, "resp", "1,64", "numbers of connections of local reads over RESP; empty: none")
	f.StringVar(&watchers, "watchers", "1,1000,10000", "numbers of watchers of one member; empty: none")
	f.IntVar(&o.rounds, "rounds", 3, "how often everything is measured; medians are reported")
	f.Float64Var(&seconds, "seconds", 5, "length of each measurement")
	f.Float64Var(&warmUp, "warmup", 1, "seconds of the same work before each measurement")
	f.DurationVar(&o.timeout, "timeout", 45*time.Minute, "end everything after this time")
	f.StringVar(&o.json, "json", "", "write everything, all rounds too, to this `file` as JSON")
	f.BoolVar(&o.markdown, "markdown", false, "print Markdown")
	f.StringVar(&o.into, "into", "", "put the Markdown into this `file`, in the place of the figures there (docs/benchmarks/peers.md)")
	f.BoolVar(&o.leader, "leader", false, "let all clients of replicated products talk to the leader; else they talk to all members evenly")
	f.StringVar(&o.profile, "profile", "", "write CPU and allocation profiles of Edgehold's nodes and of the bare handler to this `folder`, a file for each measurement and node")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("what is %q?", f.Arg(0))
	}
	var err error
	for _, l := range []struct {
		text string
		to   *[]int
	}{{puts, &o.puts}, {reads, &o.reads}, {conns, &o.conns}, {resp, &o.resp}, {watchers, &o.watchers}} {
		if *l.to, err = parseCounts(l.text); err != nil {
			return nil, err
		}
	}
	o.products = strings.FieldsFunc(products, func(r rune) bool { return r == ',' })
	for _, p := range o.products {
		if !slices.Contains(allNames, p) {
			return nil, fmt.Errorf("-products: there is no %q among %s", p, strings.Join(allNames, ", "))
		}
	}
	o.window, o.warmUp = time.Duration(seconds*float64(time.Second)), time.Duration(warmUp*float64(time.Second))
	if o.rounds < 1 || o.window <= 0 || o.warmUp < 0 {
		return nil, fmt.Errorf("-rounds, -seconds and -warmup: choose numbers above zero")
	}
	return o, nil
}

// parseCounts reads a list such as 1,64,256.
func parseCounts(text string) ([]int, error) {
	var out []int
	for s := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 || n > 10_000 {
			return nil, fmt.Errorf("%q is no number of clients between 1 and 10000", s)
		}
		out = append(out, n)
	}
	return out, nil
}

// wants reports whether the product is to be measured.
func (o *options) wants(product string) bool { return slices.Contains(o.products, product) }
