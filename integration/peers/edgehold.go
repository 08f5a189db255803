package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// homeRegion is the region of the servers, farRegion that of the edge: 200 ms away by the built-in table.
const (
	homeRegion = "us-east"
	farRegion  = "ap-south"
)

// buildEdgehold builds the binary from the tree, as make build does.
func buildEdgehold(ctx context.Context, tree, dir string) (string, error) {
	name, err := filepath.Abs(filepath.Join(dir, "edgehold"))
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-pgo", "cmd/edgehold/edgehold.pgo", "-o", name, "./cmd/edgehold")
	cmd.Dir = tree
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/edgehold in %s (see -tree): %w\n%s", tree, err, out)
	}
	return name, nil
}

// fleet is three servers of one region, and SDK clients of them.
type fleet struct {
	stage   *stage
	servers []*process
	urls    []string
	clients []*client.Client // each with another server as its nearest; workers take turns
}

func startEdgehold(ctx context.Context, s *stage) (watched, []*process, error) {
	f, err := startFleet(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	if !s.options.leader {
		return f, f.servers, nil
	}
	return f, f.servers, s.eventually(ctx, "the leader of Edgehold's group", f.toLeader)
}

func startFleet(ctx context.Context, s *stage) (*fleet, error) {
	addresses, err := freeAddresses(3)
	if err != nil {
		return nil, err
	}
	f := &fleet{stage: s}
	for i, a := range addresses {
		how := []string{"--join", addresses[0]}
		if i == 0 {
			how = []string{"--bootstrap"}
		}
		name := fmt.Sprintf("edgehold-%d", i+1)
		p, err := f.node("server", name, homeRegion, a, append(how, "--data", s.folder(name))...)
		if err != nil {
			return nil, err
		}
		f.servers, f.urls = append(f.servers, p), append(f.urls, "http://"+a)
		if err := f.connect(ctx, i); err != nil {
			return nil, err
		}
	}
	return f, s.eventually(ctx, "three voters in each of Edgehold's groups", f.complete)
}

// node starts the binary; with -profile it starts the same node in this program, which can be profiled.
func (f *fleet) node(role, name, region, address string, more ...string) (*process, error) {
	args := append([]string{role, "--node", name, "--region", region, "--listen", address, "--log-level", "warn"}, more...)
	if f.stage.options.profile != "" {
		return f.profiled(name, address, args)
	}
	p, err := f.stage.run(name, f.stage.binary, args...)
	if err != nil {
		return nil, err
	}
	p.address = address
	return p, nil
}

func (f *fleet) profiled(name, address string, args []string) (*process, error) {
	free, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	p, err := f.stage.member(name, edgeholdName, append(args, "--profiles", free[0])...)
	if err != nil {
		return nil, err
	}
	p.address, p.profiles = address, free[0]
	return p, nil
}

// connect opens the client whose nearest server is number i, and waits until that server is ready.
func (f *fleet) connect(ctx context.Context, i int) error {
	c, err := client.Open(ctx, client.Config{Endpoints: f.urls[i : i+1]})
	if err != nil {
		return err
	}
	f.clients = append(f.clients, c)
	return f.stage.eventually(ctx, f.servers[i].name, c.Ready)
}

// complete is an error unless every group has three voters and a leader.
func (f *fleet) complete(ctx context.Context) error {
	s, err := f.clients[0].Status(ctx)
	if err != nil {
		return err
	}
	if len(s.Groups) == 0 {
		return errors.New("no groups yet")
	}
	for _, g := range s.Groups {
		if len(g.Voters) != 3 || g.Leader == "" {
			return fmt.Errorf("group %s has voters %v and leader %q", g.Group, g.Voters, g.Leader)
		}
	}
	return nil
}

// toLeader keeps only the client of the server that leads the keys' group.
func (f *fleet) toLeader(ctx context.Context) error {
	s, err := f.clients[0].Status(ctx)
	if err != nil {
		return err
	}
	for _, g := range s.Groups {
		for i, p := range f.servers {
			if g.Region == homeRegion && string(g.Leader) == p.name {
				f.clients = f.clients[i : i+1]
				return nil
			}
		}
	}
	return errors.New("no leader is known")
}

func (f *fleet) nearest(worker int) *client.Client { return f.clients[worker%len(f.clients)] }

func (f *fleet) put(ctx context.Context, worker int, key string, value []byte) error {
	_, err := f.nearest(worker).Put(ctx, api.Key(key), value)
	return err
}

// get asks the owner, as a linearizable read elsewhere does; leases play no part.
func (f *fleet) get(ctx context.Context, worker int, key string) ([]byte, error) {
	v, err := f.nearest(worker).Get(ctx, api.Key(key), client.Quorum())
	return v.Value, err
}

// watch opens a connection of HTTP/1.1 to the first server for each watch.
func (f *fleet) watch(ctx context.Context, n int, seen func(int), failed func(error)) (int, error) {
	return openWatches(ctx, n, func(ctx context.Context, watcher int) error {
		return watchHTTP(ctx, f.servers[0].address, homeRegion+"/user/", func() { seen(watcher) }, failed)
	})
}

func (f *fleet) close() {
	for _, c := range f.clients {
		_ = c.Close() // only gives idle connections back
	}
}

// edgeholdVersion is what the tree is at.
func edgeholdVersion(ctx context.Context, tree string) string {
	cmd := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty")
	cmd.Dir, cmd.Env = tree, os.Environ()
	out, err := cmd.Output()
	if err != nil {
		return "of this tree"
	}
	return string(out[:max(0, len(out)-1)])
}
