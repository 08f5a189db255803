package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
)

// runMember is this program as one member of a product, until ctx is done. Only peers itself calls it so.
func runMember(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("member: of what?")
	}
	f := flag.NewFlagSet("peers member "+args[0], flag.ContinueOnError)
	var m memberOptions
	f.StringVar(&m.name, "name", "", "the member's name")
	f.StringVar(&m.data, "data", "", "`folder` of its data")
	f.StringVar(&m.client, "client", "", "where clients reach it")
	f.StringVar(&m.peer, "peer", "", "where the other members reach it (etcd)")
	f.StringVar(&m.cluster, "cluster", "", "all members, NAME=URL (etcd)")
	f.StringVar(&m.route, "route", "", "where the other members reach it (NATS)")
	f.StringVar(&m.routes, "routes", "", "the routes of all members (NATS)")
	f.StringVar(&m.profiles, "profiles", "", "`HOST:PORT` to serve profiles on (bare)")
	switch args[0] {
	case edgeholdName:
		return memberEdgehold(ctx, args[1:])
	case etcdName, natsName, bareName:
		if err := f.Parse(args[1:]); err != nil {
			return err
		}
	}
	switch args[0] {
	case etcdName:
		return memberEtcd(ctx, &m)
	case natsName:
		return memberNATS(ctx, &m)
	case bareName:
		return memberBare(ctx, &m)
	}
	return fmt.Errorf("member: there is no %q", args[0])
}

// memberOptions are the settings of a member; each product uses some of them.
type memberOptions struct{ name, data, client, peer, cluster, route, routes, profiles string }
