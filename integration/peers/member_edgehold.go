package main

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/local"
)

// memberEdgehold is one node with the settings that the binary gives it, and profiles on a port beside it. Only -profile
// uses it: what is measured is the binary.
func memberEdgehold(ctx context.Context, args []string) error {
	cfg, listen, debug, err := nodeConfig(args)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	if cfg.Listener, err = lc.Listen(ctx, "tcp", listen); err != nil {
		return err
	}
	n, err := cluster.Open(ctx, *cfg)
	if err != nil {
		return errors.Join(err, cfg.Listener.Close())
	}
	return errors.Join(serveProfiles(ctx, debug), n.Close())
}

// nodeConfig reads the arguments of "edgehold server" and "edgehold edge" that peers uses.
func nodeConfig(args []string) (cfg *cluster.Config, listen, debug string, err error) {
	if len(args) == 0 {
		return nil, "", "", errors.New("member edgehold: server or edge?")
	}
	f := flag.NewFlagSet("peers member edgehold", flag.ContinueOnError)
	var node, region, join, wan, level, front string
	cfg = &cluster.Config{Role: api.Role(args[0])}
	f.StringVar(&node, "node", "", "the node's name")
	f.StringVar(&region, "region", "", "the node's region")
	f.StringVar(&listen, "listen", "", "`HOST:PORT` of the node")
	f.StringVar(&cfg.Dir, "data", "", "`folder` of its data")
	f.BoolVar(&cfg.Bootstrap, "bootstrap", false, "start a new cluster")
	f.StringVar(&join, "join", "", "nodes to join")
	f.StringVar(&wan, "wan", "off", "distances between regions")
	f.StringVar(&front, "front", "", "protocols that it speaks beside HTTP")
	f.StringVar(&level, "log-level", "warn", "what to log")
	f.StringVar(&debug, "profiles", "", "`HOST:PORT` to serve profiles on")
	if err := f.Parse(args[1:]); err != nil {
		return nil, "", "", err
	}
	cfg.ID, cfg.Region = api.NodeID(node), api.RegionID(region)
	comma := func(r rune) bool { return r == ',' }
	cfg.Join, cfg.Fronts = strings.FieldsFunc(join, comma), strings.FieldsFunc(front, comma)
	cfg.Logger = hclog.New(&hclog.LoggerOptions{Name: "edgehold", Level: hclog.LevelFromString(level), Output: os.Stderr})
	if wan != "off" {
		cfg.Delay, err = local.Delay(wan, cfg.Region)
	}
	return cfg, listen, debug, err
}
