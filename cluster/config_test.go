package cluster

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestConfig: what cannot work is refused before anything is opened, by the name of the flag if there is one.
func TestConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		good := b.config("s1", api.RoleServer)
		good.Bootstrap = true
		long := strings.Repeat("x", 129)
		for name, c := range map[string]struct {
			change func(c *Config)
			hint   string
		}{
			"no id":             {func(c *Config) { c.ID = "" }, "--node"},
			"a long id":         {func(c *Config) { c.ID = api.NodeID(long) }, "--node"},
			"no region":         {func(c *Config) { c.Region = "" }, "--region"},
			"a long region":     {func(c *Config) { c.Region = api.RegionID(long) }, "--region"},
			"no role":           {func(c *Config) { c.Role = "" }, "a server or an edge"},
			"a strange role":    {func(c *Config) { c.Role = "king" }, `"king"`},
			"no listener":       {func(c *Config) { c.Listener = nil }, "--listen"},
			"no folder":         {func(c *Config) { c.Stores = nil }, "--data"},
			"an edge that is 1": {func(c *Config) { c.Role = api.RoleEdge }, "an edge cannot bootstrap"},
			"no way in":         {func(c *Config) { c.Bootstrap = false }, "--join"},
			"a negative term":   {func(c *Config) { c.LeaseTerm = -1 }, "--lease-term"},
			"a strange front":   {func(c *Config) { c.Fronts = []string{"memcached"} }, `--front "memcached"`},
			"a socket alone":    {func(c *Config) { c.RESPSocket = "s" }, "--resp-socket needs --front resp"},
			"an endless term":   {func(c *Config) { c.LeaseTerm = words.MaxLeaseTerm + 1 }, "--lease-term"},
		} {
			cfg := good
			c.change(&cfg)
			if n, err := Open(context.Background(), cfg); api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), c.hint) {
				t.Errorf("%s: %v, %v", name, n, err)
			}
		}
		b.ready(b.open(good)) // none of them has touched what they share
	})
}

// TestConfigDefaults: a node with a short term renews its leases often enough to keep them.
func TestConfigDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := newBubble(t).config("s1", api.RoleServer)
		cfg.LeaseTerm = 2 * time.Second
		cfg.setDefaults()
		if cfg.KeepAlive != 500*time.Millisecond || cfg.Advertise != "s1" || cfg.Groups != 1 || cfg.Voters != 3 || cfg.CacheBytes != 256<<20 {
			t.Errorf("%+v", cfg)
		}
		_ = cfg.Listener.Close()
	})
}
