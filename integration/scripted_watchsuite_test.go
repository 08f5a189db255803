package integration

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestWatchSuite: the watches of a planet, at an edge far from the owner of the keys, keep what every watcher promises.
func TestWatchSuite(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		n := p.byName["ap-south-edge-1"].running()
		s := struct {
			storetest.ListStore
			api.Watcher
		}{n.Store(), n.Watcher()}
		for _, c := range storetest.WatchCases(storetest.Options{Prefix: "eu-west/", Patience: 5 * time.Minute}) {
			p.t.Log(c.Name)
			c.Run(p.t, s)
		}
	})
}

// TestEmbeddedWatch: Follow and Watch of the SDK over an edge of this process, over the keys of several regions.
func TestEmbeddedWatch(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		n := p.byName["us-east-edge-1"].running()
		c := client.New(struct {
			storetest.ListStore
			api.Watcher
		}{n.Store(), n.Watcher()})
		defer func() { _ = c.Close() }()
		ctx := within(p.t, time.Minute)
		put := func(key api.Key, value string) {
			if _, err := c.Put(ctx, key, []byte(value)); err != nil {
				p.t.Fatal(err)
			}
		}
		put("us-east/a", "1")
		put("eu-west/b", "1")
		var cursor api.Cursor
		for _, err := range c.List(ctx, "", client.CursorInto(&cursor)) {
			if err != nil {
				p.t.Fatal(err)
			}
		}
		state := map[api.Key]string{}
		for e, err := range c.Follow(ctx, "") {
			if err != nil {
				p.t.Fatal(err)
			}
			if e.Kind == api.EventPut {
				state[e.Key] = string(e.Value)
			}
			if e.Ready {
				put("us-east/a", "2")
				put("eu-west/b", "2")
			}
			if state["us-east/a"] == "2" && state["eu-west/b"] == "2" {
				break
			}
		}
		seen := 0
		for e, err := range c.Watch(ctx, "", cursor) {
			if err != nil {
				p.t.Fatal(err)
			}
			if e.Kind == api.EventPut && string(e.Value) != "2" {
				p.t.Errorf("behind the list: %s is %q", e.Key, e.Value)
			}
			if e.Kind == api.EventPut {
				seen++
			}
			if seen == 2 {
				break
			}
		}
	})
}
