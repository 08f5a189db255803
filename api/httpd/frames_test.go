package httpd

import (
	"bytes"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestFramesAreShared: the events of a batch are rendered once for all that watch it with values, and once for those without.
func TestFramesAreShared(t *testing.T) {
	var f frames
	events := []api.Event{{Kind: api.EventPut, Key: "k", Value: []byte("v")}, {Kind: api.EventDelete, Key: "l"}}
	texts := make([][]byte, 100)
	var all sync.WaitGroup
	for i := range texts {
		all.Go(func() { texts[i] = f.of(events, i%2 == 1) })
	}
	all.Wait()
	for i, text := range texts {
		if &text[0] != &texts[i%2][0] {
			t.Errorf("watcher %d got a text of its own", i)
		}
		if bytes.Contains(text, []byte(`"value"`)) == (i%2 == 1) {
			t.Errorf("watcher %d got %s", i, text)
		}
	}
	if part := f.of(events[:1], false); bytes.Contains(part, []byte(`"l"`)) {
		t.Errorf("a shorter batch is %s", part)
	}
}

// TestFramesAreBounded: what is kept for others has a bound, in number and in bytes.
func TestFramesAreBounded(t *testing.T) {
	var f frames
	for range maxFrames + 10 {
		f.of([]api.Event{{Kind: api.EventPut, Key: "k"}}, false)
	}
	if len(f.order) != maxFrames || len(f.known) != maxFrames {
		t.Errorf("%d frames are kept, and %d are known", len(f.order), len(f.known))
	}
	for range 40 {
		f.of([]api.Event{{Kind: api.EventPut, Key: "k", Value: bytes.Repeat([]byte("v"), 1<<20)}}, false)
	}
	bytes := 0
	for _, at := range f.order {
		bytes += at.size
	}
	if f.bytes > maxFrameBytes || bytes != f.bytes || len(f.known) != len(f.order) || bytes < maxFrameBytes/2 {
		t.Errorf("%d bytes are kept and %d counted, in %d frames of %d known", bytes, f.bytes, len(f.order), len(f.known))
	}
}
