package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/bundle"
)

func newDebug(a *app) *cobra.Command {
	return newGroup("debug", "Gather what helps to find a fault", newDebugBundle(a))
}

func newDebugBundle(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "bundle [FILE]",
		Short: "Write what all nodes say of themselves to one file",
		Long: `Write what all nodes say of themselves to one file, a gzipped tar that only its owner may read: versions, configuration, settings,
the status and the placement map, metrics, goroutines, a profile of memory, and the newest 10,000 lines of each node's log. It has
no values, no tokens and no private keys; it does name nodes, addresses and prefixes of keys.

The nodes are asked at their URLs, with the right operate. A node that does not answer is named, with the reason, and the command
goes on. Without FILE it is edgehold-bundle-TIME.tar.gz in this folder. It replaces no file.`,
		Example: `  edgehold debug bundle --addr https://us-east-1:7400 --token @operator
  edgehold debug bundle /tmp/bundle.tar.gz --data /var/lib/edgehold`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "edgehold-bundle-" + time.Now().UTC().Format("20060102T150405Z") + ".tar.gz"
			if len(args) > 0 {
				file = args[0]
			}
			return a.bundle(cmd.Context(), file)
		},
	}
}

// bundleBody is what the command prints in JSON.
type bundleBody struct {
	File  string        `json:"file"`
	Bytes int64         `json:"bytes"`
	Nodes []bundle.Part `json:"nodes"`
}

func (a *app) bundle(ctx context.Context, file string) error {
	var status *api.Status
	var here api.NodeID // the node that was asked
	err := a.with(ctx, 1, func(c *client.Client) (err error) {
		if status, err = c.Status(ctx); err != nil {
			return err
		}
		if self, err := c.Self(ctx); err == nil {
			here = self.Node
		}
		return nil
	})
	if err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return usagef("debug bundle: %s is there already: name another file", file)
	}
	if err != nil {
		return err
	}
	var size counter
	parts, err := bundle.Write(ctx, io.MultiWriter(out, &size), bundle.Config{Nodes: a.bundleNodes(status, here), About: a.about(), Told: a.bundled})
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	there := 0
	for _, p := range parts {
		if p.Files > 0 {
			there++
		}
	}
	text := fmt.Sprintf("%s: %d of %d nodes, %d bytes\n", file, there, len(parts), size)
	if err := a.show(a.out, bundleBody{file, int64(size), parts}, text); err != nil {
		return err
	}
	if there == 0 {
		return fmt.Errorf("debug bundle: no node could be asked: %s has the reasons", file)
	}
	return nil
}

// counter counts bytes.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// about is how the bundle was made. The token prints as three stars.
func (a *app) about() any {
	return struct {
		Build   build      `json:"build"`
		Addrs   []string   `json:"addr"`
		Data    string     `json:"data,omitempty"`
		CA      string     `json:"ca,omitempty"`
		Token   api.Secret `json:"token,omitempty"`
		Timeout string     `json:"timeout"`
	}{thisBuild(), a.addrs, a.data, a.ca, a.token, a.timeout.String()}
}

// bundleNodes says how each node is asked: here by the way that was given, the others at their URLs.
func (a *app) bundleNodes(s *api.Status, here api.NodeID) []bundle.Node {
	all := make([]bundle.Node, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		to := a.outside().at(n.URL)
		switch {
		case n.Node == here && (a.data != "" || len(a.addrs) == 1):
			to = a.settings
		case n.URL == "":
			all = append(all, bundle.Node{ID: n.Node, Missing: "it is embedded in another program, and has no port"})
			continue
		}
		all = append(all, bundle.Node{ID: n.Node, Ask: func(ctx context.Context) ([]byte, error) { return nodeAt{to}.Fetch(ctx, bundle.Path) }})
	}
	return all
}

// bundled shows how the bundle grows.
func (a *app) bundled(p bundle.Part) {
	if a.json() {
		return
	}
	text := cmp.Or(p.Missing, fmt.Sprintf("%d files, %d bytes", p.Files, p.Bytes))
	if p.Missing != "" {
		text = "MISSING: " + readable(p.Missing)
	}
	_, _ = fmt.Fprintf(a.err, "%s: %s\n", p.Node, text) // it is for the eye alone
}
