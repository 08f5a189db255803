package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// minBacklog is what net.core.somaxconn should be at least: so many connections may come at once.
const minBacklog = 1024

// backlog checks how many connections may wait until they are accepted.
func backlog(_ context.Context, x *exam) []Finding {
	b, err := os.ReadFile(filepath.Join(x.proc, "sys/net/core/somaxconn"))
	if err != nil {
		return skip("nothing: this system has another setting", "net.core.somaxconn is not known")
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < minBacklog {
		return warn("sysctl -w net.core.somaxconn=4096, and restart the node", "net.core.somaxconn is %s: connections that come at once are dropped beyond that", strings.TrimSpace(string(b)))
	}
	return ok("net.core.somaxconn is %d", n)
}

// minDescriptors is what a node's limit should be at least: a third of the systemd unit's.
const minDescriptors = 16384

// descriptors checks the node's limit of open files, and how near it is.
func descriptors(_ context.Context, x *exam) []Finding {
	m, err := x.metrics()
	if err != nil {
		return unanswered("the node's metrics", err)
	}
	limit, known := m["process_max_fds"]
	open := m["process_open_fds"]
	const next = "raise it: LimitNOFILE=65536 in the unit, or ulimit -n 65536"
	switch {
	case !known:
		return skip("nothing: this system does not count them", "the node's open files are not known")
	case open > 0.8*limit:
		return fail(next, "the node has %.0f files open of %.0f", open, limit)
	case limit < minDescriptors:
		return warn(next, "the node may open %.0f files, and each connection is one", limit)
	}
	return ok("%.0f open of %.0f", open, limit)
}

// samples are the values of metrics, by their names with their labels.
type samples map[string]float64

// parseMetrics reads Prometheus's text format.
func parseMetrics(text string) samples {
	all := samples{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			if v, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
				all[line[:i]] = v
			}
		}
	}
	return all
}
