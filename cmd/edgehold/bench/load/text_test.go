package load

import "testing"

func TestTexts(t *testing.T) {
	for ms, want := range map[float64]string{0: "0", 0.001: "1 µs", 0.123: "123 µs", 0.9996: "1.00 ms", 1: "1.00 ms", 9.994: "9.99 ms", 9.996: "10.0 ms",
		12.34: "12.3 ms", 123.4: "123 ms", 999.4: "999 ms", 999.6: "1.00 s", 12345: "12.3 s", 600_000: "600 s"} {
		if got := MillisText(ms); got != want {
			t.Errorf("%v ms: %q, want %q", ms, got, want)
		}
	}
	for x, want := range map[float64]string{0: "0", 0.25: "0.2", 7: "7", 99.94: "99.9", 99.96: "100", 12345.6: "12346"} {
		if got := RateText(x); got != want {
			t.Errorf("%v: %q, want %q", x, got, want)
		}
	}
}
