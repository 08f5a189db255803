package integration

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// load is writers and readers at work on a fleet; they check what they read.
type load struct {
	t       *testing.T
	writers []*loadWriter
	quit    chan struct{}
	once    sync.Once
	tasks   sync.WaitGroup
	// killed is when the leader was, in Unix nanoseconds: 0 before. recovered is when the first write that began later
	// was acknowledged.
	killed, recovered atomic.Int64
	acknowledged      atomic.Int64
	leased            atomic.Int64 // reads served by leases
}

// loadWriter alone writes its keys. It creates one after the other, each once. Now and then it steps its counter, demanding
// the version of the step before, so that a step that was lost or done twice breaks the chain.
type loadWriter struct {
	c       *client.Client
	id      int
	created []api.Version // of the keys created
	settled atomic.Int64  // how many those are
	counter api.Key
	version api.Version // of the counter
	// begun and done are the last step that was begun, and acknowledged.
	begun, done atomic.Int64
}

// stepEvery is how many keys are created between two steps of a counter: time for leases on the counter, to be revoked.
const stepEvery = 16

func (w *loadWriter) key(i int) api.Key { return api.Key(fmt.Sprintf("created/%d/%d", w.id, i)) }

// startLoad starts writers at each of the nodes, and readers at the edge.
func startLoad(t *testing.T, edge *daemon, at ...*daemon) *load {
	l := &load{t: t, quit: make(chan struct{})}
	for range 2 {
		for _, d := range at {
			id := len(l.writers)
			l.writers = append(l.writers, &loadWriter{c: open(t, d), id: id, counter: api.Key(fmt.Sprintf("counter/%d", id))})
		}
	}
	for _, w := range l.writers {
		l.tasks.Go(func() { l.write(w) })
	}
	c := open(t, edge)
	for i := range 2 {
		l.tasks.Go(func() { l.read(c, i) })
	}
	t.Cleanup(l.end)
	return l
}

// end waits for all to finish what they have begun.
func (l *load) end() {
	l.once.Do(func() { close(l.quit) })
	l.tasks.Wait()
}

func (l *load) over() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// write is a writer's work. The SDK repeats each write until it knows the outcome, so that a kill causes no error.
func (l *load) write(w *loadWriter) {
	for i := 0; !l.over(); i++ {
		began := time.Now()
		if err := l.create(w, i); err != nil {
			l.t.Errorf("create %s: %v", w.key(i), err)
			return
		}
		l.acked(began)
		if i%stepEvery != 0 {
			continue
		}
		began = time.Now()
		if err := l.step(w); err != nil {
			l.t.Errorf("step %d of %s: %v", w.begun.Load(), w.counter, err)
			return
		}
		l.acked(began)
	}
}

func (l *load) create(w *loadWriter, i int) error {
	v, err := w.c.Put(context.Background(), w.key(i), []byte(w.key(i)), client.IfAbsent(), idempotent("create", w.id, int64(i)))
	if err == nil {
		w.created = append(w.created, v)
		w.settled.Add(1)
	}
	return err
}

func (l *load) step(w *loadWriter) error {
	step := w.begun.Add(1)
	condition := client.IfVersion(w.version)
	if step == 1 {
		condition = client.IfAbsent()
	}
	v, err := w.c.Put(context.Background(), w.counter, []byte(strconv.FormatInt(step, 10)), condition, idempotent("step", w.id, step))
	if err == nil {
		w.version = v
		w.done.Store(step)
	}
	return err
}

func idempotent(what string, writer int, i int64) client.WriteOption {
	return client.IdempotencyKey(fmt.Sprintf("%s-%d-%d", what, writer, i))
}

func (l *load) acked(began time.Time) {
	l.acknowledged.Add(1)
	if killed := l.killed.Load(); killed != 0 && began.UnixNano() > killed {
		l.recovered.CompareAndSwap(0, time.Now().UnixNano())
	}
}

// read reads counters and keys created in turn, some of them often enough for leases, and finds every answer that is older
// than what was acknowledged before the read began, or newer than what was begun before it ended.
func (l *load) read(c *client.Client, i int) {
	const often = 8 // keys of each writer
	for ; !l.over(); i++ {
		w := l.writers[i/2%len(l.writers)]
		var v client.Value
		var err error
		if settled := min(w.settled.Load(), often); i%2 == 0 || settled == 0 {
			v, err = w.readCounter(c)
		} else {
			key := w.key(i / 2 % int(settled))
			if v, err = c.Get(context.Background(), key); err == nil && string(v.Value) != string(key) {
				err = fmt.Errorf("%q by %v", v.Value, v.ServedBy)
			}
		}
		if err != nil {
			l.t.Errorf("a reader of writer %d's keys: %v", w.id, err)
			return
		}
		if v.ServedBy == api.ServedByLease {
			l.leased.Add(1)
		}
	}
}

// readCounter reads at node c and compares with what the writer knows.
func (w *loadWriter) readCounter(c *client.Client) (client.Value, error) {
	least := w.done.Load()
	v, err := c.Get(context.Background(), w.counter)
	most := w.begun.Load()
	switch step, bad := strconv.ParseInt(string(v.Value), 10, 64); {
	case api.CodeOf(err) == api.CodeNotFound && least == 0:
		return v, nil
	case err != nil:
		return v, err
	case bad != nil || step < least || step > most:
		return v, fmt.Errorf("%s is %q by %v, while %d was acknowledged and %d begun", w.counter, v.Value, v.ServedBy, least, most)
	}
	return v, nil
}

// check asks the owner through each of the nodes for all that was written.
func (l *load) check(nodes ...*daemon) {
	l.t.Helper()
	const lanes = 8
	var tasks sync.WaitGroup
	for _, d := range nodes {
		c := open(l.t, d)
		for lane := range lanes {
			tasks.Go(func() {
				for _, w := range l.writers {
					for i := lane; i < len(w.created); i += lanes {
						l.expect(c, d, w.key(i), string(w.key(i)), w.created[i])
					}
				}
			})
		}
		for _, w := range l.writers {
			l.expect(c, d, w.counter, strconv.FormatInt(w.done.Load(), 10), w.version)
		}
	}
	tasks.Wait()
}

func (l *load) expect(c *client.Client, d *daemon, key api.Key, value string, version api.Version) {
	v, err := c.Get(context.Background(), key, client.Quorum())
	if err != nil || string(v.Value) != value || v.Version != version {
		l.t.Errorf("acknowledged: %s is %q at %v; now %s says %q at %v, %v", key, value, version, d.name, v.Value, v.Version, err)
	}
}
