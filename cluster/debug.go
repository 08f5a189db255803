package cluster

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
)

var _ api.Debugger = (*Node)(nil)

// maxDebugPart bounds each file of a node's debug bundle, in bytes.
const maxDebugPart = 8 << 20

// debugPart is a file of a node's debug bundle.
type debugPart struct {
	name  string
	write func(n *Node, ctx context.Context, w io.Writer) error
}

// debugParts are all of them. None has values, tokens or private keys.
var debugParts = []debugPart{
	{"version.json", debugJSON((*Node).debugVersion)},
	{"config.json", debugJSON((*Node).debugConfig)},
	{"status.json", debugJSON(func(n *Node, ctx context.Context) (any, error) { return n.Status(ctx) })},
	{"settings.json", debugJSON(func(n *Node, ctx context.Context) (any, error) { return n.Settings(ctx) })},
	{"map.json", debugJSON((*Node).debugMap)},
	{"metrics.txt", (*Node).debugMetrics},
	{"goroutines.txt", debugProfile("goroutine", 1)},
	{"heap.pprof", debugProfile("heap", 0)},
	{"log.txt", (*Node).debugLog},
}

// WriteDebug writes the node's debug bundle to w: a gzipped tar of files that say how the node is. A part that cannot be had is a file
// NAME.error with the reason. One bundle is made at a time: CodeUnavailable if another one is under way; nothing was written then.
func (n *Node) WriteDebug(ctx context.Context, w io.Writer) error {
	return n.writeDebug(ctx, w, debugParts)
}

func (n *Node) writeDebug(ctx context.Context, w io.Writer, parts []debugPart) error {
	if !n.debugging.CompareAndSwap(false, true) {
		return &api.Error{Code: api.CodeUnavailable, Op: "debug", Hint: "this node makes another debug bundle: try again when it is done", RetryAfter: time.Second}
	}
	defer n.debugging.Store(false)
	zip := gzip.NewWriter(w)
	out := tar.NewWriter(zip)
	var text bytes.Buffer
	for _, p := range parts {
		text.Reset()
		name, bounded := p.name, &boundedWriter{w: &text, left: maxDebugPart}
		if err := p.write(n, ctx, bounded); err != nil {
			text.Reset()
			name = p.name + ".error"
			_, _ = fmt.Fprintln(&text, err) // memory takes it
		}
		h := tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(text.Len()), ModTime: time.Now()}
		if err := out.WriteHeader(&h); err != nil {
			return err
		}
		if _, err := out.Write(text.Bytes()); err != nil {
			return err
		}
		if err := zip.Flush(); err != nil { // the receiver sees that it goes on
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	return zip.Close()
}

// boundedWriter refuses what is over its bound.
type boundedWriter struct {
	w    io.Writer
	left int
}

func (b *boundedWriter) Write(p []byte) (int, error) {
	if len(p) > b.left {
		return 0, fmt.Errorf("it is over the limit of %d bytes", maxDebugPart)
	}
	b.left -= len(p)
	return b.w.Write(p)
}

// debugJSON is a part that is JSON.
func debugJSON(of func(n *Node, ctx context.Context) (any, error)) func(*Node, context.Context, io.Writer) error {
	return func(n *Node, ctx context.Context, w io.Writer) error {
		v, err := of(n, ctx)
		if err != nil {
			return err
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
}

// debugProfile is a part that is a profile of the process.
func debugProfile(name string, format int) func(*Node, context.Context, io.Writer) error {
	return func(_ *Node, _ context.Context, w io.Writer) error { return pprof.Lookup(name).WriteTo(w, format) }
}

func (n *Node) debugVersion(context.Context) (any, error) {
	v := struct {
		Version    string    `json:"version"`
		Go         string    `json:"go"`
		System     string    `json:"system"`
		Processors int       `json:"processors"`
		Started    time.Time `json:"started"`
		Now        time.Time `json:"now"`
		Build      []string  `json:"build,omitempty"`
	}{n.cfg.Version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, runtime.GOMAXPROCS(0), n.started, time.Now(), nil}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			v.Build = append(v.Build, s.Key+"="+s.Value)
		}
	}
	return v, nil
}

// debugConfig has what the node was started with. The private keys that it names stay in their files.
func (n *Node) debugConfig(context.Context) (any, error) {
	c := &n.cfg
	return map[string]any{
		"node": c.ID, "region": c.Region, "role": c.Role, "advertise": c.Advertise, "data": c.Dir, "admin_socket": c.AdminSocket,
		"join": c.Join, "join_token": c.JoinToken != nil, "ephemeral": c.Ephemeral, "join_timeout": c.JoinTimeout.String(), "names": c.Names,
		"bootstrap": c.Bootstrap, "secure": c.Secure, "tls_cert": c.TLSCert, "tls_min": c.ClientTLSMin, "audit": c.Audit,
		"groups": c.Groups, "voters": c.Voters, "lease_term": c.LeaseTerm.String(), "keep_alive": c.KeepAlive.String(),
		"cache_bytes": c.CacheBytes, "state_cache_bytes": c.StateCacheBytes, "memory": c.Memory, "raft_log": c.Log,
		"http_connections": c.MaxHTTPConns, "cors_origins": c.CORSOrigins, "fronts": c.Fronts, "resp_socket": c.RESPSocket,
	}, nil
}

// debugNode is a node of the map: what a debug bundle says of it. The nonces of processes are left out.
type debugNode struct {
	Node      api.NodeID   `json:"node"`
	Num       uint32       `json:"num"`
	Region    api.RegionID `json:"region"`
	Role      api.Role     `json:"role"`
	Address   string       `json:"address"`
	URL       string       `json:"url"`
	State     string       `json:"state,omitempty"`
	Pins      []string     `json:"pins,omitempty"`
	Names     []string     `json:"names,omitempty"`
	Host      string       `json:"host,omitempty"`
	Ephemeral bool         `json:"ephemeral,omitempty"`
}

// debugGroup is a group of the map.
type debugGroup struct {
	Group   api.GroupID  `json:"group"`
	Region  api.RegionID `json:"region,omitempty"`
	Founder api.NodeID   `json:"founder,omitempty"`
	Voters  []api.NodeID `json:"voters"`
}

// debugMap is the placement map that the node goes by.
func (n *Node) debugMap(context.Context) (any, error) {
	m, err := n.present("debug")
	if err != nil {
		return nil, err
	}
	v := struct {
		Cluster  string       `json:"cluster_id"`
		Version  uint64       `json:"version"`
		Level    int          `json:"level"`
		Security string       `json:"security"`
		Roots    []string     `json:"roots,omitempty"`
		Nodes    []debugNode  `json:"nodes"`
		Groups   []debugGroup `json:"groups"`
		Ranges   int          `json:"ranges"`
		Retired  []api.NodeID `json:"retired,omitempty"`
	}{m.ClusterID, m.Version, int(m.Level), string(m.Security), nil, nil, nil, len(m.Ranges), m.Retired}
	for _, der := range m.Roots {
		if c, err := x509.ParseCertificate(der); err == nil {
			v.Roots = append(v.Roots, join.Fingerprint(c).String())
		}
	}
	for _, o := range m.Nodes {
		d := debugNode{o.ID, o.Num, o.Region, o.Role, o.Address, o.URL, string(o.State), nil, o.Names, o.Host, o.Ephemeral}
		for _, p := range o.Pins {
			d.Pins = append(d.Pins, hex.EncodeToString(p))
		}
		v.Nodes = append(v.Nodes, d)
	}
	for _, g := range m.Groups {
		v.Groups = append(v.Groups, debugGroup{g.ID, g.Region, g.Founder, g.Voters})
	}
	return v, nil
}

// debugMetrics is what a scrape gets.
func (n *Node) debugMetrics(ctx context.Context, w io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/metrics", http.NoBody)
	if err != nil {
		return err
	}
	to := &metricsWriter{Writer: w, header: http.Header{}}
	n.metrics.handler().ServeHTTP(to, r)
	return to.err
}

// metricsWriter takes an answer of the handler of metrics.
type metricsWriter struct {
	io.Writer
	header http.Header
	err    error
}

func (m *metricsWriter) Header() http.Header { return m.header }

func (m *metricsWriter) WriteHeader(status int) {
	if status != http.StatusOK {
		m.err = fmt.Errorf("the metrics answer with status %d", status)
	}
}

func (m *metricsWriter) Write(b []byte) (int, error) {
	n, err := m.Writer.Write(b)
	if err != nil && m.err == nil {
		m.err = err
	}
	return n, err
}

// debugLog is the newest lines of the node's log, oldest first.
func (n *Node) debugLog(_ context.Context, w io.Writer) error {
	lines, left := n.lines.newest()
	if left > 0 {
		if _, err := fmt.Fprintf(w, "(%d older lines are not kept)\n", left); err != nil {
			return err
		}
	}
	for _, line := range lines {
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}
