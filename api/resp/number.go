package resp

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

// integer parses an argument as Redis does: a decimal integer in its shortest form.
func integer(arg []byte) (int64, error) {
	if len(arg) == 0 || len(arg) > 20 {
		return 0, errNotInteger
	}
	n, err := strconv.ParseInt(string(arg), 10, 64)
	if err != nil || arg[0] == '+' || len(arg) > 1 && (arg[0] == '0' || arg[0] == '-' && arg[1] == '0') {
		return 0, errNotInteger
	}
	return n, nil
}

// is reports whether an argument is a word, in capitals or not.
func is(arg []byte, word string) bool {
	if len(arg) != len(word) {
		return false
	}
	for i := range arg {
		c := arg[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

func tooLong(n, most int) error {
	return refusal(fmt.Sprintf("ERR key of %d bytes is over the limit of %d bytes", n, most))
}

// tooMany refuses a command that names too many keys.
func tooMany(command string, n, most int) error {
	return refusal(fmt.Sprintf("ERR '%s' of %d keys is over the limit of %d keys", command, n, most))
}

// lifetime is a time of an argument: how the key lives on. The zero value is for ever.
type lifetime struct {
	ttl  time.Duration // 0: it has no deadline
	gone bool          // its deadline is over
}

// clock is how a command names a time.
type clock struct {
	unit     time.Duration
	absolute bool // since 1970
}

// The options that name a time, and what they mean.
var clocks = []struct {
	word string
	clock
}{
	{"EX", clock{time.Second, false}}, {"PX", clock{time.Millisecond, false}},
	{"EXAT", clock{time.Second, true}}, {"PXAT", clock{time.Millisecond, true}},
}

// clockOf returns the clock of an option; false if it is not one that names a time.
func clockOf(arg []byte) (clock, bool) {
	for _, c := range clocks {
		if is(arg, c.word) {
			return c.clock, true
		}
	}
	return clock{}, false
}

// parse returns how long a key lives that is to end at arg. past: a time that is over is one too; without it Redis refuses what is not
// positive. command is for the error.
func (c clock) parse(arg []byte, past bool, command string) (lifetime, error) {
	n, err := integer(arg)
	if err != nil {
		return lifetime{}, err
	}
	invalid := func(why string) error {
		return refusal("ERR invalid expire time in '" + strings.ToLower(command) + "' command" + why)
	}
	if n <= 0 && !past {
		return lifetime{}, invalid("")
	}
	if c.unit == time.Second {
		if n > maxMillis/1000 || n < -maxMillis/1000 {
			return lifetime{}, invalid("")
		}
		n *= 1000
	}
	if c.absolute && n > 0 {
		n -= time.Now().UnixMilli()
	}
	switch {
	case n <= 0:
		return lifetime{gone: true}, nil
	case n < api.MinTTL.Milliseconds():
		return lifetime{}, invalid(fmt.Sprintf(": the shortest is %d ms", api.MinTTL.Milliseconds()))
	case n > api.MaxTTL.Milliseconds():
		return lifetime{}, invalid(fmt.Sprintf(": the longest is %d years", int(api.MaxTTL.Hours()/24/365)))
	}
	return lifetime{ttl: time.Duration(n) * time.Millisecond}, nil
}

// maxMillis is the latest time of Redis.
const maxMillis = int64(^uint64(0) >> 1)
