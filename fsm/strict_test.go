package fsm

import (
	"github.com/edgehold/edgehold/fsm/engine"
)

// strict is an engine that panics if what a scan of a batch visits reads the batch again: on disk that can wait for ever.
type strict struct{ engine.Engine }

func (s strict) NewBatch() engine.Batch { return &strictBatch{Batch: s.Engine.NewBatch()} }

type strictBatch struct {
	engine.Batch
	scanning bool
}

func (b *strictBatch) Get(key []byte) ([]byte, bool, error) {
	b.free()
	return b.Batch.Get(key)
}

func (b *strictBatch) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	b.free()
	b.scanning = true
	defer func() { b.scanning = false }()
	return b.Batch.Scan(lo, hi, reverse, visit)
}

func (b *strictBatch) free() {
	if b.scanning {
		panic("the batch is read during a scan of it")
	}
}
