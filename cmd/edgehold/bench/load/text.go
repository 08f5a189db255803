package load

import (
	"fmt"
	"math"
	"strings"
)

// MillisText formats a time in a suitable unit with three digits.
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

// threeDigits formats x, which is at least 1, with three digits, or with all digits before the point.
func threeDigits(x float64) string {
	return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(x)+0.0002))), x)
}

// RateText formats a rate, with one decimal if it is below 100.
func RateText(x float64) string {
	if x < 99.95 {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
	}
	return fmt.Sprintf("%.0f", x)
}
