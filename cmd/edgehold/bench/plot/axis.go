package plot

import (
	"math"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
)

// axis maps values to positions from 0 to 1.
type axis struct {
	place func(v float64) float64
	ticks []tick
}

// tick is a marked position on an axis.
type tick struct {
	at   float64 // from 0 to 1
	text string
}

// spanning returns an axis from low to high, after scale is applied.
func spanning(low, high float64, scale func(float64) float64) axis {
	from, to := scale(low), scale(high)
	return axis{place: func(v float64) float64 { return min(max((scale(v)-from)/(to-from), 0), 1) }}
}

func (a *axis) mark(v float64, text string) { a.ticks = append(a.ticks, tick{a.place(v), text}) }

func same(v float64) float64 { return v }

// ninesAxis returns an axis of percentiles, by their number of nines.
func ninesAxis(most float64) axis {
	a := spanning(0, most*1.02, same)
	a.mark(0, "0 %")
	a.mark(-math.Log10(0.5), "50 %")
	for n := 1; float64(n) <= most*1.02; n++ {
		a.mark(float64(n), [...]string{"90 %", "99 %"}[min(n-1, 1)])
		if n > 2 {
			a.ticks[len(a.ticks)-1].text = "99." + strings.Repeat("9", n-2) + " %"
		}
	}
	return a
}

// logAxis returns a logarithmic axis of milliseconds, from a round value below low to one above high.
func logAxis(low, high float64) axis {
	from, to := roundDown(low), roundUp(high)
	if from == to {
		to *= 10
	}
	wide := to/from > 2000 // too many decades for more than one mark in each
	if wide {
		from, to = math.Pow(10, math.Floor(math.Log10(from))), math.Pow(10, math.Ceil(math.Log10(to)))
	}
	a := spanning(from, to, math.Log10)
	for decade := math.Floor(math.Log10(from)); decade <= math.Ceil(math.Log10(to)); decade++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, decade)
			if v >= from*0.999 && v <= to*1.001 && (m == 1 || !wide) {
				a.mark(v, markText(v))
			}
		}
	}
	return a
}

// linearAxis returns an axis from 0 to a round value above high.
func linearAxis(high float64) axis {
	if high <= 0 {
		high = 1
	}
	step := roundUp(high / 5)
	top := math.Ceil(high/step) * step
	a := spanning(0, top, same)
	for i := 0; float64(i)*step <= top*1.001; i++ {
		a.mark(float64(i)*step, load.RateText(float64(i)*step))
	}
	return a
}

// timeAxis returns an axis from 0 to the end of the measurement.
func timeAxis(seconds float64) axis {
	a := spanning(0, seconds, same)
	step := roundUp(seconds / 10)
	for i := 0; float64(i)*step <= seconds*1.001; i++ {
		a.mark(float64(i)*step, strconv.FormatFloat(float64(i)*step, 'g', 4, 64)+" s")
	}
	return a
}

// roundUp returns the least number of the form 1, 2 or 5 times a power of ten that is not below v. roundDown returns the greatest
// that is not above.
func roundUp(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*decade >= v*0.999 {
			return m * decade
		}
	}
	return 10 * decade
}

func roundDown(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{5, 2} {
		if m*decade <= v*1.001 {
			return m * decade
		}
	}
	return decade
}

// markText returns a round time, such as 10 ms or 0.5 s, without trailing zeros.
func markText(ms float64) string {
	number, unit, _ := strings.Cut(load.MillisText(ms), " ")
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + " " + unit
}
