package main

import (
	"context"
	"fmt"
	"math/rand/v2"
)

const (
	keyCount   = 10_000 // that puts and linearizable reads spread over, evenly
	localCount = 1_000  // of them that local reads spread over
	valueBytes = 256
)

// store is a running product that keeps data on three members. A worker is one of the clients; it always uses the same
// connection.
type store interface {
	// put writes a key; when it returns, a majority has it on disk.
	put(ctx context.Context, worker int, key string, value []byte) error
	// get reads a key linearizably.
	get(ctx context.Context, worker int, key string) ([]byte, error)
	// close ends the clients.
	close()
}

// replicated is a product with members, and how to start it.
type replicated struct {
	name  string
	reads bool // has linearizable reads
	start func(ctx context.Context, s *stage) (watched, []*process, error)
}

// allReplicated in the order of the tables.
var allReplicated = []replicated{
	{edgeholdName, true, startEdgehold},
	{etcdName, true, startEtcd},
	{natsName, false, startNATS},
}

// keys that everything is done with. Each begins with the name of Edgehold's region, as keys of its users do.
var keys = func() []string {
	out := make([]string, keyCount)
	for i := range out {
		out[i] = fmt.Sprintf("%s/user/%08d", homeRegion, i)
	}
	return out
}()

// newValue is bytes that do not compress.
func newValue(r *rand.Rand) []byte {
	b := make([]byte, valueBytes)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// putter puts a value under any key.
func putter(s store) operation {
	value := newValue(rand.New(rand.NewPCG(1, 2)))
	return func(ctx context.Context, worker int, r *rand.Rand) error {
		return s.put(ctx, worker, keys[r.IntN(len(keys))], value)
	}
}

// getter reads any key and checks that it got a value.
func getter(s store) operation {
	return func(ctx context.Context, worker int, r *rand.Rand) error {
		v, err := s.get(ctx, worker, keys[r.IntN(len(keys))])
		if err == nil && len(v) != valueBytes {
			err = fmt.Errorf("a value of %d bytes instead of %d", len(v), valueBytes)
		}
		return err
	}
}
