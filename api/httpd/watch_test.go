package httpd_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// sseEvent is one Server-Sent Event.
type sseEvent struct{ name, id, data string }

// sseReader reads Server-Sent Events as the HTML standard says.
type sseReader struct {
	lines *bufio.Reader
	retry string
}

func readSSE(r io.Reader) *sseReader { return &sseReader{lines: bufio.NewReader(r)} }

// next returns the next event that a browser would dispatch.
func (s *sseReader) next() (e sseEvent, err error) {
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return sseEvent{}, err
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			if line == "" && e.data != "" {
				return e, nil
			}
			if line == "" {
				e = sseEvent{}
			}
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data += value
		case "retry":
			s.retry = value
		default:
			return sseEvent{}, fmt.Errorf("the line %q is none of an event", line)
		}
	}
}

// httpStore is the API over a server, watched as any client can; writes go to the store behind it.
type httpStore struct {
	*storetest.Memory
	url   string
	token string
}

// serveMemory serves a memory store and returns it as seen over HTTP.
func serveMemory(t *testing.T, change ...func(*front.Config)) *httpStore {
	t.Helper()
	m := storetest.NewMemory()
	c := front.Config{Store: m, Lister: m, Watcher: m, Node: "us-east-1"}
	for _, f := range change {
		f(&c)
	}
	s := httptest.NewServer(newAPI(c, httpd.Config{CORSOrigins: []string{"https://app.example"}}))
	t.Cleanup(s.Close)
	return &httpStore{Memory: m, url: s.URL}
}

// get asks, and returns the error that a problem is.
func (s *httpStore) get(ctx context.Context, path string, query url.Values, lines ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", s.url+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Err: err}
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	var p struct {
		Code   api.Code `json:"code"`
		Detail string   `json:"detail"`
	}
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		return nil, err
	}
	return nil, &api.Error{Code: p.Code, Hint: p.Detail}
}

type jsonEntry struct {
	Key      *string `json:"key"`
	KeyB64   []byte  `json:"key_base64"`
	Value    *string `json:"value"`
	ValueB64 []byte  `json:"value_base64"`
	Version  string  `json:"version"`
	TTL      string  `json:"ttl"`
	Expired  bool    `json:"expired"`
	Txn      string  `json:"txn"`
	Elided   bool    `json:"elided"`
}

func (j *jsonEntry) entry() (e api.Entry, err error) {
	text := func(s *string, b []byte) []byte {
		if s != nil {
			return []byte(*s)
		}
		return b
	}
	e = api.Entry{Key: api.Key(text(j.Key, j.KeyB64)), Value: text(j.Value, j.ValueB64), Exists: true}
	if j.TTL != "" {
		if e.TTL, err = time.ParseDuration(j.TTL); err != nil {
			return e, err
		}
	}
	e.Version, err = api.ParseVersion(j.Version)
	return e, err
}

// List lists over HTTP. A further page is asked for by its page alone, which has the cursor.
func (s *httpStore) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	q := url.Values{"start": {string(r.Range.Start)}, "end": {string(r.Range.End)}}
	if r.Limit > 0 {
		q.Set("limit", strconv.Itoa(r.Limit))
	}
	if r.Cursor != "" {
		q = url.Values{"page": {string(r.Cursor)}, "limit": {strconv.Itoa(r.Limit)}}
	}
	res, err := s.get(ctx, "/v1/kv", q)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var in struct {
		Entries      []jsonEntry
		Next, Cursor string
	}
	if err := json.NewDecoder(res.Body).Decode(&in); err != nil {
		return nil, err
	}
	out := &api.ListResult{More: in.Next != "", Cursor: api.Cursor(in.Next + in.Cursor)}
	for _, j := range in.Entries {
		e, err := j.entry()
		if err != nil {
			return nil, err
		}
		out.Entries = append(out.Entries, e)
	}
	return out, nil
}

// Watch watches over HTTP.
func (s *httpStore) Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	q := url.Values{
		"start": {string(r.Range.Start)}, "end": {string(r.Range.End)}, "list": {fmt.Sprint(r.List)},
		"collapse": {fmt.Sprint(r.Collapse)}, "values": {fmt.Sprint(!r.KeysOnly)},
	}
	if r.From != "" {
		q.Set("from", string(r.From))
	}
	res, err := s.get(ctx, "/v1/watch", q)
	if err != nil {
		return nil, err
	}
	return &httpStream{body: res.Body, events: readSSE(res.Body)}, nil
}

// httpStream is a watch over HTTP. Each event is a batch.
type httpStream struct {
	body   io.Closer
	events *sseReader
	begun  bool
}

func (s *httpStream) Close() error { return s.body.Close() }

func (s *httpStream) Next() (*api.WatchBatch, error) {
	e, err := s.events.next()
	if err != nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Err: err}
	}
	b := &api.WatchBatch{Cursor: api.Cursor(e.id)}
	first := !s.begun
	s.begun = true
	var data struct {
		jsonEntry
		Age    float64
		Code   api.Code
		Reason api.GapReason
		Start  string
	}
	if err := json.Unmarshal([]byte(e.data), &data); err != nil {
		return nil, fmt.Errorf("%q: %w", e.data, err)
	}
	switch e.name {
	case "ready":
		b.Ready = true
	case "reset":
		if b.Reset = !first; first {
			return s.Next()
		}
	case "gap":
		b.Gap = &api.Gap{Range: api.Range{Start: api.Key(data.Start)}, Reason: data.Reason}
	case "progress":
		b.Age = time.Duration(data.Age * float64(time.Second))
	case "end":
		return nil, &api.Error{Code: data.Code}
	case "put", "delete":
		entry, err := data.entry()
		if err != nil {
			return nil, err
		}
		kind := api.EventPut
		if e.name == "delete" {
			kind = api.EventDelete
		}
		if data.Expired {
			kind = api.EventExpire
		}
		b.Events = []api.Event{{Kind: kind, Key: entry.Key, Value: entry.Value, Version: entry.Version, TTL: entry.TTL}}
	default:
		return nil, fmt.Errorf("an event %q", e.name)
	}
	return b, nil
}

// TestWatchSuite: a watch over HTTP, read as the standard for Server-Sent Events says, keeps what every watcher promises.
func TestWatchSuite(t *testing.T) {
	storetest.RunWatcher(t, func(t *testing.T) storetest.WatchStore { return serveMemory(t) }, storetest.Options{Time: true, Functions: true})
}

// watchRaw opens a watch and returns the answer; it is closed with the test.
func (s *httpStore) watchRaw(t *testing.T, query string, lines ...string) *http.Response {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.get(t.Context(), "/v1/watch", q, lines...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func wantEvent(t *testing.T, r *sseReader, name, data string) sseEvent {
	t.Helper()
	e, err := r.next()
	if err != nil || e.name != name || data != "" && e.data != data {
		t.Fatalf("%+v, %v; want event %s with data %s", e, err, name, data)
	}
	return e
}

func putKey(t *testing.T, s api.Store, key api.Key, value string) {
	t.Helper()
	if _, err := s.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: key, Value: []byte(value)}}}); err != nil {
		t.Fatal(err)
	}
}

// TestWatchAnswer: the answer is for browsers and proxies as they are: its type, no caching, no buffering, a time to come back, ids.
func TestWatchAnswer(t *testing.T) {
	s := serveMemory(t)
	res := s.watchRaw(t, "prefix=a/")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Edgehold-Node": "us-east-1", "Content-Length": "",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	r := readSSE(res.Body)
	if e := wantEvent(t, r, "ready", "{}"); e.id == "" || len(r.retry) != 4 || r.retry < "1000" || r.retry >= "3000" {
		t.Errorf("ready has the id %q, and the client is to come back after %q ms", e.id, r.retry)
	}
	putKey(t, s, "a/\n", "line\r\n\"break\"")
	putKey(t, s, "b/", "not seen")
	putKey(t, s, "a/\xff", "\xfe")
	e := wantEvent(t, r, "put", `{"key":"a/\n","value":"line\r\n\"break\"","version":"1.1"}`)
	wantEvent(t, r, "put", `{"key_base64":"YS//","value_base64":"/g==","version":"1.3"}`)
	if e.id == "" {
		t.Error("an event that is whole has no id")
	}
	// Last-Event-ID wins over from.
	again := readSSE(s.watchRaw(t, "prefix=a/&values=false&from=nonsense", "Last-Event-ID: "+e.id).Body)
	wantEvent(t, again, "ready", "")
	wantEvent(t, again, "put", `{"key_base64":"YS//","version":"1.3"}`)
}

// TestWatchHead: HEAD has the header of GET, and its refusals.
func TestWatchHead(t *testing.T) {
	h, _ := memoryAPI(func(c *front.Config) { c.Watcher = c.Store.(*storetest.Memory) })
	r := request(h, "HEAD", "/v1/watch?prefix=a", "")
	if wantStatus(t, r, 200); header(r, "Content-Type") != "text/event-stream" || bodyOf(t, r) != "" {
		t.Errorf("%v", r.Header)
	}
	if r = request(h, "HEAD", "/v1/watch?from=x", ""); r.StatusCode != 400 {
		t.Errorf("status %d", r.StatusCode)
	}
	if r = request(h, "POST", "/v1/watch", ""); r.StatusCode != 405 || header(r, "Allow") != "GET, HEAD" {
		t.Errorf("status %d, %v", r.StatusCode, r.Header)
	}
}

// TestWatchRefuses: what is wrong is refused with a status, before the stream begins.
func TestWatchRefuses(t *testing.T) {
	h, _ := memoryAPI(func(c *front.Config) { c.Watcher = c.Store.(*storetest.Memory) })
	for query, naming := range map[string]string{
		"?prefix=a&start=b": "prefix", "?start=b&end=a": "no keys", "?list=maybe": "list", "?values=2": "values", "?collapse=x": "collapse",
		"?from=": "from is empty", "?from=x": "cursor", "?from=" + strings.Repeat("A", api.MaxCursorBytes+1): "4097", "?list=true&from=x": "choose one",
		"?ttl=1s": `unknown query parameter "ttl"`, "?timeout=0": "timeout", "?prefix=a&prefix=b": "more than once",
	} {
		wantProblem(t, request(h, "GET", "/v1/watch"+query, ""), 400, api.CodeInvalid, naming)
	}
	wantProblem(t, request(h, "GET", "/v1/watch", "", "Last-Event-ID: x"), 400, api.CodeInvalid, "cursor")
	wantProblem(t, request(h, "GET", "/v1/watch?prefix="+strings.Repeat("k", 4097), ""), 413, api.CodeTooLarge, "4096")
}

// TestWatchGap: a gap is an event with an id behind it. A client that had a list gets another one, from its last id too, as a browser
// asks for it.
func TestWatchGap(t *testing.T) {
	s := serveMemory(t)
	list := readSSE(s.watchRaw(t, "prefix=a/&list=true").Body)
	wantEvent(t, list, "reset", "{}")
	id := wantEvent(t, list, "ready", "{}").id
	putKey(t, s, "a/k", "v")
	s.TrimHistory()
	gap := readSSE(s.watchRaw(t, "prefix=a/&from="+id).Body)
	if e := wantEvent(t, gap, "gap", `{"start":"a/","end":"a0","reason":"trimmed"}`); e.id == "" || e.id == id {
		t.Errorf("the gap has the id %q", e.id)
	}
	again := readSSE(s.watchRaw(t, "prefix=a/&list=true", "Last-Event-ID: "+id).Body)
	wantEvent(t, again, "reset", "{}")
	wantEvent(t, again, "put", `{"key":"a/k","value":"v","version":"1.1"}`)
	wantEvent(t, again, "ready", "{}")
	putKey(t, s, "a/k", "w")
	wantEvent(t, again, "put", `{"key":"a/k","value":"w","version":"1.2"}`)
}

// TestWatchTimeout: a watch outlives the time of other requests, and ends after a timeout that it names.
func TestWatchTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, m := memoryAPI(func(c *front.Config) { c.Watcher = c.Store.(*storetest.Memory) })
		start := time.Now()
		r := request(h, "GET", "/v1/watch?timeout=25s", "")
		wantStatus(t, r, 200)
		if took := time.Since(start); took != 25*time.Second {
			t.Errorf("the watch took %v", took)
		}
		body := bodyOf(t, r)
		if strings.Count(body, "event: progress\ndata: {\"age\":0.001}\nid: ") != 2 || !strings.Contains(body, "event: end\ndata: {\"type\":") {
			t.Errorf("the watch told %s", body)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		time.AfterFunc(59*time.Minute, func() { putKey(t, m, "late", "v") })
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/v1/watch", nil).WithContext(ctx))
		if !strings.Contains(w.Body.String(), `"key":"late"`) {
			t.Errorf("the watch told %.2000s", w.Body)
		}
	})
}

// script is a Watcher whose streams deliver batches of a test.
type script struct{ batches chan *api.WatchBatch }

func (s script) Watch(ctx context.Context, _ *api.WatchRequest) (api.WatchStream, error) {
	return scripted{ctx, s.batches}, nil
}

type scripted struct {
	ctx     context.Context
	batches chan *api.WatchBatch
}

func (s scripted) Close() error { return nil }
func (s scripted) Next() (*api.WatchBatch, error) {
	select {
	case b, ok := <-s.batches:
		if !ok {
			return nil, api.Errorf(api.CodeUnavailable, "the watcher was too slow")
		}
		return b, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// told returns all that a watch answers to some batches.
func told(t *testing.T, batches ...*api.WatchBatch) string {
	t.Helper()
	w := script{make(chan *api.WatchBatch, len(batches))}
	for _, b := range batches {
		w.batches <- b
	}
	close(w.batches)
	h, _ := memoryAPI(func(c *front.Config) { c.Watcher = w })
	r := request(h, "GET", "/v1/watch", "")
	wantStatus(t, r, 200)
	return bodyOf(t, r)
}

var firstRetry = regexp.MustCompile(`\Aretry: ([0-9]{4})\n\n`)

// withoutRetry cuts the field off a stream that says when to come back: after 1 to 3 seconds.
func withoutRetry(t *testing.T, stream string) string {
	t.Helper()
	first := firstRetry.FindStringSubmatch(stream)
	if first == nil || first[1] < "1000" || first[1] >= "3000" {
		t.Fatalf("the stream does not begin with when to come back: %.40q", stream)
	}
	return stream[len(first[0]):]
}

// TestRetriesAreSpread: the clients of a node that stops come back at different times.
func TestRetriesAreSpread(t *testing.T) {
	live := &api.Live{Status: &api.Status{}, Nodes: []api.NodeLive{}, Groups: []api.GroupLive{}, Alarms: []api.Alarm{}}
	h, _ := memoryAPI(func(c *front.Config) {
		c.Admin, c.Observer, c.Watcher = &fakeAdmin{}, &fakeObserver{all: []*api.Live{live}}, script{over()}
	})
	for _, path := range []string{"/v1/watch", "/v1/cluster/live"} {
		times := map[string]bool{}
		for range 100 {
			stream := bodyOf(t, request(h, "GET", path, ""))
			withoutRetry(t, stream)
			times[firstRetry.FindString(stream)] = true
		}
		if len(times) < 50 {
			t.Errorf("%s: 100 clients come back at %d times", path, len(times))
		}
	}
}

// over returns the batches of a script that ends at once.
func over() chan *api.WatchBatch {
	c := make(chan *api.WatchBatch)
	close(c)
	return c
}

// TestWatchFrames: each part of a batch is an event; the id stands at the last one alone, so that no client goes on from the middle of
// a batch. What ended the watch is the last event.
func TestWatchFrames(t *testing.T) {
	v := api.Version{Epoch: 2, Index: 7}
	got := told(t, &api.WatchBatch{Ready: true, Cursor: "c0"}, &api.WatchBatch{Cursor: "c1", Events: []api.Event{
		{Kind: api.EventPut, Key: "a", Value: []byte("x"), Version: v, TTL: 1500 * time.Millisecond, Txn: 0xab},
		{Kind: api.EventPut, Key: "b", Version: v, Elided: true},
		{Kind: api.EventDelete, Key: "c", Version: v, Txn: 0xab},
		{Kind: api.EventExpire, Key: "d", Version: v},
	}}, &api.WatchBatch{Events: []api.Event{{Kind: api.EventPut, Key: "e", Version: v}}}, &api.WatchBatch{Age: 800 * time.Millisecond, Cursor: "c2"},
		&api.WatchBatch{Gap: &api.Gap{Reason: api.GapRestored}, Cursor: "c3"})
	want := "event: ready\ndata: {}\nid: c0\n\n" +
		`event: put` + "\n" + `data: {"key":"a","value":"x","version":"2.7","ttl":"1.5s","txn":"ab"}` + "\n\n" +
		`event: put` + "\n" + `data: {"key":"b","version":"2.7","elided":true}` + "\n\n" +
		`event: delete` + "\n" + `data: {"key":"c","version":"2.7","txn":"ab"}` + "\n\n" +
		`event: delete` + "\n" + `data: {"key":"d","version":"2.7","expired":true}` + "\nid: c1\n\n" +
		`event: put` + "\n" + `data: {"key":"e","value":"","version":"2.7"}` + "\n\n" +
		"event: progress\ndata: {\"age\":0.800}\nid: c2\n\n" +
		`event: gap` + "\n" + `data: {"start":"","end":"","reason":"restored"}` + "\nid: c3\n\n" +
		"event: end\ndata: {"
	rest, ok := strings.CutPrefix(withoutRetry(t, got), want)
	if !ok || !strings.Contains(rest, `"code":"unavailable"`) || !strings.Contains(rest, "too slow") || !strings.HasSuffix(rest, "}\n\n") {
		t.Errorf("told\n%s\nwant\n%s", got, want)
	}
}

// FuzzWatchFrames: whatever bytes keys and values have, a reader of Server-Sent Events gets them as they are, and the id with the last.
func FuzzWatchFrames(f *testing.F) {
	f.Add([]byte("a\nb"), []byte("\r\n\r\ndata: x\n\n"), []byte("\xff\x00"))
	f.Add([]byte("\u2028"), []byte(""), []byte("id: forged\n\n"))
	f.Fuzz(func(t *testing.T, key, value, other []byte) {
		events := []api.Event{{Kind: api.EventPut, Key: api.Key(key), Value: value}, {Kind: api.EventDelete, Key: api.Key(other)}}
		s := &httpStream{events: readSSE(strings.NewReader(told(t, &api.WatchBatch{Events: events, Cursor: "c"}))), begun: true}
		for i, want := range events {
			b, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			if e := b.Events[0]; e.Key != want.Key || !bytes.Equal(e.Value, want.Value) || e.Kind != want.Kind || (b.Cursor == "c") != (i == 1) {
				t.Fatalf("read %+v, want %+v", b, want)
			}
		}
		if b, err := s.Next(); api.CodeOf(err) != api.CodeUnavailable {
			t.Fatalf("read %+v, %v behind the last event", b, err)
		}
	})
}

// TestWatchIsNotInFlight: an open watch takes no place of requests, and opening one takes one.
func TestWatchIsNotInFlight(t *testing.T) {
	room := admission.New(admission.Config{Shares: admission.Shares{admission.Request: 1}})
	s := serveMemory(t, func(c *front.Config) { c.Room = room })
	var readers []*sseReader
	for range 5 {
		r := readSSE(s.watchRaw(t, "").Body)
		wantEvent(t, r, "ready", "")
		readers = append(readers, r)
	}
	if n := room.UnderWay(); n != 0 {
		t.Errorf("%d requests are under way", n)
	}
	putKey(t, s, "k", "v")
	for _, r := range readers {
		wantEvent(t, r, "put", "")
	}
}

// TestWatchGoodbye: a server that closes sends an end to its watches and ends them at once; it does not wait for its grace.
func TestWatchGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory()
		for _, protocols := range []func(*http.Protocols){
			func(p *http.Protocols) { p.SetHTTP1(true) }, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
		} {
			l := newPipes()
			s := httpd.Serve(l, httpd.ServerConfig{Handler: newAPI(front.Config{Store: m, Watcher: m}, httpd.Config{})})
			c := l.over(protocols)
			res, err := c.Get("http://edgehold/v1/watch")
			if err != nil {
				t.Fatal(err)
			}
			r := readSSE(res.Body)
			wantEvent(t, r, "ready", "")
			for range 360 { // an hour: longer than any deadline of the server
				wantEvent(t, r, "progress", "")
			}
			start, closed := time.Now(), make(chan error, 1)
			go func() { closed <- s.Close(10 * time.Second) }()
			for e := (sseEvent{}); e.name != "end"; {
				if e, err = r.next(); err != nil {
					t.Fatal(err)
				}
				if e.name == "end" && !strings.Contains(e.data, "closing") {
					t.Errorf("the watch ends with %s", e.data)
				}
			}
			if _, err := r.next(); !errors.Is(err, io.EOF) {
				t.Errorf("behind the end: %v", err)
			}
			_ = res.Body.Close()
			c.CloseIdleConnections()
			if err := <-closed; err != nil || time.Since(start) > time.Second {
				t.Errorf("closing took %v: %v", time.Since(start), err)
			}
		}
	})
}

// TestWatchSlowClient: a client that takes no bytes is let go after 30 s, and costs others nothing.
func TestWatchSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := script{make(chan *api.WatchBatch)}
		l := newPipes()
		var ended atomic.Int64
		h := newAPI(front.Config{Store: storetest.NewMemory(), Watcher: w}, httpd.Config{})
		s := httpd.Serve(l, httpd.ServerConfig{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(rw, r)
			ended.Add(1)
		})})
		defer func() { _ = s.Close(time.Second) }()
		conn := l.dial()
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /v1/watch HTTP/1.1\r\nHost: edgehold\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 4096)); err != nil { // the header; nothing is read from here on
			t.Fatal(err)
		}
		w.batches <- &api.WatchBatch{Events: []api.Event{{Kind: api.EventPut, Key: "k", Value: make([]byte, 1<<20)}}, Cursor: "c"}
		time.Sleep(29 * time.Second)
		if synctest.Wait(); ended.Load() != 0 {
			t.Error("the watch has ended early")
		}
		time.Sleep(2 * time.Second)
		if synctest.Wait(); ended.Load() != 1 {
			t.Error("the watch goes on")
		}
	})
}

// TestWatchConnections: the connections of watches do not count among those of requests, and do so again once the watch is over.
func TestWatchConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory()
		l := newPipes()
		s := httpd.Serve(l, httpd.ServerConfig{MaxConns: 2, Handler: newAPI(front.Config{Store: m, Watcher: m}, httpd.Config{})})
		defer func() { _ = s.Close(time.Second) }()
		client := func() *http.Client { return l.over(func(p *http.Protocols) { p.SetHTTP1(true) }) }
		get := func(c *http.Client, path string, status int) *http.Response {
			t.Helper()
			res, err := c.Get("http://edgehold" + path)
			if err != nil || res.StatusCode != status {
				t.Fatalf("%s: %+v, %v", path, res, err)
			}
			return res
		}
		for range 5 {
			c := client()
			res := get(c, "/v1/watch?timeout=1m", 200)
			wantEvent(t, readSSE(res.Body), "ready", "")
			defer c.CloseIdleConnections()
			defer res.Body.Close()
		}
		for range 2 {
			c := client()
			_ = get(c, "/livez", 200).Body.Close()
			defer c.CloseIdleConnections()
		}
	})
}
