package httpd

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

// readQuery takes the query apart, refuses what the resource does not know, and starts the request's time.
func (x *exchange) readQuery(known []string) error {
	timeout, err := x.parseQuery(known)
	if err == nil {
		x.Bound(timeout)
	}
	return err
}

// parseQuery takes the query apart, refuses what the resource does not know, and returns the request's time.
func (x *exchange) parseQuery(known []string) (timeout time.Duration, err error) {
	if x.R.URL.RawQuery == "" {
		return api.DefaultTimeout, nil
	}
	if x.query, err = url.ParseQuery(x.R.URL.RawQuery); err != nil {
		return 0, api.Errorf(api.CodeInvalid, "the query is malformed: %v", err)
	}
	if err = x.checkQuery(known); err != nil {
		return 0, err
	}
	if timeout, err = x.duration("timeout", api.DefaultTimeout); err != nil {
		return 0, err
	}
	if timeout <= 0 || timeout > api.MaxTimeout {
		return 0, api.Errorf(api.CodeInvalid, "timeout must be above 0 and at most %v", api.MaxTimeout)
	}
	return timeout, nil
}

func (x *exchange) checkQuery(known []string) error {
	var unknown []string
	for name, values := range x.query {
		if name != "timeout" && !slices.Contains(known, name) {
			unknown = append(unknown, strconv.Quote(name))
		} else if len(values) > 1 {
			return api.Errorf(api.CodeInvalid, "query parameter %s is given more than once", name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return api.Errorf(api.CodeInvalid, "unknown query parameter %s", strings.Join(unknown, ", "))
}

// duration is a parameter such as 1.5s, or a plain number of seconds.
func (x *exchange) duration(name string, absent time.Duration) (time.Duration, error) {
	if !x.query.Has(name) {
		return absent, nil
	}
	text := x.query.Get(name)
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > -1e9 && seconds < 1e9) {
		return 0, api.Errorf(api.CodeInvalid, "%s %q is neither a duration such as 5s nor a number of seconds", name, text)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// flag is a parameter that is true or false; a bare name is true.
func (x *exchange) flag(name string, absent bool) (bool, error) {
	if !x.query.Has(name) {
		return absent, nil
	}
	text := x.query.Get(name)
	if text == "" {
		return true, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, api.Errorf(api.CodeInvalid, "%s %q is neither true nor false", name, text)
	}
	return b, nil
}

// consistency reads consistency and max_stale.
func (x *exchange) consistency() (api.Consistency, time.Duration, error) {
	level := api.Linearizable
	if name := x.query.Get("consistency"); x.query.Has("consistency") {
		for level = api.Linearizable; level.String() != name; level++ {
			if level == api.Stale {
				return 0, 0, api.Errorf(api.CodeInvalid, "consistency %q is none of linearizable, quorum, bounded, stale", name)
			}
		}
	}
	if x.query.Has("max_stale") != (level == api.Bounded) {
		return 0, 0, api.Errorf(api.CodeInvalid, "consistency=bounded and max_stale go together")
	}
	maxStale, err := x.duration("max_stale", 0)
	if err == nil && maxStale < 0 {
		err = api.Errorf(api.CodeInvalid, "max_stale is negative")
	}
	return level, maxStale, err
}
