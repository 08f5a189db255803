package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsStore is JetStream's key-value bucket with three replicas on disk, through a connection to each server.
type natsStore struct {
	conns   []*nats.Conn
	buckets []jetstream.KeyValue // one for each connection in use
	leader  string               // the name of the bucket's
}

const natsBucket = "bench"

func startNATS(ctx context.Context, s *stage) (watched, []*process, error) {
	addresses, err := freeAddresses(6)
	if err != nil {
		return nil, nil, err
	}
	clients, routes := addresses[:3], addresses[3:]
	var members []*process
	for i := range 3 {
		name := fmt.Sprintf("nats-%d", i+1)
		p, err := s.member(name, natsName, "-name", name, "-data", s.folder(name), "-client", clients[i], "-route", routes[i],
			"-routes", strings.Join(routes, ","))
		if err != nil {
			return nil, nil, err
		}
		members = append(members, p)
	}
	n := &natsStore{}
	for i := range 3 {
		err := s.eventually(ctx, members[i].name, func(ctx context.Context) error { return n.connect(ctx, clients[i], i == 0) })
		if err != nil {
			n.close()
			return nil, nil, err
		}
	}
	if err := s.eventually(ctx, "three replicas of NATS' bucket", n.complete); err != nil {
		n.close()
		return nil, nil, err
	}
	if i := slices.IndexFunc(members, func(p *process) bool { return p.name == n.leader }); s.options.leader {
		n.buckets = n.buckets[i : i+1]
	}
	return n, members, nil
}

// connect opens a connection to one server; the first makes the bucket.
func (n *natsStore) connect(ctx context.Context, address string, first bool) error {
	c, err := nats.Connect("nats://"+address, nats.IgnoreDiscoveredServers(), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	kv, err := openBucket(ctx, c, first)
	if err != nil {
		c.Close()
		return err
	}
	n.conns, n.buckets = append(n.conns, c), append(n.buckets, kv)
	return nil
}

func openBucket(ctx context.Context, c *nats.Conn, create bool) (jetstream.KeyValue, error) {
	js, err := jetstream.New(c)
	if err != nil {
		return nil, err
	}
	if !create {
		return js.KeyValue(ctx, natsBucket)
	}
	return js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: natsBucket, Replicas: 3, Storage: jetstream.FileStorage})
}

// complete is an error unless the bucket has a leader and two followers that have caught up.
func (n *natsStore) complete(ctx context.Context) error {
	js, err := jetstream.New(n.conns[0])
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, "KV_"+natsBucket)
	if err != nil {
		return err
	}
	cluster := stream.CachedInfo().Cluster
	if cluster == nil || cluster.Leader == "" || len(cluster.Replicas) != 2 {
		return errors.New("the bucket is not complete yet")
	}
	n.leader = cluster.Leader
	for _, r := range cluster.Replicas {
		if !r.Current {
			return fmt.Errorf("replica %s has not caught up", r.Name)
		}
	}
	return nil
}

func (n *natsStore) put(ctx context.Context, worker int, key string, value []byte) error {
	_, err := n.buckets[worker%len(n.buckets)].Put(ctx, key, value)
	return err
}

// get is not measured: a direct get is answered by any replica, and no other asks a majority. Neither is linearizable.
func (n *natsStore) get(context.Context, int, string) ([]byte, error) {
	return nil, errors.New("NATS has no linearizable read")
}

// watch opens the watches, which are of the whole bucket, at the first server. It has no keys but those that are watched elsewhere.
func (n *natsStore) watch(ctx context.Context, count int, seen func(int), failed func(error)) (int, error) {
	buckets := make([]jetstream.KeyValue, min(watchClients, count))
	for i := range buckets {
		c, err := nats.Connect(n.conns[0].ConnectedUrl(), nats.IgnoreDiscoveredServers(), nats.MaxReconnects(-1))
		if err != nil {
			return 0, err
		}
		context.AfterFunc(ctx, c.Close)
		if buckets[i], err = openBucket(ctx, c, false); err != nil {
			return 0, err
		}
	}
	return openWatches(ctx, count, func(ctx context.Context, watcher int) error {
		w, err := buckets[watcher%len(buckets)].WatchAll(ctx, jetstream.UpdatesOnly())
		if err != nil {
			return err
		}
		go func() {
			for e := range w.Updates() {
				if e != nil {
					seen(watcher)
				}
			}
			if ctx.Err() == nil {
				failed(errors.New("the channel is closed"))
			}
		}()
		return nil
	})
}

func (n *natsStore) close() {
	for _, c := range n.conns {
		c.Close()
	}
}
