package kvconnect

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// client speaks the protocol to the front over a reference store. It knows the messages by their numbers alone.
type client struct {
	testing.TB
	h  http.Handler
	m  *storetest.Memory
	db database
}

func newClient(t testing.TB, change ...func(*front.Config)) *client {
	m := storetest.NewMemory()
	c := front.Config{Store: m, Lister: m, Watcher: m, Node: "n1", URL: "http://n1:7400"}
	for _, f := range change {
		f(&c)
	}
	return &client{t, New(front.New(c)), m, database{"app"}}
}

// post sends a body to a path; header lines are "Name: value".
func (c *client) post(path string, body []byte, lines ...string) *http.Response {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	return w.Result()
}

// call sends a message of the data path, and returns the status and the body.
func (c *client) call(route string, message []byte) (int, []byte) {
	c.Helper()
	r := c.post("/kvconnect/"+c.db.name+"/strong/"+route, message, "X-Denokv-Version: 3", "X-Denokv-Database-Id: "+c.db.id())
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.Fatal(err)
	}
	return r.StatusCode, body
}

// got is an entry as a client reads it.
type got struct {
	key, value string
	encoding   encoding
	stamp      string
}

func decodeEntry(b []byte) (e got) {
	_ = eachField(b, "KvEntry", func(f *field) (bool, error) {
		switch f.number {
		case 1:
			e.key = string(f.bytes)
		case 2:
			e.value = string(f.bytes)
		case 3:
			e.encoding = encoding(f.varint)
		case 4:
			e.stamp = string(f.bytes)
		}
		return true, nil
	})
	return e
}

// rng is a range of a read: limit 1 and a single key if end is "".
type rng struct {
	start, end string
	limit      int
	reverse    bool
}

func readMessage(ranges ...rng) (b []byte) {
	for _, r := range ranges {
		if r.end == "" {
			r.end, r.limit = r.start+"\x00", max(r.limit, 1)
		}
		b = appendMessage(b, 1, func(b []byte) []byte {
			b = appendBytes(b, 1, []byte(r.start))
			b = appendBytes(b, 2, []byte(r.end))
			b = appendVarint(b, 3, uint64(int64(r.limit)))
			if r.reverse {
				b = appendVarint(b, 4, 1)
			}
			return b
		})
	}
	return b
}

func (c *client) read(ranges ...rng) (out [][]got) {
	c.Helper()
	status, body := c.call(routeRead, readMessage(ranges...))
	if status != http.StatusOK {
		c.Fatalf("a read is answered %d: %s", status, body)
	}
	is := map[protowire.Number]uint64{}
	err := eachField(body, "SnapshotReadOutput", func(f *field) (bool, error) {
		is[f.number] = f.varint
		if f.number != 1 {
			return true, nil
		}
		var entries []got
		err := eachField(f.bytes, "ReadRangeOutput", func(f *field) (bool, error) {
			entries = append(entries, decodeEntry(f.bytes))
			return true, nil
		})
		out = append(out, entries)
		return true, err
	})
	if err != nil || is[4] != 1 || is[8] != 1 || len(out) != len(ranges) {
		c.Fatalf("a read of %d ranges is answered with %d, strong %d, status %d, %v", len(ranges), len(out), is[4], is[8], err)
	}
	return out
}

// get returns the entry of a key; false if it is absent.
func (c *client) get(key string) (got, bool) {
	c.Helper()
	entries := c.read(rng{start: key})[0]
	if len(entries) == 0 {
		return got{}, false
	}
	return entries[0], true
}

// change is a mutation, and chk a check.
type (
	change struct {
		kind     int
		key      string
		value    string
		encoding encoding
		expireAt int64
	}
	chk struct{ key, stamp string }
)

func put(key, value string) change {
	return change{kind: kindSet, key: key, value: value, encoding: encodingV8}
}

func putInt(key string, n uint64) change {
	return change{kind: kindSet, key: key, value: le64(n), encoding: encodingLE64}
}

func sum(key string, n uint64) change {
	return change{kind: kindSum, key: key, value: le64(n), encoding: encodingLE64}
}

func del(key string) change { return change{kind: kindDelete, key: key} }

func le64(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }

func writeMessage(checks []chk, changes ...change) (b []byte) {
	for _, x := range checks {
		b = appendMessage(b, 1, func(b []byte) []byte {
			b = appendBytes(b, 1, []byte(x.key))
			if x.stamp != "" {
				b = appendBytes(b, 2, []byte(x.stamp))
			}
			return b
		})
	}
	for _, x := range changes {
		b = appendMessage(b, 2, func(b []byte) []byte {
			b = appendBytes(b, 1, []byte(x.key))
			if x.encoding != 0 {
				b = appendMessage(b, 2, func(b []byte) []byte {
					return appendVarint(appendBytes(b, 1, []byte(x.value)), 2, uint64(x.encoding))
				})
			}
			b = appendVarint(b, 3, uint64(x.kind))
			if x.expireAt != 0 {
				b = appendVarint(b, 4, uint64(x.expireAt))
			}
			return b
		})
	}
	return b
}

// commit returns the versionstamp of a write, or the checks that failed.
func (c *client) commit(checks []chk, changes ...change) (stamp string, failed []int) {
	c.Helper()
	status, body := c.call(routeWrite, writeMessage(checks, changes...))
	if status != http.StatusOK {
		c.Fatalf("a write is answered %d: %s", status, body)
	}
	var result uint64
	err := eachField(body, "AtomicWriteOutput", func(f *field) (bool, error) {
		switch f.number {
		case 1:
			result = f.varint
		case 2:
			stamp = string(f.bytes)
		case 4:
			for b := f.bytes; len(b) > 0; {
				v, n := protowire.ConsumeVarint(b)
				failed, b = append(failed, int(v)), b[n:]
			}
		}
		return true, nil
	})
	if err != nil || result == 1 != (len(stamp) == stampBytes) || result == 2 != (len(failed) > 0) {
		c.Fatalf("a write is answered with status %d, stamp %x, failed checks %v, %v", result, stamp, failed, err)
	}
	return stamp, failed
}

// do is commit without checks.
func (c *client) do(changes ...change) (stamp string) {
	c.Helper()
	stamp, _ = c.commit(nil, changes...)
	return stamp
}

// refused reports the status and the text with which a write is refused. The test fails if it has changed anything.
func (c *client) refused(message []byte) (int, string) {
	c.Helper()
	before := c.everything()
	status, body := c.call(routeWrite, message)
	if after := c.everything(); after != before {
		c.Errorf("a write that is answered %d, %s, has made %s of %s", status, body, after, before)
	}
	return status, string(body)
}

// everything returns all keys of the store with what they hold.
func (c *client) everything() string {
	res, err := c.m.List(c.Context(), &api.ListRequest{Limit: api.MaxListLimit})
	if err != nil {
		c.Fatal(err)
	}
	var b strings.Builder
	for _, e := range res.Entries {
		b.WriteString(string(e.Key) + "=" + string(e.Value) + "@" + e.Version.String() + "\n")
	}
	return b.String()
}
