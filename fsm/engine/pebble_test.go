package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

func TestPebble(t *testing.T) {
	t.Run("disk", func(t *testing.T) {
		suite(t, func(t *testing.T) Engine { return openPebble(t, Config{Dir: filepath.Join(t.TempDir(), "a", "state")}) })
	})
	t.Run("simulated", func(t *testing.T) {
		suite(t, func(t *testing.T) Engine { return openPebble(t, Config{Dir: "state", Disk: NewDisk()}) })
	})
	t.Run("often full", func(t *testing.T) {
		suite(t, func(t *testing.T) Engine {
			return openPebble(t, Config{Dir: "state", Disk: NewDisk(), BufferBytes: 4 << 10})
		})
	})
}

func openPebble(t testing.TB, cfg Config) *Pebble {
	t.Helper()
	cfg.Log = func(msg string) { t.Log(msg) }
	p, err := OpenPebble(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// folders are the contents on the disk.
func folders(t *testing.T, d *Disk) []string {
	t.Helper()
	names, err := d.Names("state")
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "LOCK" || n == pointerFile })
	slices.Sort(names)
	return names
}

// TestPebbleBuffer: what is overwritten or deleted before the buffer is full never gets to the database, and what an older
// generation holds is hidden by what came later.
func TestPebbleBuffer(t *testing.T) {
	p := openPebble(t, Config{Dir: "state", Disk: NewDisk()})
	insert := func(k string) {
		b := p.NewBatch()
		try(t, b.Insert([]byte(k), []byte("new")))
		try(t, b.Commit())
	}
	fresh := func() *changes { return p.live.buffer.fresh }
	write(t, p, "a=1", "b=2")
	insert("c")
	write(t, p, "a=11", "c") // nothing of c is left
	if n := len(fresh().rows); n != 2 {
		t.Errorf("%d keys are buffered", n)
	}
	try(t, p.Flush())
	if len(fresh().rows) != 0 || fresh().bytes != 0 || len(p.live.buffer.settled.rows) != 2 {
		t.Errorf("after a flush %d keys, %d bytes are buffered, %d settled", len(fresh().rows), fresh().bytes, len(p.live.buffer.settled.rows))
	}
	write(t, p, "a", "b=22")
	wantNone(t, p, "a")
	wantScan(t, p, nil, nil, "b=22")
	insert("a")
	write(t, p, "a") // the database still has an older one
	wantNone(t, p, "a")
	wantScan(t, p, nil, nil, "b=22")
	if n := len(fresh().rows); n != 2 {
		t.Errorf("%d keys are buffered", n)
	}
	try(t, p.Flush())
	wantScan(t, reader{p.live.db}, nil, nil, "b=22")
	sum := 0
	write(t, p, "x=1", "y=2", "x=333", "y")
	for k, c := range fresh().rows {
		sum += sizeOfChange(k, c)
	}
	if sum != fresh().bytes {
		t.Errorf("%d bytes are counted, %d are there", fresh().bytes, sum)
	}
	try(t, p.Close())
}

// TestPebbleBufferOnItsWay: while a full buffer is on its way to the database, it hides what is there, and writes go on.
func TestPebbleBufferOnItsWay(t *testing.T) {
	disk := NewDisk()
	p := openPebble(t, Config{Dir: "state", Disk: disk})
	write(t, p, "a=1", "b=2", "c=3")
	try(t, p.Flush())
	write(t, p, "a=11", "b", "d=4")
	p.write.Lock()
	settle := p.live.drain()
	p.write.Unlock()
	wantScan(t, reader{p.live.db}, nil, nil, "a=1", "b=2", "c=3")
	wantScan(t, p, nil, nil, "a=11", "c=3", "d=4")
	write(t, p, "c", "d=44")
	b := p.NewBatch()
	try(t, b.Insert([]byte("b"), []byte("new")))
	try(t, b.Commit())
	wantScan(t, p, nil, nil, "a=11", "b=new", "d=44")
	write(t, p, "b")
	flushed := make(chan error, 1)
	go func() { flushed <- p.Flush() }()
	for range 2 {
		want(t, p, "a", "11")
		wantNone(t, p, "b")
		wantScan(t, p, nil, nil, "a=11", "d=44")
		if got := dump(t, p, nil, nil, true); len(got) != 2 {
			t.Errorf("backwards %v are there", got)
		}
		if settle != nil {
			try(t, settle())
			settle = nil
		}
	}
	try(t, <-flushed)
	wantScan(t, reader{p.live.db}, nil, nil, "a=11", "d=44")
	try(t, p.Close())
	p = openPebble(t, Config{Dir: "state", Disk: disk.Crash(1, 0)})
	wantScan(t, p, nil, nil, "a=11", "d=44")
	try(t, p.Close())
}

// TestPebbleReplacedOnItsWay: a content may be replaced while the last of the one before is on its way.
func TestPebbleReplacedOnItsWay(t *testing.T) {
	disk := NewDisk()
	p := openPebble(t, Config{Dir: "state", Disk: disk, BufferBytes: 16 << 10})
	for i := range 400 {
		write(t, p, fmt.Sprintf("k%04d=%0100d", i, i))
		if i%50 == 0 {
			try(t, p.Clear())
		}
	}
	if n := len(dump(t, p, nil, nil, false)); n != 49 {
		t.Errorf("%d keys are there", n)
	}
	try(t, p.Close())
	if n := len(folders(t, disk)); n != 1 {
		t.Errorf("%d folders are left", n)
	}
}

// TestPebbleBufferIsBounded: a full buffer goes to the database by itself.
func TestPebbleBufferIsBounded(t *testing.T) {
	const limit = 64 << 10
	p := openPebble(t, Config{Dir: "state", Disk: NewDisk(), BufferBytes: limit})
	most := 0
	for i := range 2000 {
		write(t, p, fmt.Sprintf("k%04d=%0100d", i, i))
		most = max(most, p.live.buffer.fresh.bytes)
	}
	if most < limit/2 || most > limit {
		t.Errorf("at most %d bytes were buffered", most)
	}
	if n := len(dump(t, p, nil, nil, false)); n != 2000 {
		t.Errorf("%d keys are there", n)
	}
	try(t, p.Close())
}

func TestPebbleReopens(t *testing.T) {
	disk := NewDisk()
	cfg := Config{Dir: "state", Disk: disk}
	p := openPebble(t, cfg)
	write(t, p, "a=1", "b=2")
	try(t, p.Close())
	try(t, p.Close())
	if _, _, err := p.Get([]byte("a")); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed engine answers %v", err)
	}
	if _, _, err := p.Snapshot().Get([]byte("a")); !errors.Is(err, ErrClosed) {
		t.Errorf("the snapshot of a closed engine answers %v", err)
	}
	p = openPebble(t, cfg)
	wantScan(t, p, nil, nil, "a=1", "b=2")
	if _, err := OpenPebble(cfg); err == nil {
		t.Error("a folder in use was opened again")
	}
	try(t, p.Clear())
	try(t, p.Clear())
	write(t, p, "c=3")
	try(t, p.Close())
	p = openPebble(t, cfg)
	wantScan(t, p, nil, nil, "c=3")
	if names := folders(t, disk); len(names) != 1 {
		t.Errorf("%v are left", names)
	}
	try(t, p.Close())
}

// TestPebbleCheckpoint adopts a checkpoint of one engine in another, beside snapshots of what was there.
func TestPebbleCheckpoint(t *testing.T) {
	disk := NewDisk()
	from := openPebble(t, Config{Dir: "from", Disk: disk})
	write(t, from, "a=1", "b=2")
	try(t, from.Checkpoint("copy"))
	if from.Checkpoint("copy") == nil {
		t.Error("a checkpoint was written over another")
	}
	write(t, from, "a", "c=3")

	to := openPebble(t, Config{Dir: "state", Disk: disk})
	write(t, to, "old=1")
	before := to.Snapshot()
	refused := errors.New("refused")
	if err := to.Adopt("copy", func(Reader) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("a checkpoint that its check refuses gives %v", err)
	}
	if err := to.Adopt("nothing", func(Reader) error { return nil }); err == nil {
		t.Error("a checkpoint that is not there was adopted")
	}
	wantScan(t, to, nil, nil, "old=1")
	for range 2 {
		try(t, to.Adopt("copy", func(r Reader) error {
			want(t, r, "b", "2")
			return r.Scan(nil, nil, false, func(_, _ []byte) bool { return true })
		}))
		wantScan(t, to, nil, nil, "a=1", "b=2")
		write(t, to, "a=own", "d=4")
	}
	wantScan(t, before, nil, nil, "old=1")
	if n := len(folders(t, disk)); n != 2 {
		t.Errorf("%d folders beside an open snapshot", n)
	}
	try(t, before.Close())
	if n := len(folders(t, disk)); n != 1 {
		t.Errorf("%d folders are left", n)
	}
	wantScan(t, from, nil, nil, "b=2", "c=3")
	try(t, from.Close())
	crashed := openPebble(t, Config{Dir: "state", Disk: disk.Crash(1, 0)})
	wantScan(t, crashed, nil, nil, "a=1", "b=2")
	try(t, crashed.Close())
	try(t, to.Close())
}

// TestPebbleCheckpointBesideWrites: every checkpoint holds all of some batch, not older than the last before it.
func TestPebbleCheckpointBesideWrites(t *testing.T) {
	disk := NewDisk()
	p := openPebble(t, Config{Dir: "state", Disk: disk, BufferBytes: 64 << 10})
	const keys = 40
	batch := func(n int) {
		b := p.NewBatch()
		for k := range keys {
			try(t, b.Set([]byte{byte(k)}, fmt.Appendf(nil, "%0200d", n)))
		}
		try(t, b.Commit())
	}
	batch(0)
	var mu sync.Mutex
	last, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; n < 400; n++ {
			batch(n)
			mu.Lock()
			last = n
			mu.Unlock()
		}
	}()
	for i := range 5 {
		mu.Lock()
		least := last
		mu.Unlock()
		dir := fmt.Sprint("copy", i)
		try(t, p.Checkpoint(dir))
		q := openPebble(t, Config{Dir: fmt.Sprint("state", i), Disk: disk})
		try(t, q.Adopt(dir, func(Reader) error { return nil }))
		seen := map[string]int{}
		try(t, q.Scan(nil, nil, false, func(_, v []byte) bool { seen[string(v)]++; return true }))
		if len(seen) != 1 {
			t.Fatalf("checkpoint %d holds parts of %d batches", i, len(seen))
		}
		for v := range seen {
			if v < fmt.Sprintf("%0200d", least) {
				t.Errorf("checkpoint %d holds batch %s, after %d", i, v[190:], least)
			}
		}
		try(t, q.Close())
	}
	<-done
	try(t, p.Close())
}

// TestPebbleCrash loses power before every change of the disk: what is found is the state after some batch, at least the
// last that was flushed, and nothing else lies about.
func TestPebbleCrash(t *testing.T) {
	const seed = 7
	r := rand.New(rand.NewPCG(seed, 0))
	disk := NewDisk()
	type crash struct {
		disk           *Disk
		floor, ceiling int
	}
	var mu sync.Mutex
	var crashes []crash
	floor, ceiling := -1, 0 // numbers of states; -1 is that of an engine that was never opened
	disk.Watch(func() {
		mu.Lock()
		defer mu.Unlock()
		n := len(crashes)
		crashes = append(crashes, crash{disk.Crash(uint64(n), 25*(n%5)), floor, ceiling})
	})
	mark := func(f, c int) {
		mu.Lock()
		floor, ceiling = max(f, floor), c
		mu.Unlock()
	}
	p := openPebble(t, Config{Dir: "state", Disk: disk, BufferBytes: 16 << 10})
	states := [][]byte{nil}
	now := func(r Reader) []byte {
		var b bytes.Buffer
		try(t, r.Scan(nil, nil, false, func(k, v []byte) bool { fmt.Fprintf(&b, "%s=%x;", k, v); return true }))
		return b.Bytes()
	}
	checkpoints := 0
	for step := range 50 {
		at := len(states)
		next := func(durable bool, states_ []byte) {
			states = append(states, states_)
			if durable {
				mark(at, at)
			}
		}
		switch x := r.IntN(12); {
		case x == 0 && checkpoints > 0:
			mark(0, at)
			try(t, p.Adopt(fmt.Sprint("copy", r.IntN(checkpoints)), func(Reader) error { return nil }))
			next(true, now(p))
		case x == 1:
			mark(0, at)
			l, err := p.NewLoad()
			try(t, err)
			for i := range 30 {
				try(t, l.Set(fmt.Appendf(nil, "k%02d", i), fmt.Append(nil, step)))
			}
			try(t, l.Commit())
			next(true, now(p))
		case x == 2:
			try(t, p.Checkpoint(fmt.Sprint("copy", checkpoints)))
			checkpoints++
			mark(at-1, at-1)
		case x == 3:
			try(t, p.Flush())
			mark(at-1, at-1)
		default:
			mark(0, at)
			b := p.NewBatch()
			for range 1 + r.IntN(8) {
				k, v := fmt.Appendf(nil, "k%02d", r.IntN(40)), bytes.Repeat([]byte{byte(step)}, 300)
				_, there, err := b.Get(k)
				try(t, err)
				switch {
				case !there:
					try(t, b.Insert(k, v))
				case r.IntN(3) == 0:
					try(t, b.Delete(k))
				default:
					try(t, b.Set(k, v))
				}
			}
			try(t, b.Commit())
			next(false, now(p))
		}
	}
	try(t, p.Close())
	disk.Watch(nil)
	for i, c := range crashes {
		if testing.Short() && i%7 != 0 {
			continue
		}
		q := openPebble(t, Config{Dir: "state", Disk: c.disk})
		found := now(q)
		ok := false
		for s := max(c.floor, 0); s <= c.ceiling && !ok; s++ {
			ok = bytes.Equal(found, states[s])
		}
		if !ok {
			t.Fatalf("crash %d of %d finds %s, which is none of the states %d to %d", i, len(crashes), found, c.floor, c.ceiling)
		}
		if names := folders(t, c.disk); len(names) != 1 {
			t.Errorf("crash %d leaves %v", i, names)
		}
		try(t, q.Close())
	}
	t.Logf("%d crashes", len(crashes))
}
