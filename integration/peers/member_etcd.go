package main

import (
	"context"
	"net/url"

	"go.etcd.io/etcd/server/v3/embed"
)

// memberEtcd is one etcd server with its defaults: fsync on, automatic compaction off.
func memberEtcd(ctx context.Context, m *memberOptions) error {
	client, err := url.Parse(m.client)
	if err != nil {
		return err
	}
	peer, err := url.Parse(m.peer)
	if err != nil {
		return err
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster = m.name, m.data, m.cluster
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	cfg.LogLevel = "error"
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.Err():
		return err
	}
}
