package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// etcdStore is etcd's own client over gRPC: one, which spreads requests over connections to all three members. That is
// as a program uses it, and faster on few cores than more clients are.
type etcdStore struct {
	client *clientv3.Client
	leader string // its endpoint
}

func startEtcd(ctx context.Context, s *stage) (watched, []*process, error) {
	addresses, err := freeAddresses(6)
	if err != nil {
		return nil, nil, err
	}
	peers, clients := make([]string, 3), make([]string, 3)
	for i := range 3 {
		clients[i] = "http://" + addresses[i]
		peers[i] = fmt.Sprintf("etcd-%d=http://%s", i+1, addresses[3+i])
	}
	var members []*process
	for i := range 3 {
		name, peer, _ := strings.Cut(peers[i], "=")
		p, err := s.member(name, etcdName, "-name", name, "-data", s.folder(name), "-client", clients[i], "-peer", peer,
			"-cluster", strings.Join(peers, ","))
		if err != nil {
			return nil, nil, err
		}
		members = append(members, p)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: clients, Context: ctx})
	if err != nil {
		return nil, nil, err
	}
	e := &etcdStore{client: c}
	if err := s.eventually(ctx, "etcd's three members", e.complete); err != nil {
		e.close()
		return nil, nil, err
	}
	if s.options.leader {
		e.client.SetEndpoints(e.leader)
	}
	return e, members, nil
}

// complete is an error unless every member answers and knows the leader.
func (e *etcdStore) complete(ctx context.Context) error {
	for _, endpoint := range e.client.Endpoints() {
		st, err := e.client.Status(ctx, endpoint)
		if err != nil {
			return err
		}
		if st.Leader == 0 || st.IsLearner {
			return fmt.Errorf("%s has no leader yet", endpoint)
		}
		if st.Leader == st.Header.MemberId {
			e.leader = endpoint
		}
	}
	return nil
}

func (e *etcdStore) put(ctx context.Context, _ int, key string, value []byte) error {
	_, err := e.client.Put(ctx, key, string(value))
	return err
}

func (e *etcdStore) get(ctx context.Context, _ int, key string) ([]byte, error) {
	r, err := e.client.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if len(r.Kvs) != 1 {
		return nil, fmt.Errorf("%s has %d values", key, len(r.Kvs))
	}
	return r.Kvs[0].Value, nil
}

// watchClients is how many clients share the watches of etcd and of NATS: each carries many over one connection.
const watchClients = 4

// watch opens the watches at the first member.
func (e *etcdStore) watch(ctx context.Context, n int, seen func(int), failed func(error)) (int, error) {
	clients := make([]*clientv3.Client, min(watchClients, n))
	for i := range clients {
		c, err := clientv3.New(clientv3.Config{Endpoints: e.client.Endpoints()[:1], Context: ctx})
		if err != nil {
			return 0, err
		}
		context.AfterFunc(ctx, func() { _ = c.Close() }) // nothing else is under way
		clients[i] = c
	}
	return openWatches(ctx, n, func(ctx context.Context, watcher int) error {
		changes := clients[watcher%len(clients)].Watch(ctx, homeRegion+"/user/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		if r, ok := <-changes; !ok || !r.Created {
			return fmt.Errorf("the watch has not begun: %w", r.Err())
		}
		go func() {
			for r := range changes {
				for range r.Events {
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

func (e *etcdStore) close() { _ = e.client.Close() } // the members are about to be killed
