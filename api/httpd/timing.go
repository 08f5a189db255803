package httpd

import (
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// timing sets Server-Timing: where the time went, in milliseconds. Parts that took none are left out. The revoke's
// description names the lease holders that a write waited for, that of the mode says how a transaction was carried out.
func (x *exchange) timing(t *api.Timing) {
	if t.Route == 0 && t.Revoke == 0 && t.Commit == 0 && t.Mode == "" {
		return
	}
	b := make([]byte, 0, 96)
	b = appendMetric(b, "route", t.Route, nil)
	b = appendMetric(b, "revoke", t.Revoke, t.Delayed)
	b = appendMetric(b, "commit", t.Commit, nil)
	b = appendMode(b, t.Mode)
	x.set("Server-Timing", string(b))
}

func appendMetric(b []byte, name string, d time.Duration, by []api.Delay) []byte {
	if d == 0 {
		return b
	}
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	b = append(append(b, name...), ";dur="...)
	b = appendMillis(b, d)
	for i, delay := range by {
		if i == 0 {
			b = append(b, `;desc="`...)
		} else {
			b = append(b, ", "...)
		}
		b = append(appendName(b, string(delay.Node)), ' ')
		b = append(appendMillis(b, delay.Wait), "ms"...)
	}
	if len(by) > 0 {
		b = append(b, '"')
	}
	return b
}

func appendMode(b []byte, mode string) []byte {
	if mode == "" {
		return b
	}
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	return append(appendName(append(b, `mode;desc="`...), mode), '"')
}

func appendMillis(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d)/float64(time.Millisecond), 'f', 3, 64)
}

// appendName appends what of a name may stand in a quoted string of a header.
func appendName(b []byte, n string) []byte {
	for i := range len(n) {
		if c := n[i]; c > ' ' && c < 0x7f && c != '"' && c != '\\' {
			b = append(b, c)
		}
	}
	return b
}
