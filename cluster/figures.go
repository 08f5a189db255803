package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sync"

	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/fsm/placement"
)

// openFigures registers what is measured of the node as a whole: its disk, and the placement map that it goes by.
func (n *Node) openFigures() (func() error, error) {
	if n.cfg.Dir != "" {
		n.metrics.Gauge("edgehold_disk_free_bytes", "What this node may still write into its data folder; NaN if it cannot be read.", func() float64 {
			free, _, err := DiskSpace(n.cfg.Dir)
			return orNaN(free, err)
		})
		n.metrics.Gauge("edgehold_disk_size_bytes", "Size of the file system of the data folder; NaN if it cannot be read.", func() float64 {
			_, size, err := DiskSpace(n.cfg.Dir)
			return orNaN(size, err)
		})
	}
	view := n.membership.view
	ofMap := func(read func(m *placement.Map) float64) func() float64 {
		return func() float64 {
			if m := view.Map(); m != nil {
				return read(m)
			}
			return 0
		}
	}
	n.metrics.Gauge("edgehold_meta_map_version", "Version of the placement map that this node goes by; 0 if it has none.",
		ofMap(func(m *placement.Map) float64 { return float64(m.Version) }))
	n.metrics.Gauge("edgehold_meta_level", "Level of that map; 0 if there is none.",
		ofMap(func(m *placement.Map) float64 { return float64(m.Level) }))
	n.metrics.Gauge("edgehold_meta_roll_version", "Revision of the tokens and policies that this node knows.",
		func() float64 { return float64(view.Roll().Revision) })
	n.metrics.Total("edgehold_meta_joins_total", "Nodes that have joined the cluster since it was founded, by that map; 0 if there is none.",
		ofMap(func(m *placement.Map) float64 { return float64(max(m.NextNum, 1) - 1) })) // each gets the next number
	n.metrics.Gauge("edgehold_meta_level_newest", "The newest level of the placement map that this node knows.", func() float64 {
		return float64(placement.NewestLevel)
	})
	hash := mapHash{view: view}
	n.metrics.Gauge("edgehold_meta_map_hash", "Part of the SHA-256 of that map: nodes with one map have one hash. 0 if there is none.", hash.read)
	return nil, nil
}

func orNaN(v uint64, err error) float64 {
	if err != nil {
		return math.NaN()
	}
	return float64(v)
}

// mapHash hashes the present map, once for each. Safe for concurrent use.
type mapHash struct {
	view *meta.View

	mu   sync.Mutex
	of   *placement.Map
	hash float64
}

// read returns 32 bits of the map's hash, which a float64 holds exactly.
func (h *mapHash) read() float64 {
	now := h.view.Map()
	if now == nil {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if now != h.of {
		sum := sha256.Sum256(placement.EncodeMap(now))
		h.of, h.hash = now, float64(binary.BigEndian.Uint32(sum[:]))
	}
	return h.hash
}
