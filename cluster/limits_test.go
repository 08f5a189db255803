package cluster

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/wire"
	"github.com/edgehold/edgehold/cluster/group"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/cluster/router"
	"github.com/edgehold/edgehold/cluster/watch"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
	"github.com/edgehold/edgehold/transport/rpc"
)

var rewrite = flag.Bool("rewrite", false, "write docs/limits.md anew")

const limitsPage = "../docs/limits.md"

// TestLimitsPage: docs/limits.md is the table.
func TestLimitsPage(t *testing.T) {
	page := printLimits(t)
	if *rewrite {
		if err := os.WriteFile(limitsPage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(limitsPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, page) {
		t.Errorf("%s is not what the table of limits says; write it anew with go test ./cluster -run TestLimitsPage -rewrite", limitsPage)
	}
}

func printLimits(t *testing.T) []byte {
	var b bytes.Buffer
	b.WriteString("# Limits\n\nA request over a limit is refused at once with an error that names the limit. Nothing is applied.\n" +
		"Codes such as `too_large` are those of [HTTP](http.md).\n")
	of, seen := "", map[string]bool{}
	for _, l := range Limits() {
		if l.Of != of {
			if of = l.Of; seen[of] {
				t.Errorf("the limits of a %s do not stand together", of)
			}
			seen[of] = true
			fmt.Fprintf(&b, "\n## Of a %s\n\n| What | Limit | One over |\n|---|---|---|\n", of)
		}
		if seen[l.Of+l.What] || l.What == "" || l.After == "" || l.Value <= 0 {
			t.Errorf("the row %+v is there twice, or lacks something", l)
		}
		seen[l.Of+l.What] = true
		row := fmt.Sprintf("| %s | %s | %s |", l.What, l.amount(), l.After)
		if utf8.RuneCountInString(row) > 120 {
			t.Errorf("over 120 columns: %s", row)
		}
		b.WriteString(row + "\n")
	}
	return b.Bytes()
}

// amount is the limit as the page has it.
func (l Limit) amount() string {
	switch {
	case l.Unit == "time":
		return strings.NewReplacer("h0m0s", " h", "m0s", " min", "ms", " ms", "s", " s").Replace(time.Duration(l.Value).String())
	case l.Unit == "bytes" && l.Value >= 1<<20 && l.Value%(1<<20) == 0:
		return grouped(l.Value>>20) + " MiB"
	case l.Unit == "bytes" && l.Value > 4<<10 && l.Value%(1<<10) == 0:
		return grouped(l.Value>>10) + " KiB"
	case l.Unit == "bytes":
		return grouped(l.Value) + " bytes"
	}
	return grouped(l.Value)
}

// grouped has commas if the number has more than four digits.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	if len(s) < 5 {
		return s
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// TestLimitsFit: what must be at most as much as something else is.
func TestLimitsFit(t *testing.T) {
	l := replica.DefaultLimits()
	// A transaction has at most MaxTxnBytes of keys, an entry on the wire less than this beside its key and its value.
	const perEntry = 64
	room := admission.DefaultLeased + admission.DefaultRequests + admission.DefaultSlow
	for _, x := range []struct {
		what   string
		value  int
		within string
		most   int
		why    string
	}{
		// Sizes, from the value to the memory of the node.
		{"a key and a value", api.MaxKeyBytes + api.MaxValueBytes, "a transaction", api.MaxTxnBytes, "every value can be written"},
		{"a key and a value", api.MaxKeyBytes + api.MaxValueBytes, "a list page", api.MaxListBytes, "every value can be listed"},
		{"a value", api.MaxValueBytes, "a read", api.MaxReadBytes, "every value can be read"},
		{"a value", api.MaxValueBytes, "the work of a transaction", api.MaxTxnWorkBytes, "a transaction can read every value"},
		{"a transaction", 6 * api.MaxTxnBytes, "its JSON", api.MaxTxnBodyBytes, "each byte may be written as six"},
		{"a transaction in JSON", api.MaxTxnBodyBytes, "the memory for bodies", admission.DefaultBytes / 4, "one large body leaves room for others"},
		{"a default list page", api.DefaultListLimit, "a list page", api.MaxListLimit, "the default is a page that may be asked for"},
		{"a key in a path, each byte as three", 3 * api.MaxKeyBytes, "a header", httpd.DefaultMaxHeaderBytes / 4, "every key has a path, a list names two and a page"},
		{"a transaction and what it reads", api.MaxTxnBytes + api.MaxTxnWorkBytes + perEntry*api.MaxTxnOps, "a message", wire.MaxMessageBytes, "every result of a transaction can travel"},
		{"a read's answer", api.MaxReadBytes + api.MaxReadKeys*(api.MaxKeyBytes+perEntry), "a message", wire.MaxMessageBytes, "every answer of a read can travel"},
		{"a message of packed calls", wire.MaxMessageBytes, "a message of methods", rpc.MaxMessageBytes, "what is too large for the one way takes the other"},
		{"a refusal that names keys", fsm.MaxNamedIntents * (api.MaxKeyBytes + perEntry), "a message", rpc.MaxMessageBytes, "every refusal can travel"},
		{"a request that shares a connection", peer.MaxCallBytes, "the bytes of its calls", wire.DefaultMaxRequestBytes / 256, "one request does not keep the others of its connection out"},
		{"the bytes of a connection's calls", wire.DefaultMaxRequestBytes, "the memory for bodies", admission.DefaultBytes, "a connection takes less than the node has"},
		{"a message", wire.MaxMessageBytes, "a command", replica.MaxCommandBytes, "every transaction that arrives fits in the log"},
		{"a command", replica.MaxCommandBytes, "the queue for the log", int(l.QueueBytes), "the largest command can wait"},
		{"a packed entry", l.EntryBytes, "a command", replica.MaxCommandBytes, "an entry with one command is the largest"},
		{"the kept result of a request", fsm.MaxRecordBytes, "the work of a transaction", api.MaxTxnWorkBytes, "more than a result is never kept"},

		{"what one feed is behind", group.FeedQueueBytes, "a message", rpc.MaxMessageBytes, "what waits for a feed can travel at once"},

		// Numbers, from one key to all requests of a node.
		{"feeds of one node", remote.FeedsPerNode, "feeds of a group", group.MaxFeeds - 1, "one node leaves room for others"},
		{"slow requests for a key", admission.DefaultSlowPerKey, "writes that wait for a holder", group.DefaultMaxPerHolder - 1, "one key of a dead holder leaves room for its other keys"},
		{"writes that wait for a holder", group.DefaultMaxPerHolder, "writes that wait for holders", group.DefaultMaxWaiting - 1, "one dead holder leaves room for others"},
		{"writes that wait for holders", group.DefaultMaxWaiting, "slow requests of a node", admission.DefaultSlow, "they need no place of what is fast"},
		{"slow requests for a key", admission.DefaultSlowPerKey, "slow requests", admission.DefaultSlow / 2, "one locked key leaves room for others"},
		{"writes that wait for holders", group.DefaultMaxWaiting, "commands that wait for the log", l.QueueCommands, "all may go on at once when a holder is given up"},
		{"commands of an entry", l.EntryCommands, "commands that wait for the log", l.QueueCommands, "an entry can be filled"},
		{"requests that wait for patience", router.DefaultMaxPaused, "the share of requests", admission.DefaultRequests / 2, "a leader that has too much leaves room for the other groups"},
		{"what is let in under load", admission.DefaultCalm, "the share of requests", admission.DefaultRequests, "load lowers the bound"},
		{"reads that are let in under load", 2 * admission.DefaultCalm, "the share of reads", admission.DefaultLeased, "load lowers the bound"},
		{"what is let in of clients under load", admission.DefaultCalm, "the same of nodes", calmOfNodes, "the work of other gateways is not thrown away for new work"},
		{"what is let in of nodes under load", calmOfNodes, "the share of requests", admission.DefaultRequests, "load lowers the bound"},
		{"the least requests of a group", router.MinInside, "what its leader lets in under load", calmOfNodes, "one gateway's least is never refused"},
		{"the least requests of a group", router.MinInside, "the most", router.MaxInside - 1, "there is something to learn"},
		{"requests that a front lets in", room, "requests under way to a group", router.MaxInside, "a gateway holds none back for a leader that refuses none"},
		{"requests of other nodes", room, "calls of a connection", wire.DefaultMaxCalls, "the node's room refuses, and not one connection"},
		{"calls of a stream", httpd.DefaultMaxStreamCalls, "the share of requests", admission.DefaultRequests, "a stream can use what the node has, and not more"},
		{"calls of a stream", httpd.DefaultMaxStreamCalls, "calls of a connection", wire.DefaultMaxCalls, "the SDK's end of a stream can use it"},
		{"idle workers", idleWorkers, "the share of requests", admission.DefaultRequests, "more are never needed at once by what is fast"},
		{"a call on a stream", httpd.MaxCallBytes, "a message", wire.MaxMessageBytes, "it is a message"},

		// Connections.
		{"streams of calls", maxStreams, "what a room lets wait", admission.DefaultWaiting, "streams are of that class"},
		{"connections of HTTP", httpd.DefaultMaxConns, "requests that wait to be let in", admission.MaxWaiters, "one of each connection can wait"},
		{"a wait to be let in", int(admission.MaxWait), "a time that is not named", int(api.DefaultTimeout) / 2, "there is time left for the request"},
		{"connections of HTTP, streams and watches", httpd.DefaultMaxConns + httpd.MaxRefusals + maxStreams + watch.MaxWatchers, "connections of the lane", transport.DefaultMaxHTTPConns, "the server refuses with 503, and not the port in silence"},
		{"nodes, each twice while it connects again", 2 * placement.MaxNodes, "connections of nodes", transport.DefaultMaxConns, "every node of a cluster is answered"},
		{"nodes", placement.MaxNodes, "lease streams", remote.DefaultMaxStreams, "every node can hold leases"},
		{"nodes", placement.MaxNodes, "sessions", fsm.MaxSessions / 2, "every node has a session, and perhaps one from before its restart"},
		{"groups, all of one stream", placement.MaxGroups, "renewals of a stream", remote.DefaultMaxRenewals, "a node can hold sessions with every group"},
		{"connections that are silent", transport.DefaultMaxUnmatched, "connections of a lane", transport.DefaultMaxConns, "silent ones are fewer than those that speak"},
		{"connections that wait for a lane", transport.DefaultQueue, "connections of a lane", transport.DefaultMaxConns, "those that wait are open"},
		{"groups of a region", MaxGroupsPerRegion, "groups", placement.MaxGroups, "a region can be founded"},
		{"groups", placement.MaxGroups, "ranges", placement.MaxRanges, "every group can own one"},
		{"a name", MaxNameBytes, "a name in the map", placement.MaxNameBytes, "the map takes every name that the commands take"},
		// A lane's name is those of the cluster (16 digits), the node and the group; that is the region's, a dot and a number.
		{"the name of a lane", 16 + 1 + placement.MaxNameBytes + 1 + placement.MaxNameBytes + len(".1024"), "a name in a preface", transport.MaxName, "every member is reached"},

		// Times.
		{"a time that is not named", int(api.DefaultTimeout), "the longest", int(api.MaxTimeout), "the default may be asked for"},
		{"what is not slow", int(admission.SlowAfter), "a lease term", int(words.DefaultLeaseTerm), "what waits for a dead holder counts as slow before it ends"},
		{"the longest request", int(api.MaxTimeout), "the time for which results are kept", int(fsm.DedupEpochs * group.DefaultDedupEpoch), "a retry finds the result"},

		// The machine.
		{"transactions that are prepared", fsm.MaxPrepared, "those remembered", fsm.MaxFinished, "the one counts with the other"},
		{"results of a client", fsm.MaxClientRecords, "results of a group", fsm.MaxRecords / 100, "one client leaves room for others"},
		{"holders of a key", fsm.MaxKeyHolders, "sessions", fsm.MaxSessions, "each is a session"},
	} {
		if x.value > x.most {
			t.Errorf("%s: %d is over %d of %s; but %s", x.what, x.value, x.most, x.within, x.why)
		}
	}
}

// notInTable are exported limits that no user meets, with why.
var notInTable = map[string]string{
	"fsm.MaxNamedIntents":        "a refusal names fewer",
	"fsm.MaxReceiptRecords":      "a move of ranges carries fewer",
	"fsm.MaxReceiptBytes":        "likewise",
	"fsm.MaxReceiptClients":      "likewise",
	"fsm.MaxSweep":               "a step of the background",
	"fsm.MaxKilled":              "likewise",
	"fsm.MaxReap":                "likewise",
	"fsm.MaxExpire":              "likewise",
	"placement.MaxNameBytes":     "the commands take shorter ones",
	"admission.DefaultWaiting":   "a node names its own",
	"api.MaxListParts":           "fronts make fewer, for requests that have limits of their own",
	"wire.DefaultMaxAnswerBytes": "answers wait",
	"remote.DefaultStreamQueue":  "messages are sent again",
	"remote.DefaultMaxRenewals":  "sessions are renewed with the next message",
	"peer.MaxCallBytes":          "larger requests go by another way",
	"transport.DefaultQueue":     "connections wait for a busy node",
	"transport.MaxName":          "longer names than there are",
}

// TestLimitsComplete: a limit that a package exports stands in the table, or in notInTable.
func TestLimitsComplete(t *testing.T) {
	table, err := os.ReadFile("limits.go")
	if err != nil {
		t.Fatal(err)
	}
	used, found := map[string]bool{}, 0
	for _, dir := range []string{
		"api", "api/admission", "api/httpd", "api/resp", "api/wire", "fsm", "fsm/placement", "transport",
		"cluster/group", "cluster/peer", "cluster/remote", "cluster/replica", "cluster/router", "cluster/txn", "cluster/cursor", "cluster/watch",
	} {
		for _, name := range limitsOf(t, filepath.Join("..", dir)) {
			name = filepath.Base(dir) + "." + name
			found++
			used[name] = true
			there := regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).Match(table)
			if _, aside := notInTable[name]; there == aside && name != "placement.MaxNameBytes" {
				t.Errorf("%s stands in the table: %t, in notInTable: %t", name, there, aside)
			}
		}
	}
	for name := range notInTable {
		if !used[name] {
			t.Errorf("%s is no limit of any package", name)
		}
	}
	if found < 60 {
		t.Errorf("only %d limits were found", found)
	}
}

var isLimit = regexp.MustCompile(`^(Max|Min|Default)[A-Z]`)

// limitsOf returns the names of the limits that the package exports.
func limitsOf(t *testing.T, dir string) (all []string) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no package in %s: %v", dir, err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				for _, n := range s.(*ast.ValueSpec).Names {
					if isLimit.MatchString(n.Name) {
						all = append(all, n.Name)
					}
				}
			}
		}
	}
	return all
}
