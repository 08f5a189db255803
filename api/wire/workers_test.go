package wire

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
)

// TestWorkersKeepStacks checks that a waiting worker keeps the stack that its calls need, however often the garbage collector
// runs.
func TestWorkersKeepStacks(t *testing.T) {
	const n = 200
	w := NewWorkers(n)
	defer w.Close()
	var all, done sync.WaitGroup
	all.Add(n)
	done.Add(n)
	for range n {
		w.start(func() {
			defer done.Done()
			deep(13)
			all.Done()
			all.Wait() // each has a worker of its own
		})
	}
	done.Wait()
	before := stacks()
	for range 6 {
		runtime.GC()
	}
	if after := stacks(); before < n*32<<10 || after < n*32<<10 {
		t.Fatalf("%d workers had %d KiB of stack, and have %d after collections", n, before>>10, after>>10)
	}
}

// deep takes n KiB of stack.
//
//go:noinline
func deep(n int) (sum byte) {
	var frame [1 << 10]byte
	if n > 1 {
		frame[n] = deep(n - 1)
	}
	for _, x := range frame {
		sum += x
	}
	return sum
}

// stacks returns how many bytes of stacks there are.
func stacks() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
