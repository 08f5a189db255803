package fsm

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

var benchInit = Init{
	Group: "g.1", Incarnation: 1, Shards: []Shard{{Epoch: 1, Of: 1}}, MaxTerm: time.Minute, MaxPause: time.Second,
}

// benchMachine is a founded machine with that many keys.
func benchMachine(b *testing.B, keys int) *Machine {
	b.Helper()
	return benchMachineOn(b, engine.NewMemory(), keys)
}

func benchMachineOn(b *testing.B, e engine.Engine, keys int) *Machine {
	b.Helper()
	m, err := Open(e)
	if err != nil {
		b.Fatal(err)
	}
	cs := [][]byte{encode(benchInit)}
	for i := range keys {
		if cs = append(cs, benchPut(i, api.RequestID{})); len(cs) == 1024 {
			m.Apply(1, 1, cs)
			cs = cs[:0]
		}
	}
	m.Apply(1, 1, cs)
	return m
}

func benchKey(i int) api.Key { return api.Key(fmt.Sprintf("bench/%08d", i*7919%100_000_000)) }

func benchPut(i int, id api.RequestID) []byte {
	return encode(Write{Term: 1, Txn: api.Txn{ID: id, Then: []api.Op{{Kind: api.OpPut, Key: benchKey(i), Value: make([]byte, 64)}}}})
}

func BenchmarkApplyPut(b *testing.B) { benchApplyPut(b, engine.NewMemory()) }

func BenchmarkApplyPutOnDisk(b *testing.B) {
	e, err := engine.OpenPebble(engine.Config{Dir: b.TempDir(), Cache: engine.NewCache(64 << 20)})
	if err != nil {
		b.Fatal(err)
	}
	benchApplyPut(b, e)
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
}

func benchApplyPut(b *testing.B, e engine.Engine) {
	const keys = 100_000
	m := benchMachineOn(b, e, keys)
	for _, packed := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("packed=%d", packed), func(b *testing.B) {
			benchApply(b, m, packed, func(n int) []byte { return benchPut(n%keys, api.RequestID{}) })
		})
	}
	var seq uint64
	for _, packed := range []int{1, 64} {
		b.Run(fmt.Sprintf("once/packed=%d", packed), func(b *testing.B) {
			benchApply(b, m, packed, func(n int) []byte {
				seq++
				return benchPut(n%keys, api.RequestID{Client: api.ClientID{1}, Seq: seq, AckedBelow: seq - min(seq-1, 8)})
			})
		})
	}
}

// benchApply counts commands, packed that many to an Apply.
func benchApply(b *testing.B, m *Machine, packed int, command func(n int) []byte) {
	b.ReportAllocs()
	commands := make([][]byte, b.N+packed)
	for n := range commands {
		commands[n] = command(n)
	}
	b.ResetTimer()
	for n := 0; n < b.N; n += packed {
		for _, r := range all(m.Apply(1, 1, commands[n:n+packed])) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
}

func BenchmarkApplyGrant(b *testing.B) {
	const keys = 100_000
	m := benchMachine(b, keys)
	sid := one(m.Apply(1, 1, [][]byte{encode(SessionOpen{Node: "n", Nonce: ident.Nonce{1}, T: time.Second})})).Session
	var at int
	b.ReportAllocs()
	for b.Loop() {
		c := encode(Grant{Term: 1, Items: []GrantItem{{Session: sid, Keys: []api.Key{benchKey(at % keys)}}}})
		if r := one(m.Apply(1, 1, [][]byte{c})); r.Err != nil || r.Leases[0] == 0 {
			b.Fatal(r)
		}
		at++
	}
}

func BenchmarkRead(b *testing.B) {
	m := benchMachine(b, 100_000)
	ks := []api.Key{benchKey(4711)}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if es, _, err := m.Read(ks); err != nil || !es[0].Exists {
				b.Fatal(es, err)
			}
		}
	})
}

func BenchmarkEncodePut(b *testing.B) {
	var c Command = Write{Term: 7, Txn: api.Txn{
		ID:   api.RequestID{Client: api.ClientID{1}, Seq: 300, AckedBelow: 299},
		Then: []api.Op{{Kind: api.OpPut, Key: "bench/00000001", Value: make([]byte, 64)}},
	}, Epoch: inGroup("g.1", 9)}
	b.ReportAllocs()
	for b.Loop() {
		encode(c)
	}
}

func BenchmarkDecodePut(b *testing.B) {
	c := encode(Write{Term: 1, Txn: api.Txn{
		ID:   api.RequestID{Client: api.ClientID{1}, Seq: 300, AckedBelow: 299},
		Then: []api.Op{{Kind: api.OpPut, Key: benchKey(1), Value: make([]byte, 64)}},
	}, Epoch: inGroup("g.1", 9)})
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decode(c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyPutTTL is a put of a key that has a deadline and gets a later one.
func BenchmarkApplyPutTTL(b *testing.B) {
	const keys = 100_000
	m := benchMachine(b, keys)
	benchApply(b, m, 64, func(n int) []byte {
		op := api.Op{Kind: api.OpPut, Key: benchKey(n % keys), Value: make([]byte, 64), TTL: time.Hour}
		return encode(Write{Term: 1, Txn: api.Txn{Then: []api.Op{op}}, Now: uint64(n)})
	})
}

// BenchmarkExpire ends keys, a thousand a command, and counts keys.
func BenchmarkExpire(b *testing.B) {
	m := benchMachine(b, 0)
	for n := 0; n < b.N; n += 64 {
		var puts [][]byte
		for i := n; i < n+64; i++ {
			op := api.Op{Kind: api.OpPut, Key: benchKey(i), Value: make([]byte, 64), TTL: time.Second}
			puts = append(puts, encode(Write{Term: 1, Txn: api.Txn{Then: []api.Op{op}}}))
		}
		all(m.Apply(1, 1, puts))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for {
		due := m.Due(second, MaxExpire)
		if len(due) == 0 {
			return
		}
		c := Expire{Term: 1, Now: second}
		for _, d := range due {
			c.Keys = append(c.Keys, KeyVersion{d.Key, d.Version})
		}
		if r := one(m.Apply(1, 1, [][]byte{encode(c)})); r.Err != nil || len(r.Left) > 0 {
			b.Fatal(r)
		}
	}
}
