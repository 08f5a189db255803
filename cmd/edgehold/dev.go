package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/local"
)

func newDev(a *app) *cobra.Command {
	o := &devOptions{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole planet in this process: regions, servers, edges and the delays between them",
		Long: `Run a whole planet in this process, on loopback: the servers and edges of each region, with the delays of a wide-area
network between the regions. A region owns the keys that begin with "<region>/"; the first region owns all other keys.

When all nodes are ready it prints them, with two commands to try, and one for each front: all of them are on. It runs until it is interrupted.

Regions can be cut off from each other and nodes can be stopped while it runs, with POST /v1/dev/cut, /v1/dev/heal, /v1/dev/nodes/NODE/stop and
/v1/dev/nodes/NODE/start at any of its nodes. GET /v1/dev shows what is cut and stopped.`,
		Example: `  edgehold dev
  edgehold dev --cut us-east~eu-west
  edgehold dev --regions here,there --wan off --data ./planet`,
		Args: nodeArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDev(cmd.Context(), a.terminal, o) },
	}
	o.addTo(cmd)
	return cmd
}

// startTimeout is how long a planet may take to become ready.
const startTimeout = time.Minute

func runDev(ctx context.Context, t *terminal, o *devOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	ignoreSignals()
	logger, err := o.log.open(t)
	if err != nil {
		return err
	}
	regions := make([]api.RegionID, 0, len(o.regions))
	for _, r := range o.regions {
		regions = append(regions, api.RegionID(r))
	}
	// Nodes that start or stop one after the other log errors about each other. Real errors are returned.
	level := logger.GetLevel()
	if level == hclog.Error {
		logger.SetLevel(hclog.Off)
	}
	planet, err := o.start(ctx, t, local.Config{
		Regions: regions, Replicas: o.replicas, Edges: orNone(o.edges), Groups: o.groups, Port: orNone(o.port),
		Dir: o.data, Log: cluster.LogKind(o.raftLog), WAN: o.wan, LeaseTerm: o.leaseTerm, Logger: logger, OnFailed: t.nodeFailed,
		Secure: o.secure, CORSOrigins: o.corsOrigins, Fronts: cluster.Fronts(), ConsulPort: o.consulPort(), Faults: true, OTLP: o.otlp, TraceRatio: o.traceRatio,
	})
	if err != nil {
		return interrupted(ctx, asNodeError(err))
	}
	logger.SetLevel(level)
	nodes := make([]devNode, 0, len(planet.Nodes()))
	for _, n := range planet.Nodes() {
		nodes = append(nodes, devNode(n))
	}
	if o.secure {
		remove, err := o.letIn(ctx, planet)
		if err != nil {
			_ = planet.Close() // the first error matters more
			return interrupted(ctx, asNodeError(err))
		}
		defer remove()
	}
	for _, c := range o.cuts {
		if err := planet.CutRegions(c.A, c.B); err != nil {
			_ = planet.Close() // the first error matters more
			return asNodeError(err)
		}
	}
	if err := o.announce(t, nodes); err != nil {
		_ = planet.Close() // the error of the output matters more
		return err
	}
	<-ctx.Done()
	logger.SetLevel(hclog.Off)
	return asNodeError(planet.Close())
}

// letIn writes what clients of a secure planet need into files: its root, and a token for every key. They stand in --data, or
// in a folder that remove removes.
func (o *devOptions) letIn(ctx context.Context, planet *local.Planet) (remove func(), err error) {
	dir := o.data
	remove = func() {}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "edgehold-dev-"); err != nil {
			return nil, err
		}
		remove = func() { _ = os.RemoveAll(dir) }
	}
	token, err := planet.Token(ctx)
	if err == nil {
		o.ca, o.token = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
		err = errors.Join(os.WriteFile(o.ca, planet.Root(), 0o644), os.WriteFile(o.token, []byte(token+"\n"), 0o600))
	}
	if err != nil {
		remove()
		return nil, err
	}
	return remove, nil
}

// orNone returns n, or -1, which means none in package local, if n is 0.
func orNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// start starts the planet. On a terminal it says that this takes a moment.
func (o *devOptions) start(ctx context.Context, t *terminal, cfg local.Config) (*local.Planet, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if t.errIsTTY {
		_, _ = fmt.Fprintf(t.err, "Starting %d nodes ...\n", o.nodes())
	}
	return local.Start(ctx, cfg)
}

// devOptions are the settings of dev.
type devOptions struct {
	regions                       []string
	replicas, edges, groups, port int
	wan, data, raftLog            string
	corsOrigins, cut              []string
	cuts                          []api.DevCut // what cut says, once it is checked
	otlp                          string
	traceRatio                    float64
	json, secure                  bool
	ca, token                     string // files for clients of a secure planet
	leaseTerm                     time.Duration
	log                           logOptions
}

func (o *devOptions) addTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&o.regions, "regions", []string{"us-east", "eu-west", "ap-south"}, "the regions")
	f.IntVar(&o.replicas, "replicas", 3, "servers of each region; up to three of them vote, or five if there are five or more")
	f.IntVar(&o.edges, "edges", 1, "edges of each region")
	f.IntVar(&o.groups, "groups", 1, "groups of each region; its keys are divided among them")
	f.IntVar(&o.port, "port", 7400, "first port; node i listens on port+i; 0 takes any free ports")
	f.StringVar(&o.wan, "wan", "real", "delay between regions: real, off or a YAML `FILE`")
	f.StringArrayVar(&o.cut, "cut", nil, "cut two `REGIONS` off from each other once all nodes are ready, as in us-east~eu-west; may be repeated")
	f.StringVar(&o.data, "data", "", "`FOLDER` for the logs of the servers (default: a temporary folder that is removed at the end)")
	f.BoolVar(&o.secure, "secure", false, "speak TLS, and ask clients for a token: dev prints the files with the root and with a token for every key")
	f.BoolVar(&o.json, "json", false, "when ready, print one line of JSON instead of the table")
	addRaftLog(cmd, &o.raftLog)
	addLeaseTerm(cmd, &o.leaseTerm)
	addCORSOrigins(cmd, &o.corsOrigins)
	addOTLP(cmd, &o.otlp, &o.traceRatio)
	o.log.addTo(cmd, devLogLevel)
}

// devLogLevel is the default log level of dev: a planet starts with elections, which log warnings.
const devLogLevel = "error"

// maxDevNodes is the maximum number of nodes that dev starts in one process.
const maxDevNodes = 100

// regionName matches the name of a region: it becomes a prefix of keys, "<region>/", and of the names of nodes.
var regionName = regexp.MustCompile(fmt.Sprintf(`^[a-z0-9]([a-z0-9-]{0,%d}[a-z0-9])?$`, cluster.MaxNameBytes-2))

func (o *devOptions) check() error {
	seen := map[string]bool{}
	for _, r := range o.regions {
		if !regionName.MatchString(r) {
			return usagef("--regions: %q: a region name has lower-case letters, digits and dashes", r)
		}
		if seen[r] {
			return usagef("--regions: %q is given twice", r)
		}
		seen[r] = true
	}
	switch nodes := o.nodes(); {
	case len(o.regions) == 0:
		return usagef("--regions is empty: name at least one region")
	case o.replicas < 1:
		return usagef("--replicas %d: choose 1 or more", o.replicas)
	case o.edges < 0:
		return usagef("--edges %d: choose 0 or more", o.edges)
	case o.groups < 1 || o.groups > cluster.MaxGroupsPerRegion:
		return usagef("--groups %d: choose 1 to %d", o.groups, cluster.MaxGroupsPerRegion)
	case nodes > maxDevNodes:
		return usagef("%d nodes are more than the %d that dev starts in one process", nodes, maxDevNodes)
	case o.port < 0 || o.port+consulPortsAfter+nodes > 65536:
		return usagef("--port %d: choose a first port from 1 to %d for %d nodes, or 0 for any ports", o.port, 65536-consulPortsAfter-nodes, nodes)
	case o.wan == "":
		return usagef("--wan is empty: choose real, off or a file")
	}
	if err := cmp.Or(o.checkCuts(), checkRaftLog(o.raftLog)); err != nil {
		return err
	}
	if _, err := local.Delay(o.wan, ""); err != nil {
		return usagef("%v", err)
	}
	if err := cmp.Or(checkCORSOrigins(o.corsOrigins), checkOTLP(o.otlp, o.traceRatio)); err != nil {
		return err
	}
	return checkLeaseTerm(o.leaseTerm)
}

// checkCuts reads --cut.
func (o *devOptions) checkCuts() error {
	o.cuts = nil
	for _, text := range o.cut {
		a, b, ok := strings.Cut(text, "~")
		if !ok || a == b || !slices.Contains(o.regions, a) || !slices.Contains(o.regions, b) {
			return usagef("--cut %q: name two of the regions %s, as in %s", text, strings.Join(o.regions, ", "), o.cutExample())
		}
		o.cuts = append(o.cuts, api.DevCut{A: api.RegionID(a), B: api.RegionID(b)})
	}
	return nil
}

func (o *devOptions) cutExample() string {
	if len(o.regions) < 2 {
		return "us-east~eu-west"
	}
	return o.regions[0] + "~" + o.regions[1]
}

// nodes returns the number of nodes.
func (o *devOptions) nodes() int { return len(o.regions) * (o.replicas + o.edges) }

// consulPortsAfter is how far the ports of the front for clients of Consul are from those of the nodes.
const consulPortsAfter = maxDevNodes

// consulPort returns the first port of the front for clients of Consul.
func (o *devOptions) consulPort() int {
	if o.port == 0 {
		return -1
	}
	return o.port + consulPortsAfter
}

// devNode is a node in the output of dev --json.
type devNode struct {
	Node   api.NodeID   `json:"node"`
	Region api.RegionID `json:"region"`
	Role   api.Role     `json:"role"`
	URL    string       `json:"url"`
	Consul string       `json:"consul,omitempty"`
}

// announce prints the nodes, which are ready: as one line of JSON, or as a table with two commands to try and one for each front.
func (o *devOptions) announce(t *terminal, nodes []devNode) error {
	if o.json {
		return printJSON(t.out, struct {
			Ready bool         `json:"ready"`
			Nodes []devNode    `json:"nodes"`
			Cuts  []api.DevCut `json:"cuts,omitempty"`
			CA    string       `json:"ca,omitempty"`    // the file with the root of a secure planet
			Token string       `json:"token,omitempty"` // the file with a token of clients
		}{true, nodes, o.cuts, o.ca, o.token})
	}
	rows := table{{"NODE", "ROLE", "REGION", "URL"}}
	for _, n := range nodes {
		rows = append(rows, []string{string(n.Node), string(n.Role), string(n.Region), n.URL})
	}
	_, err := fmt.Fprintf(t.out, "%v\n%s%s", rows, o.sayCuts(nodes), o.tries(nodes))
	return err
}

// sayCuts returns which regions are cut off from each other, and how to heal that.
func (o *devOptions) sayCuts(nodes []devNode) string {
	if len(o.cuts) == 0 {
		return ""
	}
	var b strings.Builder
	for _, c := range o.cuts {
		fmt.Fprintf(&b, "%s and %s are cut off from each other.\n", c.A, c.B)
	}
	how := "curl -X POST "
	if o.secure {
		how = fmt.Sprintf("curl --cacert %s -H \"Authorization: Bearer $TOKEN\" -X POST ", o.ca)
	}
	return b.String() + "Heal every cut with:\n\n  " + how + nodes[0].URL + "/v1/dev/heal\n\n"
}

// gateway returns the URL of an edge of the region, or of a server if it has none.
func gateway(nodes []devNode, region string) string { return gatewayNode(nodes, region).URL }

func gatewayNode(nodes []devNode, region string) (found devNode) {
	for _, n := range nodes {
		if string(n.Region) == region && (found.URL == "" || n.Role == api.RoleEdge) {
			found = n
		}
	}
	return found
}

// tryFronts returns a command for each front at a node of the last region.
func (o *devOptions) tryFronts(nodes []devNode) string {
	var b strings.Builder
	at := gatewayNode(nodes, o.regions[len(o.regions)-1])
	for _, command := range cluster.TryFronts(cluster.Reach{URL: at.URL, Consul: at.Consul, CA: o.ca, Token: o.token}) {
		b.WriteString("  " + strings.ReplaceAll(command, "\n", "\n  ") + "\n")
	}
	if b.Len() == 0 {
		return ""
	}
	return "The fronts are on:\n\n" + b.String() + "\n"
}

// tries returns two commands to try, the address of the page, and a command for each front: the first writes a key of the second region through the first region, the
// other reads it in the last.
func (o *devOptions) tries(nodes []devNode) string {
	first, last := o.regions[0], o.regions[len(o.regions)-1]
	key := o.regions[min(1, len(o.regions)-1)] + "/hello"
	if o.secure {
		how := fmt.Sprintf("--ca %s --token @%s", o.ca, o.token)
		return fmt.Sprintf(`Ready. Write in %s, read in %s:

  edgehold kv put %s world --addr %s %s
  edgehold kv get %s --addr %s %s

See it in a browser: %s/ui/

%sStop with Ctrl-C.
`, first, last, key, gateway(nodes, first), how, key, gateway(nodes, last), how, gateway(nodes, first), o.tryFronts(nodes))
	}
	return fmt.Sprintf(`Ready. Write in %s, read in %s:

  curl -X PUT --data world %s/v1/kv/%s
  curl -i %s/v1/kv/%s

See it in a browser: %s/ui/

%sStop with Ctrl-C.
`, first, last, gateway(nodes, first), key, gateway(nodes, last), key, gateway(nodes, first), o.tryFronts(nodes))
}

// interrupted returns nil if the user has stopped the command, else err.
func interrupted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return nil
}
