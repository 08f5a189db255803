package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

const (
	watchPath = "/v1/watch"
	// maxSilence is how long a node may be silent on a watch, which reports its progress every 10 s.
	maxSilence = 35 * time.Second
	// maxEventLine bounds a line of a watch: a value in which every byte is escaped, and the rest.
	maxEventLine = 6*(api.MaxValueBytes+api.MaxKeyBytes) + 64<<10
	// maxRefusal bounds the body of an answer that refuses a watch.
	maxRefusal = 64 << 10
)

// watch asks a node for a watch, and once again if the node does not know the token and there is another one. The node gets at most
// budget to begin; ctx is that of the watch.
func (n *network) watch(ctx context.Context, e *endpoint, of *call, r *api.WatchRequest, budget time.Duration) (api.WatchStream, *failure) {
	token := n.tokens.current()
	s, f := n.openWatch(ctx, e, of, r, budget)
	if f == nil || f.err.Code != api.CodeUnauthenticated {
		return s, f
	}
	if another, _ := n.tokens.renew(token); another {
		return n.openWatch(ctx, e, of, r, budget)
	}
	return s, f
}

// watchCall returns the request for a watch. It names no timeout, since it would end the watch.
func watchCall(of *call, r *api.WatchRequest) *call {
	q := &call{op: of.op, key: of.key, method: http.MethodGet, path: watchPath, raw: watchPath, query: url.Values{}, untimed: true, limit: maxRefusal}
	q.query.Set("start", string(r.Range.Start))
	q.query.Set("end", string(r.Range.End))
	if r.From != "" {
		q.query.Set("from", string(r.From))
	}
	for name, set := range map[string]bool{"list": r.List, "collapse": r.Collapse} {
		if set {
			q.query.Set(name, "true")
		}
	}
	if r.KeysOnly {
		q.query.Set("values", "false")
	}
	q.header = func(h http.Header) { h.Set("Accept", "text/event-stream") }
	return q
}

func (n *network) openWatch(ctx context.Context, e *endpoint, of *call, r *api.WatchRequest, budget time.Duration) (api.WatchStream, *failure) {
	q := watchCall(of, r)
	ctx, cancel := context.WithCancel(ctx)
	s := &eventStream{cancel: cancel, stop: context.AfterFunc(n.ctx, cancel), silence: time.AfterFunc(budget, cancel)}
	req, err := n.request(ctx, e, q, 0)
	if err != nil {
		_ = s.Close() // nothing is open
		return nil, &failure{err: &api.Error{Code: api.CodeInvalid, Err: err}, verdict: final}
	}
	res, err := n.watches.Do(req) //nolint:bodyclose // the stream closes it
	if err != nil {
		_ = s.Close() // nothing is open
		return nil, n.endpoints.unanswered(ctx, e, q, err, false)
	}
	s.body = res.Body
	if res.StatusCode == http.StatusOK {
		n.endpoints.answered(e)
		s.lines = bufio.NewReaderSize(res.Body, 32<<10)
		s.heard()
		return s, nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, q.limit))
	_ = s.Close() // what it says has been read
	if err != nil {
		return nil, n.endpoints.unanswered(ctx, e, q, err, false)
	}
	return nil, n.endpoints.refused(e, refusal(q, e, &answer{status: res.StatusCode, header: res.Header, body: body}))
}

// watch begins a watch of the Store.
func (s *embedded) watch(ctx context.Context, e *endpoint, of *call, r *api.WatchRequest, _ time.Duration) (api.WatchStream, *failure) {
	w, ok := s.store.(api.Watcher)
	if !ok {
		return nil, &failure{err: api.Errorf(api.CodeInvalid, "the client's store cannot be watched: it is no api.Watcher"), verdict: final}
	}
	stream, err := w.Watch(ctx, r)
	if err != nil {
		known := *api.AsError(asClients(err))
		return nil, s.endpoints.refused(e, judge(of, &known))
	}
	return stream, nil
}

// eventStream reads a watch from a node. Each of its batches is one event.
type eventStream struct {
	body    io.ReadCloser
	lines   *bufio.Reader
	cancel  context.CancelFunc // of the request
	stop    func() bool        // the end of the Client ends the request no more
	silence *time.Timer        // ends the request
}

// Close implements api.WatchStream.
func (s *eventStream) Close() error {
	s.silence.Stop()
	s.stop()
	s.cancel()
	if s.body == nil {
		return nil
	}
	return s.body.Close()
}

// heard begins the wait for the next sign of life.
func (s *eventStream) heard() { s.silence.Reset(maxSilence) }

// Next implements api.WatchStream.
func (s *eventStream) Next() (*api.WatchBatch, error) {
	s.heard()
	defer s.silence.Stop() // between two calls it is the program that takes its time, not the node
	for {
		name, id, data, err := s.event()
		if err != nil {
			return nil, err
		}
		b, err := readEvent(name, data)
		if err != nil {
			return nil, err
		}
		if b != nil {
			b.Cursor = api.Cursor(id)
			return b, nil
		}
	}
}

// event reads the lines of an event that has data.
func (s *eventStream) event() (name, id string, data []byte, err error) {
	for {
		line, err := s.line()
		if err != nil {
			return "", "", nil, err
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "id":
			id = string(value)
		case "data":
			data = append(data, value...)
		case "":
			if len(line) == 0 && len(data) > 0 {
				return name, id, data, nil
			}
		}
	}
}

// line reads a line. It is valid until the next call.
func (s *eventStream) line() ([]byte, error) {
	var long []byte
	for {
		part, err := s.lines.ReadSlice('\n')
		s.heard()
		switch {
		case err == nil && long == nil:
			return bytes.TrimRight(part, "\r\n"), nil
		case err == nil || errors.Is(err, bufio.ErrBufferFull):
			if long = append(long, part...); len(long) > maxEventLine {
				return nil, api.Errorf(api.CodeInternal, "a line of the watch has more than %d bytes", maxEventLine)
			}
			if err == nil {
				return bytes.TrimRight(long, "\r\n"), nil
			}
		default:
			return nil, &api.Error{Code: api.CodeUnavailable, Hint: "the connection of the watch broke", Err: err}
		}
	}
}

// eventData is the data of any event.
type eventData struct {
	Key      *string       `json:"key"`
	KeyB64   []byte        `json:"key_base64"`
	Value    *string       `json:"value"`
	ValueB64 []byte        `json:"value_base64"`
	TTL      string        `json:"ttl"`
	Expired  bool          `json:"expired"`
	Txn      string        `json:"txn"`
	Elided   bool          `json:"elided"`
	Age      float64       `json:"age"`
	Start    *string       `json:"start"`
	StartB64 []byte        `json:"start_base64"`
	End      *string       `json:"end"`
	EndB64   []byte        `json:"end_base64"`
	Reason   api.GapReason `json:"reason"`
	problem
}

// readEvent returns what an event says; nil if it is of a kind that this program does not know. The error is that with which the node
// ends the watch.
func readEvent(name string, data []byte) (*api.WatchBatch, error) {
	var d eventData
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, &api.Error{Code: api.CodeInternal, Hint: "an event of the watch is not the JSON that it should be", Err: err}
	}
	switch name {
	case "put", "delete":
		e, err := d.event(name)
		return &api.WatchBatch{Events: []api.Event{e}}, err
	case "ready":
		return &api.WatchBatch{Ready: true}, nil
	case "reset":
		return &api.WatchBatch{Reset: true}, nil
	case "progress":
		return &api.WatchBatch{Age: seconds(d.Age)}, nil
	case "gap":
		of := api.Range{Start: api.Key(textBytes(d.Start, d.StartB64)), End: api.Key(textBytes(d.End, d.EndB64))}
		return &api.WatchBatch{Gap: &api.Gap{Range: of, Reason: d.Reason}}, nil
	case "end":
		return nil, &api.Error{Code: d.Code, Hint: d.Detail, RetryAfter: seconds(d.RetryAfter)}
	}
	return nil, nil
}

// event returns the change that the data is.
func (d *eventData) event(name string) (api.Event, error) {
	e := api.Event{
		Kind: api.EventPut, Key: api.Key(textBytes(d.Key, d.KeyB64)), Value: textBytes(d.Value, d.ValueB64), Elided: d.Elided,
	}
	switch {
	case name == "delete" && d.Expired:
		e.Kind = api.EventExpire
	case name == "delete":
		e.Kind = api.EventDelete
	}
	var err, noTTL error
	if e.Version, err = api.ParseVersion(d.Version); err == nil && d.Txn != "" {
		e.Txn, err = strconv.ParseUint(d.Txn, 16, 64)
	}
	e.TTL, noTTL = parseTTL(d.TTL)
	if err = cmp.Or(err, noTTL); err != nil {
		return e, &api.Error{Code: api.CodeInternal, Hint: "an event of the watch makes no sense", Err: err}
	}
	return e, nil
}

// seconds returns the duration. One that is longer than a Duration can be is the longest: a node that does not know the age of what it
// has delivered says so by a very great one.
func seconds(s float64) time.Duration {
	if s *= float64(time.Second); s < math.MaxInt64 {
		return time.Duration(s)
	}
	return math.MaxInt64
}
