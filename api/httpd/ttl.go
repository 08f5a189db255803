package httpd

import (
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// parseTTL reads a time to live: a duration with a unit, such as 30s, from [api.MinTTL] to [api.MaxTTL].
func parseTTL(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, api.Errorf(api.CodeInvalid, "ttl %.40q is not a duration with a unit, such as 30s or 1h30m", text)
	}
	return d, api.CheckTTL(d)
}

// ttlParam is the parameter ttl; 0 if it is not given.
func (x *exchange) ttlParam() (time.Duration, error) {
	if !x.query.Has("ttl") {
		return 0, nil
	}
	return parseTTL(x.query.Get("ttl"))
}

// keepParam is the parameter keep_ttl; false if it is not given.
func (x *exchange) keepParam() (bool, error) {
	switch x.query.Get("keep_ttl") {
	case "true":
		return true, nil
	case "false", "":
		return false, nil
	}
	return false, api.Errorf(api.CodeInvalid, "keep_ttl=%.40q is neither true nor false", x.query.Get("keep_ttl"))
}

// wholeTTL returns d in whole milliseconds, at least one: a key that lives is not shown with 0 to live.
func wholeTTL(d time.Duration) time.Duration { return max(time.Millisecond, d.Round(time.Millisecond)) }

// ttlHeader says what is left of the key's time to live, in seconds with decimals; nothing if the key has no deadline.
func (x *exchange) ttlHeader(d time.Duration) {
	if d > 0 {
		x.set("Edgehold-TTL", strconv.FormatFloat(wholeTTL(d).Seconds(), 'f', 3, 64))
	}
}

// appendTTL appends the member "ttl" with what is left, as a duration; nothing if the key has no deadline.
func appendTTL(dst []byte, d time.Duration) []byte {
	if d <= 0 {
		return dst
	}
	return append(append(append(dst, `,"ttl":"`...), wholeTTL(d).String()...), '"')
}
