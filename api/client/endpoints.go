package client

import (
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// endpoint is a node and what is known of its health.
type endpoint struct {
	base   url.URL
	stream streamed
	pace   pacer

	// Guarded by endpoints.mu:
	failures  int       // since the last answer
	restUntil time.Time // skipped until then
}

// endpoints are the nodes, nearest first. They are safe for concurrent use.
type endpoints struct {
	mu  sync.Mutex
	all []*endpoint
}

const (
	// restFirst is how long a node is skipped after a failure. Each further failure doubles it, up to restMost.
	restFirst = 500 * time.Millisecond
	restMost  = 15 * time.Second
	// softFailures is how many consecutive answers of "unavailable" count as a failure of the node. One or two may have their
	// cause in the owner of one key.
	softFailures = 3
)

func parseEndpoints(list []string) (*endpoints, error) {
	if len(list) == 0 {
		return nil, &api.Error{Code: api.CodeInvalid, Op: "open", Hint: "name at least one endpoint, such as http://127.0.0.1:7400"}
	}
	es := &endpoints{}
	for _, text := range list {
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, api.Errorf(api.CodeInvalid, "endpoint %q is not a URL such as http://127.0.0.1:7400", text)
		}
		u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
		es.all = append(es.all, &endpoint{base: *u})
	}
	return es, nil
}

// next returns the nearest node that was not tried in this round and is not being skipped. If all nodes are being skipped and
// none was tried, it returns the one that is due first. It returns nil if the round is over.
func (es *endpoints) next(now time.Time, tried map[*endpoint]bool) *endpoint {
	es.mu.Lock()
	defer es.mu.Unlock()
	var soonest *endpoint
	for _, e := range es.all {
		if tried[e] {
			continue
		}
		if !now.Before(e.restUntil) {
			if e.failures > 0 { // this call tries the node; others skip it until the result is known
				e.restUntil = now.Add(restFirst)
			}
			return e
		}
		if soonest == nil || e.restUntil.Before(soonest.restUntil) {
			soonest = e
		}
	}
	if len(tried) > 0 {
		return nil
	}
	return soonest
}

// answered records that the node works.
func (es *endpoints) answered(e *endpoint) {
	es.mu.Lock()
	defer es.mu.Unlock()
	e.failures, e.restUntil = 0, time.Time{}
}

// failed records that the node did not answer or, if soft, that it answered "unavailable".
func (es *endpoints) failed(e *endpoint, now time.Time, soft bool) {
	es.mu.Lock()
	defer es.mu.Unlock()
	e.failures++
	n := e.failures
	if soft {
		n -= softFailures - 1
	}
	if n > 0 {
		e.restUntil = now.Add(min(restMost, restFirst<<min(n-1, 10)))
	}
}
