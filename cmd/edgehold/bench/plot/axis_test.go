package plot

import (
	"math"
	"strings"
	"testing"
)

func (a axis) String() string {
	texts := make([]string, 0, len(a.ticks))
	for _, t := range a.ticks {
		texts = append(texts, t.text)
	}
	return strings.Join(texts, " | ")
}

func TestAxes(t *testing.T) {
	for _, c := range []struct {
		axis axis
		want string
	}{
		{logAxis(0.2, 3.1), "200 µs | 500 µs | 1 ms | 2 ms | 5 ms"},
		{logAxis(0.09, 900), "10 µs | 100 µs | 1 ms | 10 ms | 100 ms | 1 s"},
		{logAxis(5, 5), "5 ms | 10 ms | 20 ms | 50 ms"},
		{linearAxis(437), "0 | 100 | 200 | 300 | 400 | 500"},
		{linearAxis(1), "0 | 0.2 | 0.4 | 0.6 | 0.8 | 1"},
		{linearAxis(0), "0 | 0.2 | 0.4 | 0.6 | 0.8 | 1"},
		{timeAxis(10), "0 s | 1 s | 2 s | 3 s | 4 s | 5 s | 6 s | 7 s | 8 s | 9 s | 10 s"},
		{timeAxis(0.3), "0 s | 0.05 s | 0.1 s | 0.15 s | 0.2 s | 0.25 s | 0.3 s"},
		{ninesAxis(4.1), "0 % | 50 % | 90 % | 99 % | 99.9 % | 99.99 %"},
	} {
		if got := c.axis.String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		for i, tick := range c.axis.ticks {
			if tick.at < 0 || tick.at > 1 || i > 0 && tick.at <= c.axis.ticks[i-1].at {
				t.Errorf("%s: the marks are at %v", c.want, c.axis.ticks)
			}
		}
	}
	if a := logAxis(1, 100); math.Abs(a.place(10)-0.5) > 1e-9 || a.place(0.1) != 0 || a.place(1e6) != 1 {
		t.Error("a logarithmic axis")
	}
}
