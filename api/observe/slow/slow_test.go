package slow

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

func request(k string, took time.Duration) api.SlowRequest {
	return api.SlowRequest{Key: api.Key(k), TookMS: Millis(took)}
}

// add adds a request as a front does.
func add(l *Log, k string, took time.Duration) (taken bool) {
	if !l.Takes(time.Now(), took) {
		return false
	}
	l.Add(time.Now(), request(k, took))
	return true
}

// TestSlowestOfEachMinute: of each minute the slowest are kept, for as many minutes as are promised, and quick ones never.
func TestSlowestOfEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLog()
		for m := range Minutes + 2 {
			for i := range 4 * PerMinute {
				add(l, fmt.Sprint(m), time.Duration(i)*10*time.Millisecond)
			}
			if add(l, "too quick for this minute", 3*PerMinute*10*time.Millisecond-time.Millisecond) {
				t.Errorf("minute %d takes a request that is quicker than all that it has", m)
			}
			if add(l, "quick", Least-1) {
				t.Error("a quick request is taken")
			}
			time.Sleep(time.Minute)
			if !l.Takes(time.Now(), Least) {
				t.Error("the next minute goes by the times of the one before")
			}
		}
		all := l.Newest(time.Now())
		if want := PerMinute * (Minutes - 1); len(all) != want { // the present minute has none yet
			t.Fatalf("%d requests are remembered, want %d", len(all), want)
		}
		for i, x := range all {
			if i > 0 && x.TookMS > all[i-1].TookMS {
				t.Fatal("they are not in order")
			}
			if x.TookMS < 3*PerMinute*10 || x.Key < "3" {
				t.Errorf("it remembers %s of %v ms", x.Key, x.TookMS)
			}
		}
		time.Sleep(Minutes * time.Minute)
		if all := l.Newest(time.Now()); len(all) != 0 {
			t.Errorf("%d requests are remembered for ever", len(all))
		}
	})
}

// TestLogIsBounded: neither many parts nor a long id take more memory than is promised, and what is remembered is the log's own.
func TestLogIsBounded(t *testing.T) {
	l := NewLog()
	x := request("k", time.Second)
	x.Parts, x.TraceID = make([]api.SlowPart, 1000), strings.Repeat("a", 1000)
	l.Add(time.Now(), x)
	x.Parts[0].What = "changed"
	all := l.Newest(time.Now())
	if len(all[0].Parts) != maxParts || len(all[0].TraceID) != maxText || all[0].Parts[0].What != "" {
		t.Errorf("it remembers %d parts, %d bytes of an id, %q", len(all[0].Parts), len(all[0].TraceID), all[0].Parts[0].What)
	}
}

// TestLongKeysAreNotKept: what is too long to be a key takes no memory.
func TestLongKeysAreNotKept(t *testing.T) {
	l, h, long := NewLog(), always(), strings.Repeat("k", api.MaxKeyBytes+1)
	l.Add(time.Now(), request(long, time.Second))
	for range 2 * leastSamples {
		h.Write(api.Key(long))
		h.Read("k")
	}
	if all := l.Newest(time.Now()); len(all) != 1 || all[0].Key != "" {
		t.Errorf("%d requests are remembered, the first with a key of %d bytes", len(all), len(all[0].Key))
	}
	if all := h.Hottest(time.Now()); len(all) != 1 || all[0].Key != "k" {
		t.Errorf("%d keys are hot", len(all))
	}
}

// always makes every request one of the sample.
func always() *Hot {
	h := NewHot()
	h.chance = func() uint32 { return 0 }
	return h
}

// TestHotKeys: keys that are asked for often are found among ever more that are not, with rates that are no more than the truth.
func TestHotKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := always()
		const rounds = 1000
		for i := range rounds {
			h.Read("hot")
			h.Write("written")
			for j := range 8 {
				h.Read(api.Key(fmt.Sprint("cold", i, j)))
			}
			time.Sleep(10 * time.Millisecond)
		}
		all := h.Hottest(time.Now())
		if len(all) < 2 || len(all) > MaxHot {
			t.Fatalf("%d keys are hot", len(all))
		}
		for i, want := range []api.HotKey{{Key: "hot", Reads: 100 * sampleOne}, {Key: "written", Writes: 100 * sampleOne}} {
			x := all[i]
			if all[1].Key == want.Key {
				x = all[1]
			}
			if x.Key != want.Key || x.Reads > want.Reads*1.01 || x.Writes > want.Writes*1.01 || x.Reads+x.Writes < 0.9*(want.Reads+want.Writes) {
				t.Errorf("%+v, want %+v", x, want)
			}
		}
		if n := len(h.sketches[0].all); n > counters {
			t.Errorf("%d counters", n)
		}
		time.Sleep(2 * half)
		if all := h.Hottest(time.Now()); len(all) != 0 {
			t.Errorf("keys stay hot: %+v", all)
		}
	})
}

// TestMillionKeys: a million keys, each asked for once by a slow request, take the memory of those that are kept.
func TestMillionKeys(t *testing.T) {
	l, h, now := NewLog(), always(), time.Now()
	keys := 1_000_000
	if testing.Short() {
		keys /= 100
	}
	for i := range keys {
		k := strconv.Itoa(i)
		h.Read(api.Key(k))
		l.Add(now.Add(time.Duration(i)*time.Second/time.Duration(keys/1000)), request(k, Least+time.Duration(i%1000)*time.Millisecond))
	}
	for _, s := range h.sketches {
		if len(s.at) != len(s.all) || len(s.all) > counters || cap(s.all) > counters {
			t.Errorf("%d keys in a sketch, and room for %d", len(s.at), cap(s.all))
		}
	}
	for _, m := range l.minutes {
		if len(m.all) > PerMinute || cap(m.all) > 2*PerMinute {
			t.Errorf("%d requests of a minute, and room for %d", len(m.all), cap(m.all))
		}
	}
	if hot, all := h.Hottest(now), l.Newest(now.Add(1000*time.Second)); len(hot) > MaxHot || len(all) > Minutes*PerMinute || len(all) == 0 {
		t.Errorf("%d hot keys and %d slow requests are reported", len(hot), len(all))
	}
}

// TestNothingIsCounted: without a log and without a count nothing is remembered.
func TestNothingIsCounted(t *testing.T) {
	var l *Log
	var h *Hot
	l.Add(time.Now(), request("k", time.Second))
	h.Read("k")
	h.Write("k")
	if l.Takes(time.Now(), time.Second) || l.Newest(time.Now()) != nil || h.Hottest(time.Now()) != nil {
		t.Error("something is remembered")
	}
}

// BenchmarkQuick measures what a quick read of a key costs: whether it is slow, and whether it is hot.
func BenchmarkQuick(b *testing.B) {
	l, h := NewLog(), NewHot()
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		h.Read("us-east/alice")
		if l.Takes(now, 10*time.Microsecond) {
			b.Fatal("it is slow")
		}
	}
}
