package load

import (
	"fmt"
	"math"
	"strings"
)

// MillisText is a time in the unit that suits it, to three digits.
func MillisText(ms float64) string {
	switch {
	case ms == 0:
		return "0"
	case ms < 0.9995:
		return fmt.Sprintf("%.0f µs", ms*1000)
	case ms < 999.5:
		return threeDigits(ms) + " ms"
	}
	return threeDigits(ms/1000) + " s"
}

// threeDigits is x, at least 1, with three digits, or all those before the point.
func threeDigits(x float64) string {
	return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(x)+0.0002))), x)
}

// RateText is a rate: with a decimal where it is small.
func RateText(x float64) string {
	if x < 99.95 {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
	}
	return fmt.Sprintf("%.0f", x)
}
