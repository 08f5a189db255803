package resp

import (
	"context"
	"strconv"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// defaultCount is how many keys a SCAN looks at, if it does not say how many.
const defaultCount = 10

// maxKeysBytes bounds the names that KEYS returns, each of which takes nameBytes beside its own.
const (
	maxKeysBytes = 16 << 20
	nameBytes    = 32
)

// scanning is what a SCAN asks for.
type scanning struct {
	after   api.Key // the key before the first; "" for the beginning
	pattern string
	count   int
	none    bool // TYPE names a type that no key has
}

func scan(c *conn, args [][]byte) {
	q, err := c.scanning(args)
	if err != nil {
		c.out.error(errorText(err, false))
		return
	}
	list := c.begin("list")
	defer list.span.End()
	ctx, cancel := context.WithTimeout(list.ctx, c.server.timeout)
	defer cancel()
	res, err := c.page(ctx, q)
	c.observe(&list, err)
	if err != nil {
		c.out.error(errorText(err, false))
		return
	}
	next := "0"
	if res.More {
		next = strconv.FormatUint(c.server.cursors.put(res.Entries[len(res.Entries)-1].Key), 10)
	}
	names, size := c.names(nil, res.Entries, q), int64(0)
	for _, n := range names {
		size += int64(len(n) + nameBytes)
	}
	if err := c.hold(size); err != nil {
		c.out.error(errorText(err, false))
		return
	}
	c.out.array(2)
	c.out.text(next)
	c.out.array(len(names))
	for _, n := range names {
		c.out.text(n)
		c.out.flushSome()
	}
}

// scanning parses a SCAN.
func (c *conn) scanning(args [][]byte) (q scanning, err error) {
	id, err := strconv.ParseUint(string(args[1]), 10, 64)
	if err != nil {
		return q, errCursor
	}
	q.count, q.pattern = defaultCount, "*"
	for i := 2; i < len(args); i += 2 {
		switch more := i+1 < len(args); {
		case more && is(args[i], "MATCH"):
			q.pattern = string(args[i+1])
		case more && is(args[i], "COUNT"):
			n, err := integer(args[i+1])
			if err != nil {
				return q, err
			}
			if n < 1 {
				return q, errSyntax
			}
			q.count = int(min(n, api.MaxListLimit))
		case more && is(args[i], "TYPE"):
			q.none = !is(args[i+1], "STRING")
		default:
			return q, errSyntax
		}
	}
	if id == 0 {
		return q, nil
	}
	after, known := c.server.cursors.get(id)
	if !known || !api.PrefixRange(api.Key(c.space.prefix)).Contains(after) {
		return q, refusal(string(errCursor) + ": this node does not know it, or not any more; begin again with 0")
	}
	q.after = after
	return q, nil
}

// page lists the keys that a scan looks at next. Those that match begin with what the pattern begins with.
func (c *conn) page(ctx context.Context, q scanning) (*api.ListResult, error) {
	prefix, _ := literal(q.pattern)
	r := api.ListRequest{Range: api.PrefixRange(c.space.key([]byte(prefix))), Limit: q.count, KeysOnly: true}
	if c.stale {
		r.Consistency = api.Stale
	}
	if len(r.Range.Start) > api.MaxKeyBytes { // no key is so long
		return &api.ListResult{}, nil
	}
	if q.after != "" {
		r.Range.Start = max(r.Range.Start, following(q.after))
	}
	place, err := c.enter(ctx, front.Ask{})
	if err != nil {
		return nil, err
	}
	defer place.Leave()
	return c.caller.List(ctx, &r)
}

// following returns the least key behind k.
func following(k api.Key) api.Key {
	if len(k) < api.MaxKeyBytes {
		return k + "\x00"
	}
	return api.PrefixRange(k).End // a key that begins with k is too long
}

// names adds the names of the keys that match.
func (c *conn) names(to []string, es []api.Entry, q scanning) []string {
	for i := range es {
		if n := c.space.name(es[i].Key); !q.none && (q.pattern == "*" || matches(q.pattern, n)) {
			to = append(to, n)
		}
	}
	return to
}

// all calls each with the pages of a scan, in order.
func (c *conn) all(q scanning, each func(es []api.Entry) error) error {
	list := c.begin("list")
	defer list.span.End()
	ctx, cancel := context.WithTimeout(list.ctx, c.server.timeout)
	defer cancel()
	q.count = api.MaxListLimit
	for {
		res, err := c.page(ctx, q)
		if err == nil {
			err = each(res.Entries)
		}
		if err != nil || !res.More {
			c.observe(&list, err)
			return err
		}
		q.after = res.Entries[len(res.Entries)-1].Key
	}
}

func keys(c *conn, args [][]byte) {
	q := scanning{pattern: string(args[1])}
	var names []string
	size := 0
	err := c.all(q, func(es []api.Entry) error {
		from := len(names)
		names = c.names(names, es, q)
		for _, n := range names[from:] {
			size += len(n) + nameBytes
		}
		if size > maxKeysBytes {
			return api.Errorf(api.CodeTooLarge, "%d names of keys, of %d bytes with %d for each, are over the limit of %d bytes: use SCAN", len(names), size, nameBytes, maxKeysBytes)
		}
		return nil
	})
	if err == nil {
		err = c.hold(int64(size))
	}
	if err != nil {
		c.out.error(errorText(err, false))
		return
	}
	c.out.array(len(names))
	for _, n := range names {
		c.out.text(n)
		c.out.flushSome()
	}
}

func dbsize(c *conn, _ [][]byte) {
	n := 0
	err := c.all(scanning{pattern: "*"}, func(es []api.Entry) error {
		n += len(es)
		return nil
	})
	if err != nil {
		c.out.error(errorText(err, false))
		return
	}
	c.out.int(int64(n))
}
