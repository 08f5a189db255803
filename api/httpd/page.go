package httpd

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/edgehold/edgehold/api"
)

// page is where a list goes on: the list's parameters and the last key that was sent. As text it is opaque to clients,
// and any node understands it.
type page struct {
	bounds   api.Range
	reverse  bool
	keysOnly bool
	last     api.Key    // "" before the first page
	cursor   api.Cursor // of the first page; "" if it had none
}

// The formats of a page. The second one has a cursor behind the keys.
const (
	pageFormat       = 1
	pageCursorFormat = 2
)

func (p page) String() string {
	b := []byte{pageFormat, 0}
	if p.cursor != "" {
		b[0] = pageCursorFormat
	}
	if p.reverse {
		b[1] |= 1
	}
	if p.keysOnly {
		b[1] |= 2
	}
	for _, k := range []api.Key{p.bounds.Start, p.bounds.End, p.last} {
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
	}
	b = append(b, p.cursor...)
	return base64.RawURLEncoding.EncodeToString(b)
}

func parsePage(text string) (page, error) {
	bad := api.Errorf(api.CodeInvalid, "page is not what a list gave as next")
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 2 || b[0] != pageFormat && b[0] != pageCursorFormat || b[1] > 3 {
		return page{}, bad
	}
	p := page{reverse: b[1]&1 != 0, keysOnly: b[1]&2 != 0}
	withCursor, b := b[0] == pageCursorFormat, b[2:]
	for _, k := range []*api.Key{&p.bounds.Start, &p.bounds.End, &p.last} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > api.MaxKeyBytes || n > uint64(len(b)-size) {
			return page{}, bad
		}
		*k = api.Key(b[size : size+int(n)])
		b = b[size+int(n):]
	}
	p.cursor = api.Cursor(b)
	if withCursor != (len(b) > 0) || len(b) > api.MaxCursorBytes || !p.bounds.Contains(p.last) || p.last == "" {
		return page{}, bad
	}
	return p, nil
}

// rest is the part of the list's range that was not sent yet; ok is false if there is none.
func (p page) rest() (_ api.Range, ok bool) {
	r := p.bounds
	switch {
	case p.last == "":
	case p.reverse:
		r.End = p.last
	case len(p.last) < api.MaxKeyBytes:
		r.Start = p.last + "\x00"
	default: // the longest key there can be: what follows does not begin with it
		if r.Start = api.PrefixRange(p.last).End; r.Start == "" {
			return r, false
		}
	}
	return r, r.End == "" || r.Start < r.End
}
