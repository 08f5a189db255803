package kvconnect

import (
	"bytes"
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
)

// serveRead answers a snapshot_read. All ranges show one instant, and all is linearizable: of single keys leases answer if they can,
// everything else is one request to the owner.
func serveRead(x *door.Exchange, d database, body []byte) error {
	ranges, err := parseSnapshotRead(body)
	if err == nil {
		err = checkRanges(ranges)
	}
	if err != nil {
		return err
	}
	if len(ranges) > 0 {
		x.About(d.data(ranges[0].start))
	}
	out, ok, err := readFirst(x.Ctx, x.Store, d, ranges)
	if err == nil && !ok {
		out, err = list(x.Ctx, x.Store, d, ranges)
	}
	if err != nil {
		return err
	}
	return reply(x, protobuf, encodeReadOutput(out))
}

// readFirst answers a read by the first key of each range, which leases may have. ok is false if that is not enough: Deno asks for single
// keys, but @deno/kv for the first key from the one that it wants on, which is another one if that is absent.
func readFirst(ctx context.Context, s front.Caller, d database, ranges []readRange) (out [][]kvEntry, ok bool, err error) {
	keys := make([][]byte, len(ranges))
	for i := range ranges {
		r := &ranges[i]
		if !r.single() && (r.limit > 1 || r.reverse || len(r.start) == 0 || string(r.start) >= min(string(r.end), metaFolder)) {
			return nil, false, nil
		}
		keys[i] = r.start
	}
	rows, err := readKeys(ctx, s, d, keys)
	if err != nil {
		return nil, false, err
	}
	out = make([][]kvEntry, len(ranges))
	for i := range rows {
		e := rows[i].entry(keys[i])
		if e == nil && !ranges[i].single() {
			return nil, false, nil
		}
		if e != nil {
			out[i] = []kvEntry{*e}
		}
	}
	return out, true, nil
}

// checkRanges holds the limits of a read.
func checkRanges(ranges []readRange) error {
	total := 0
	for i := range ranges {
		r := &ranges[i]
		if r.limit < 1 {
			return api.Errorf(api.CodeInvalid, "the limit of a range is %d; it is 1 or more", r.limit)
		}
		for _, bound := range [2][]byte{r.start, r.end} {
			if err := checkRead(bound); err != nil {
				return err
			}
		}
		if total += int(r.limit); total > maxEntries {
			return api.Errorf(api.CodeTooLarge, "the limits of the ranges are more than %d entries together", maxEntries)
		}
	}
	return nil
}

// single reports whether the range is one key that there may be.
func (r *readRange) single() bool {
	n := len(r.start)
	return n > 0 && r.start[0] < metaFolder[0] && len(r.end) == n+1 && r.end[n] == 0 && bytes.HasPrefix(r.end, r.start)
}

// row is a client's key: its value, and its sibling.
type row struct{ data, meta api.Entry }

// entry returns the row as the protocol has it; nil if the key is absent.
func (r *row) entry(key []byte) *kvEntry {
	if !r.data.Exists || r.halfExpired() {
		return nil
	}
	return &kvEntry{key: key, value: r.data.Value, encoding: encodingOf(&r.meta), version: r.data.Version}
}

// halfExpired reports whether the value is overdue and its sibling may have expired already: a lease may hold the end of the one up, and
// not that of the other. Without the sibling its encoding is not known.
func (r *row) halfExpired() bool {
	return !r.meta.Exists && r.data.TTL > 0 && r.data.TTL <= overdueTTL
}

// overdueTTL is the most that an overdue key has to live, as the Store says.
const overdueTTL = time.Millisecond

// readKeys returns the rows of keys, as they were at one instant.
func readKeys(ctx context.Context, s front.Caller, d database, keys [][]byte) ([]row, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	q := api.ReadRequest{Snapshot: true}
	for _, k := range keys {
		q.Keys = append(q.Keys, d.data(k), d.meta(k))
	}
	var out api.ReadResult
	if err := s.Read(ctx, &q, &out); err != nil {
		return nil, err
	}
	rows := make([]row, len(keys))
	for i := range rows {
		rows[i] = row{out.Entries[2*i], out.Entries[2*i+1]}
	}
	return rows, nil
}

// spareSiblings is how many siblings more than values are read of a range at first: there may be some without a value, which another
// front or a key that has just expired has left.
const spareSiblings = 16

// list returns the entries of the ranges, as they were at one instant.
func list(ctx context.Context, s front.Caller, d database, ranges []readRange) ([][]kvEntry, error) {
	for spare := spareSiblings; ; spare = api.MaxListLimit {
		out, whole, err := listOnce(ctx, s, d, ranges, spare)
		if err != nil || whole {
			return out, err
		}
		if spare == api.MaxListLimit {
			return nil, api.Errorf(api.CodeTooLarge, "of the range, %s has too many keys without a value in the database: delete those", d.meta(nil))
		}
	}
}

// listOnce lists once. whole reports whether the siblings of all entries were among those read.
func listOnce(ctx context.Context, s front.Caller, d database, ranges []readRange, spare int) (out [][]kvEntry, whole bool, err error) {
	var siblings, values []api.ListPart // the siblings come first: what is cut for its size is then a list of values
	var of []int                        // the range of each
	for i := range ranges {
		r := &ranges[i]
		data, meta, ok := d.ranges(r.start, r.end)
		if !ok {
			continue
		}
		siblings = append(siblings, api.ListPart{Range: meta, Limit: min(int(r.limit)+spare, api.MaxListLimit), Reverse: r.reverse})
		values = append(values, api.ListPart{Range: data, Limit: int(r.limit), Reverse: r.reverse})
		of = append(of, i)
	}
	out = make([][]kvEntry, len(ranges))
	if len(of) == 0 {
		return out, true, nil
	}
	first := siblings[0]
	res, err := s.List(ctx, &api.ListRequest{Range: first.Range, Limit: first.Limit, Reverse: first.Reverse, Also: append(siblings[1:len(siblings):len(siblings)], values...)})
	if err != nil {
		return nil, false, err
	}
	pages := append([]api.ListPage{{Entries: res.Entries, More: res.More}}, res.Also...)
	whole = true
	for n, i := range of {
		meta, data := &pages[n], &pages[len(of)+n]
		if data.More && len(data.Entries) < int(ranges[i].limit) {
			return nil, false, api.Errorf(api.CodeTooLarge, "the entries are over the limit of %d bytes of one read: list them with a smaller batchSize", api.MaxListBytes)
		}
		whole = whole && d.covers(meta, data, ranges[i].reverse)
		out[i] = d.entries(meta, data)
		if whole && data.More && len(out[i]) < len(data.Entries) { // a client takes a short page for the last one
			return nil, false, &api.Error{Code: api.CodeUnavailable, Op: "list", RetryAfter: time.Second, Hint: "a key of the page is about to expire"}
		}
	}
	return out, whole, nil
}

// covers reports whether the siblings of all values, if they have any, are among those of a page.
func (d database) covers(meta, data *api.ListPage, reverse bool) bool {
	m, n := len(meta.Entries), len(data.Entries)
	return !meta.More || n == 0 || m > 0 && !beyond(d.meta(d.client(data.Entries[n-1].Key)), meta.Entries[m-1].Key, reverse)
}

// entries joins the values of a range with their siblings.
func (d database) entries(meta, data *api.ListPage) []kvEntry {
	siblings := make(map[api.Key]*api.Entry, len(meta.Entries))
	for i := range meta.Entries {
		siblings[meta.Entries[i].Key] = &meta.Entries[i]
	}
	out := make([]kvEntry, 0, len(data.Entries))
	for i := range data.Entries {
		key := d.client(data.Entries[i].Key)
		at := row{data: data.Entries[i]}
		if m := siblings[d.meta(key)]; m != nil {
			at.meta = *m
		}
		if e := at.entry(key); e != nil {
			out = append(out, *e)
		}
	}
	return out
}

// beyond reports whether k comes after last in the order of a list.
func beyond(k, last api.Key, reverse bool) bool {
	if reverse {
		return k < last
	}
	return k > last
}
