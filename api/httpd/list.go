package httpd

import (
	"net/http"
	"strconv"

	"github.com/edgehold/edgehold/api"
)

// maxPageBytes bounds the body of a page.
const maxPageBytes = api.MaxListBytes

// flushBytes is how much of a page is gathered before it is sent.
const flushBytes = 64 << 10

// getList answers GET of a range of keys.
func getList(x *exchange) error {
	p, limit, err := x.listParams()
	if err != nil {
		return err
	}
	rest, ok := p.rest()
	level, maxStale, err := x.consistency()
	if err != nil {
		return err
	}
	req := &api.ListRequest{Range: rest, Limit: limit, Reverse: p.reverse, KeysOnly: p.keysOnly, Consistency: level, MaxStale: maxStale, Cursor: p.cursor}
	res := &api.ListResult{Cursor: p.cursor}
	if ok {
		if res, err = x.Store.List(x.Ctx, req); err != nil {
			return err
		}
	}
	if p.last != "" && p.cursor == "" {
		rest := *res
		rest.Cursor = "" // it would cover what is left of the list alone
		res = &rest
	}
	x.W.Header()["Content-Type"] = jsonType
	if res.Stale {
		x.ownerHeaders(api.ServedByStale, "")
		x.ageHeaders(res.Age)
	}
	x.Reply(http.StatusOK, -1)
	x.sendPage(p, res)
	return nil
}

// listParams reads the range, from the parameters or from the page's cursor, which must not contradict each other.
func (x *exchange) listParams() (p page, limit int, err error) {
	if text := x.query.Get("limit"); x.query.Has("limit") {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 {
			return p, 0, api.Errorf(api.CodeInvalid, "limit %q is not a number from 1 to %d", text, api.MaxListLimit)
		}
	}
	if x.query.Has("page") {
		if p, err = parsePage(x.query.Get("page")); err != nil {
			return p, 0, err
		}
	}
	asked := p
	switch byPrefix := x.query.Has("prefix"); {
	case byPrefix && (x.query.Has("start") || x.query.Has("end")):
		return p, 0, api.Errorf(api.CodeInvalid, "prefix does not go with start or end")
	case byPrefix:
		asked.bounds = api.PrefixRange(api.Key(x.query.Get("prefix")))
	case x.query.Has("start") || x.query.Has("end"):
		asked.bounds = api.Range{Start: api.Key(x.query.Get("start")), End: api.Key(x.query.Get("end"))}
	}
	if asked.reverse, err = x.flag("reverse", p.reverse); err != nil {
		return p, 0, err
	}
	if asked.keysOnly, err = x.flag("keys_only", p.keysOnly); err != nil {
		return p, 0, err
	}
	if p.last != "" && asked != p {
		return p, 0, api.Errorf(api.CodeInvalid, "page belongs to a list with another range, direction or keys_only")
	}
	return asked, limit, nil
}

// sendPage sends {"entries":[...],"next":...}, and with the last page "cursor" instead of "next". Text can outgrow its value in
// JSON: what does not fit the page is left to the next one.
func (x *exchange) sendPage(p page, res *api.ListResult) {
	more, sent := res.More, 0
	var one []byte
	buf := append(make([]byte, 0, flushBytes+4<<10), `{"entries":[`...)
	for i := range res.Entries {
		e := &res.Entries[i]
		one = appendEntry(one[:0], e, p.keysOnly)
		if i > 0 && sent+len(buf)+len(one)+maxTailBytes > maxPageBytes {
			more = true
			break
		}
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(buf, one...)
		p.last = e.Key
		if len(buf) >= flushBytes {
			x.send(buf)
			sent, buf = sent+len(buf), buf[:0]
		}
	}
	buf = append(buf, ']')
	p.cursor = res.Cursor
	switch {
	case more && len(res.Entries) > 0:
		buf = append(append(append(buf, `,"next":"`...), p.String()...), '"')
	case res.Cursor != "":
		buf = append(append(append(buf, `,"cursor":"`...), res.Cursor...), '"')
	}
	x.send(append(buf, "}\n"...))
}

// maxTailBytes is more than what may follow the entries: a page of three keys and a cursor in base64.
const maxTailBytes = 5*api.MaxKeyBytes + 2*api.MaxCursorBytes

func appendEntry(dst []byte, e *api.Entry, keysOnly bool) []byte {
	dst = appendText(append(dst, '{'), "key", []byte(e.Key))
	if !keysOnly {
		dst = appendText(append(dst, ','), "value", e.Value)
	}
	dst = appendText(append(dst, ','), "version", []byte(e.Version.String()))
	return append(appendTTL(dst, e.TTL), '}')
}
