package transfer

import "testing"

func TestWatermark(t *testing.T) {
	at := func(line int64) progressState {
		return progressState{Cluster: "c", Lines: line, Hash: lineHash{byte(line)}}
	}
	w := newWatermark(at(10))
	done := func(line int64) { w.done(line, lineHash{byte(line)}) }
	done(12)
	done(13)
	if got := w.now(); got != at(10) {
		t.Errorf("got %+v", got)
	}
	done(11)
	if got := w.now(); got != at(13) {
		t.Errorf("got %+v", got)
	}
	done(16)
	w.fail(15)
	done(14)
	done(17)
	if got := w.now(); got != at(14) || len(w.early) != 0 {
		t.Errorf("got %+v, early %v", got, w.early)
	}
}
