package main

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// memberNATS is one NATS server with JetStream that syncs every write (sync_interval: always); all else as by default.
func memberNATS(ctx context.Context, m *memberOptions) error {
	host, port, err := splitAddress(m.client)
	if err != nil {
		return err
	}
	routeHost, routePort, err := splitAddress(m.route)
	if err != nil {
		return err
	}
	o := &server.Options{
		ServerName: m.name, Host: host, Port: port, NoSigs: true,
		JetStream: true, StoreDir: m.data, SyncAlways: true,
		JetStreamLimits: server.JSLimitOpts{DefaultMaxConsumers: -1}, // else a bucket has 1,000 watchers at most
		Cluster:         server.ClusterOpts{Name: "peers", Host: routeHost, Port: routePort},
	}
	for r := range strings.SplitSeq(m.routes, ",") {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: r})
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}
