package consul

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// client returns a client of the address in an environment variable. Without it the test is skipped: the tests of integration/fronts set it.
func client(t testing.TB, variable string) *api.Client {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" {
		t.Skip(variable + " names no node: go test ./integration/fronts -run TestConsul")
	}
	c, err := api.NewClient(&api.Config{Address: address, TLSConfig: api.TLSConfig{CAFile: os.Getenv("CONSUL_CACERT")}, Token: os.Getenv("CONSUL_TOKEN")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// near is a client at the home of the keys, far one at an edge 200 ms from it.
func near(t testing.TB) *api.Client { t.Helper(); return client(t, "CONSUL_NEAR") }
func far(t testing.TB) *api.Client  { t.Helper(); return client(t, "CONSUL_FAR") }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestKV: what one client has written, the other reads at once.
func TestKV(t *testing.T) {
	a, b := near(t).KV(), far(t).KV()
	for i := range 3 {
		_, err := a.Put(&api.KVPair{Key: "kv/a", Value: fmt.Append(nil, i), Flags: uint64(i)}, nil)
		must(t, err)
		p, meta, err := b.Get("kv/a", nil)
		must(t, err)
		if string(p.Value) != fmt.Sprint(i) || p.Flags != uint64(i) || meta.LastIndex != p.ModifyIndex || !meta.KnownLeader {
			t.Errorf("got %+v, %+v", p, meta)
		}
	}
	p, _, err := a.Get("kv/a", nil)
	must(t, err)
	p.Value = []byte("by cas")
	if ok, _, err := b.CAS(p, nil); !ok || err != nil {
		t.Errorf("a CAS at the index: %v, %v", ok, err)
	}
	if ok, _, err := a.CAS(p, nil); ok || err != nil {
		t.Errorf("a CAS at the index before: %v, %v", ok, err)
	}
	_, err = b.Put(&api.KVPair{Key: "kv/b/c"}, nil)
	must(t, err)
	keys, _, err := a.Keys("kv/", "/", nil)
	if err != nil || !slices.Equal(keys, []string{"kv/a", "kv/b/"}) {
		t.Errorf("keys %q, %v", keys, err)
	}
	ok, answer, _, err := b.Txn(api.KVTxnOps{{Verb: api.KVGet, Key: "kv/a"}, {Verb: api.KVSet, Key: "kv/d", Value: []byte("x")}, {Verb: api.KVDeleteTree, Key: "kv/b/"}}, nil)
	if err != nil || !ok || len(answer.Results) != 2 || string(answer.Results[0].Value) != "by cas" {
		t.Errorf("a transaction: %v, %+v, %v", ok, answer, err)
	}
	all, _, err := a.List("kv/", &api.QueryOptions{RequireConsistent: true})
	if err != nil || len(all) != 2 {
		t.Errorf("there are %+v, %v", all, err)
	}
	if ok, answer, _, err := a.Txn(api.KVTxnOps{{Verb: api.KVSet, Key: "kv/d"}, {Verb: api.KVCheckNotExists, Key: "kv/a"}}, nil); ok || err != nil || len(answer.Errors) != 1 {
		t.Errorf("a transaction that fails: %v, %+v, %v", ok, answer, err)
	}
	_, err = b.DeleteTree("kv/", nil)
	must(t, err)
	if p, _, err := a.Get("kv/a", nil); p != nil || err != nil {
		t.Errorf("it was deleted: %+v, %v", p, err)
	}
	if leader, err := near(t).Status().Leader(); err != nil || leader == "" {
		t.Errorf("the leader is %q, %v", leader, err)
	}
	if self, err := far(t).Agent().Self(); err != nil || self["Config"]["Datacenter"] != "away" {
		t.Errorf("the agent is %v, %v", self, err)
	}
}

// TestBlocking: a blocking query far away ends with the write near home, and finds it.
func TestBlocking(t *testing.T) {
	a, b := near(t).KV(), far(t).KV()
	_, err := a.Put(&api.KVPair{Key: "blocking/a"}, nil)
	must(t, err)
	_, meta, err := b.List("blocking/", nil)
	must(t, err)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		time.Sleep(300 * time.Millisecond) // or not: a write before the query is found at once
		_, err := a.Put(&api.KVPair{Key: "blocking/b", Value: []byte("x")}, nil)
		if err != nil {
			t.Error(err)
		}
	})
	all, next, err := b.List("blocking/", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Minute})
	if err != nil || len(all) != 2 || next.LastIndex <= meta.LastIndex {
		t.Errorf("there are %+v with %+v, after %+v: %v", all, next, meta, err)
	}
}

// TestWatchedSessions: a blocking query of the list of sessions far away ends when one expires, and its index never goes back.
func TestWatchedSessions(t *testing.T) {
	t.Parallel()
	id, _, err := near(t).Session().Create(&api.SessionEntry{TTL: "2s", Behavior: api.SessionBehaviorDelete}, nil)
	must(t, err)
	for last := uint64(0); ; { // other tests make and destroy sessions too
		all, meta, err := far(t).Session().List(&api.QueryOptions{WaitIndex: last, WaitTime: time.Minute})
		must(t, err)
		if !slices.ContainsFunc(all, func(s *api.SessionEntry) bool { return s.ID == id }) {
			return
		}
		if meta.LastIndex <= last {
			t.Fatalf("the index is %d, after %d, and the session is still there", meta.LastIndex, last)
		}
		last = meta.LastIndex
	}
}

// TestVault: what Vault asks for when its storage is Consul: as many operations in one transaction as it wants, and the address of the agent.
func TestVault(t *testing.T) {
	var ops api.TxnOps
	for range 128 {
		ops = append(ops, &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: "vault/F35C28E1-7035-40BB-B865-6BED9E3A1B28"}})
	}
	if ok, answer, _, err := far(t).Txn().Txn(ops, nil); err != nil || !ok || len(answer.Errors) > 0 || len(answer.Results) != len(ops) {
		t.Errorf("it may not have them: %v, %+v, %v", ok, answer, err)
	}
	self, err := far(t).Agent().Self()
	must(t, err)
	if addr, _ := self["Member"]["Addr"].(string); addr == "" {
		t.Errorf("the agent is %v", self)
	}
}

// TestLock: two clients on two continents take turns, and one that dies without a word gives the lock up by the end of its session.
func TestLock(t *testing.T) {
	t.Parallel()
	key := "service/leader-" + rand.Text() // another run may have left its lock-delay
	holder := start(t, key)
	c := far(t)
	pair, _, err := c.KV().Get(key, nil)
	must(t, err)
	if pair == nil || pair.Session == "" {
		t.Fatalf("the process that says that it has the lock has not: %+v", pair)
	}
	l, err := c.LockOpts(&api.LockOptions{Key: key, Value: []byte("second"), SessionTTL: "2s", SessionOpts: &api.SessionEntry{TTL: "2s", LockDelay: time.Second, Behavior: api.SessionBehaviorRelease}, LockTryOnce: true, LockWaitTime: 300 * time.Millisecond})
	must(t, err)
	if lost, err := l.Lock(nil); lost != nil || err != nil {
		t.Errorf("a lock that is held is given: %v", err)
	}
	must(t, holder.Process.Kill())
	_ = holder.Wait() // it was killed
	begin := time.Now()
	l, err = c.LockOpts(&api.LockOptions{Key: key, Value: []byte("third"), SessionTTL: "10s"})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lost, err := l.Lock(ctx.Done())
	if err != nil || lost == nil {
		t.Fatalf("the lock of a process that was killed %v ago is not given: %v", time.Since(begin), err)
	}
	if pair, _, err := near(t).KV().Get(key, nil); err != nil || string(pair.Value) != "third" || pair.LockIndex < 2 {
		t.Errorf("it is %+v, %v", pair, err)
	}
	_, err = near(t).Session().Destroy(mustPair(t, c, key).Session, nil)
	must(t, err)
	select {
	case <-lost:
	case <-time.After(30 * time.Second):
		t.Error("the holder does not learn that its session was destroyed")
	}
	if err := l.Unlock(); err != nil && !errors.Is(err, api.ErrLockNotHeld) {
		t.Error(err)
	}
}

func mustPair(t *testing.T, c *api.Client, key string) *api.KVPair {
	t.Helper()
	p, _, err := c.KV().Get(key, nil)
	must(t, err)
	return p
}

// start starts a process that holds the lock until it is killed, and waits until it has it.
func start(t *testing.T, key string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestHolder$", "-test.v")
	cmd.Env = append(os.Environ(), "CONSUL_HOLD="+key)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may have been killed
	held := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() != "held" {
		}
		held <- lines.Text() == "held"
	}()
	select {
	case ok := <-held:
		if !ok {
			t.Fatal("the process does not get the lock")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the process does not get the lock")
	}
	return cmd
}

// TestHolder is the process of [start]; by itself it does nothing.
func TestHolder(t *testing.T) {
	key := os.Getenv("CONSUL_HOLD")
	if key == "" {
		t.Skip("not a process that holds a lock")
	}
	l, err := near(t).LockOpts(&api.LockOptions{Key: key, Value: []byte("first"), SessionTTL: "2s", SessionOpts: &api.SessionEntry{TTL: "2s", LockDelay: time.Millisecond, Behavior: api.SessionBehaviorRelease}})
	must(t, err)
	if lost, err := l.Lock(nil); err != nil || lost == nil {
		t.Fatal(err)
	}
	fmt.Print("\nheld\n")
	time.Sleep(time.Minute) // it is killed before
}

// TestSemaphore: of three clients two have a slot, and the third gets that of one which dies.
func TestSemaphore(t *testing.T) {
	t.Parallel()
	sessions, prefix := near(t).Session(), "service/slots-"+rand.Text()
	var slots []*api.Semaphore
	var ids []string
	for i, c := range []*api.Client{near(t), far(t), far(t)} {
		id, _, err := sessions.Create(&api.SessionEntry{TTL: "10s", LockDelay: time.Millisecond, Behavior: api.SessionBehaviorDelete}, nil)
		must(t, err)
		s, err := c.SemaphoreOpts(&api.SemaphoreOptions{Prefix: prefix, Limit: 2, Session: id, SemaphoreTryOnce: i == 2, SemaphoreWaitTime: 300 * time.Millisecond})
		must(t, err)
		lost, err := s.Acquire(nil)
		if err != nil || (lost == nil) != (i == 2) {
			t.Fatalf("client %d: %v, %v", i, lost, err)
		}
		slots, ids = append(slots, s), append(ids, id)
	}
	_, err := sessions.Destroy(ids[0], nil)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	third, err := far(t).SemaphoreOpts(&api.SemaphoreOptions{Prefix: prefix, Limit: 2, Session: ids[2]})
	must(t, err)
	if lost, err := third.Acquire(ctx.Done()); lost == nil || err != nil {
		t.Fatalf("the slot of a session that has ended is not given: %v", err)
	}
	must(t, slots[1].Release())
	must(t, third.Release())
	if err := third.Destroy(); err != nil {
		t.Error(err)
	}
}
