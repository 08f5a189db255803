package integration

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/kvconnect"
	"github.com/edgehold/edgehold/integration/history"
)

// denoKeys are the keys that clients of KV Connect have in a planet: those of one database.
const (
	denoDatabase = "app"
	denoKeys     = "deno/" + denoDatabase + "/"
	denoCounters = denoKeys + "\x02n" // of counters
)

// denoKey is a key as a client of Deno encodes a text.
func denoKey(n int) api.Key { return api.Key(fmt.Sprintf("%s\x02k%d\x00", denoKeys, n)) }

// denoCounter is the key of a counter.
func denoCounter(n int) api.Key { return api.Key(fmt.Sprintf("%s%d\x00", denoCounters, n)) }

// denoClient is a client of KV Connect. It exchanges the metadata before its first operation.
type denoClient struct {
	planet   *planet
	at       *host
	http     *http.Client
	database string // its id
}

func (p *planet) denoClient(at *host) *denoClient {
	from := p.clientOf(at)
	return &denoClient{planet: p, at: at, http: &http.Client{Transport: &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return p.fabric.Dial(ctx, from, at.name) },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // in a bubble it is long before any certificate
	}}}
}

func (c *denoClient) close() { c.http.CloseIdleConnections() }

// post sends a request to a path below that of the front. The error is CodeUnavailable if the node says that nothing happened, and no
// error of the api if that is not known.
func (c *denoClient) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	scheme := "http://"
	if c.planet.ids != nil {
		scheme = "https://"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+c.at.name+"/kvconnect/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+cmp.Or(string(c.planet.token), kvconnect.Anonymous))
	if c.database != "" {
		r.Header.Set("X-Denokv-Version", "3")
		r.Header.Set("X-Denokv-Database-Id", c.database)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode == http.StatusOK:
		return answer, nil
	case res.StatusCode == http.StatusConflict || res.StatusCode == http.StatusInternalServerError:
		return nil, errors.New(string(answer))
	}
	return nil, api.Errorf(api.CodeUnavailable, "status %d: %s", res.StatusCode, answer)
}

// ready exchanges the metadata, unless that is done.
func (c *denoClient) ready(ctx context.Context) error {
	if c.database != "" {
		return nil
	}
	answer, err := c.post(ctx, denoDatabase, []byte(`{"supportedVersions":[2,3]}`))
	if err != nil {
		return api.Errorf(api.CodeUnavailable, "the exchange of the metadata: %v", err)
	}
	var m struct {
		DatabaseID string `json:"databaseId"`
	}
	if err := json.Unmarshal(answer, &m); err != nil || m.DatabaseID == "" {
		c.planet.t.Errorf("the metadata is %q (%v)", answer, err)
	}
	c.database = m.DatabaseID
	return nil
}

// message is a message of protobuf that is being written.
type message []byte

func (m message) bytes(n protowire.Number, v []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, n, protowire.BytesType), v)
}

func (m message) number(n protowire.Number, v uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, n, protowire.VarintType), v)
}

// fieldsOf returns the fields of a message that are bytes, the last of each number, and those that are numbers.
func fieldsOf(b []byte) (texts map[protowire.Number][]byte, numbers map[protowire.Number]uint64, err error) {
	texts, numbers = map[protowire.Number][]byte{}, map[protowire.Number]uint64{}
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, nil, protowire.ParseError(n)
		}
		b = b[n:]
		switch typ {
		case protowire.BytesType:
			texts[number], n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			numbers[number], n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(number, typ, b)
		}
		if n < 0 {
			return nil, nil, protowire.ParseError(n)
		}
		b = b[n:]
	}
	return texts, numbers, nil
}

// stampOf returns a version as clients have it, and versionOfStamp the version.
func stampOf(v api.Version) []byte {
	return append(binary.BigEndian.AppendUint64(nil, v.Integer()), 0, 0)
}

func versionOfStamp(stamp []byte) (api.Version, error) {
	if len(stamp) != 10 {
		return api.Version{}, fmt.Errorf("a versionstamp of %d bytes", len(stamp))
	}
	return api.VersionOf(binary.BigEndian.Uint64(stamp)), nil
}

// read reads one key, as Deno does: a range of that key alone.
func (c *denoClient) read(ctx context.Context, key string) (s history.State, err error) {
	if err := c.ready(ctx); err != nil {
		return s, err
	}
	one := message{}.bytes(1, []byte(key)).bytes(2, []byte(key+"\x00")).number(3, 1)
	answer, err := c.post(ctx, denoDatabase+"/strong/snapshot_read", message{}.bytes(1, one))
	if err != nil {
		return s, err
	}
	out, numbers, err := fieldsOf(answer)
	if err != nil || numbers[8] != 1 || numbers[4] != 1 {
		return s, fmt.Errorf("the read is answered with status %d, strong %d: %w", numbers[8], numbers[4], err)
	}
	entries, _, err := fieldsOf(out[1])
	if err != nil || entries[1] == nil {
		return s, err
	}
	entry, _, err := fieldsOf(entries[1])
	if err != nil {
		return s, err
	}
	s.Exists, s.Value = true, string(entry[2])
	s.Version, err = versionOfStamp(entry[4])
	return s, err
}

// The kinds of mutations, and the encodings of values.
const (
	denoSet    = 1
	denoDelete = 2
	denoSum    = 3

	denoV8   = 1
	denoLE64 = 2
)

// mutation is one of a key, without a value if the encoding is 0.
func denoMutation(kind uint64, key string, value []byte, encoding uint64) message {
	m := message{}.bytes(1, []byte(key))
	if encoding != 0 {
		m = m.bytes(2, message{}.bytes(1, value).number(2, encoding))
	}
	return m.number(3, kind)
}

// write carries out a mutation of a key, under a check of its state if there is one. It returns the version that a value has then. For a
// delete that is the version of the transaction: of the key only if it removed a value. A check that does not hold is
// CodePreconditionFailed.
func (c *denoClient) write(ctx context.Context, key string, mutation message, check *history.State) (s history.State, err error) {
	if err := c.ready(ctx); err != nil {
		return s, err
	}
	var m message
	if check != nil {
		one := message{}.bytes(1, []byte(key))
		if check.Exists {
			one = one.bytes(2, stampOf(check.Version))
		}
		m = m.bytes(1, one)
	}
	m = m.bytes(2, mutation)
	answer, err := c.post(ctx, denoDatabase+"/strong/atomic_write", m)
	if err != nil {
		return s, err
	}
	out, numbers, err := fieldsOf(answer)
	switch {
	case err != nil:
		return s, err
	case numbers[1] == 2 && check != nil:
		return s, api.Errorf(api.CodePreconditionFailed, "the key has changed")
	case numbers[1] != 1:
		return s, fmt.Errorf("the write is answered with status %d", numbers[1])
	}
	s.Version, err = versionOfStamp(out[2])
	return s, err
}

// deno carries out one operation through KV Connect and records it. The protocol tells the version of a value, but not of an absence.
func (w *workload) deno(ctx context.Context, c *history.Client, to *denoClient, key api.Key, n int, r *rand.Rand) {
	name := strings.TrimPrefix(string(key), denoKeys)
	look := func() (history.State, error) {
		running := c.Begin(history.Op{Kind: history.Get, Key: key, Unversioned: true})
		seen, err := to.read(ctx, name)
		running.End(seen, err)
		if err == nil {
			w.viaDeno.Add(1)
		}
		return seen, err
	}
	if n < 91 {
		_, _ = look()
		return
	}
	value := fmt.Sprintf("v%d", w.unique.Add(1))
	op := history.Op{Kind: history.Put, Key: key, Written: value, Unversioned: true}
	mutation := denoMutation(denoSet, name, []byte(value), denoV8)
	act, remove, check := isCounter(key), r.IntN(3) == 0, r.IntN(2) == 0
	switch {
	case act:
		op.Kind, op.Written = history.Add, ""
		mutation, check = denoMutation(denoSum, name, oneMore, denoLE64), false
	case remove:
		act, op.Kind, op.Written, mutation = true, history.Delete, "", denoMutation(denoDelete, name, nil, 0)
	}
	var seen *history.State
	if check {
		saw, err := look()
		if err != nil {
			return
		}
		time.Sleep(time.Millisecond)
		switch seen, op.Expect = &saw, saw; {
		case !remove:
			op.Kind = history.CAS
		case saw.Exists:
			op.Kind = history.CompareDelete
		default:
			return // there is nothing to remove
		}
	}
	running := c.Begin(op)
	made, err := to.write(ctx, name, mutation, seen)
	running.End(made, err)
	if act {
		w.acted(err)
	}
}

// oneMore is the integer 1 as KV Connect adds it.
var oneMore = binary.LittleEndian.AppendUint64(nil, 1)
