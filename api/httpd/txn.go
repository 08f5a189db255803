package httpd

import (
	"net/http"
	"strconv"

	"github.com/edgehold/edgehold/api"
)

// postTxn answers a transaction over keys of any groups: {"if":[...],"then":[...],"else":[...]}. Nothing of it is carried
// out after an error, but after "applied":"unknown". That if did not hold is no error.
func postTxn(x *exchange) error {
	id, err := requestID(x.R.Header)
	if err != nil {
		return err
	}
	body, err := x.readBody()
	if err != nil {
		return err
	}
	t, err := parseTxn(body)
	if err != nil {
		return err
	}
	if keys := t.Keys(); len(keys) > 0 {
		x.About(keys[0])
	}
	if onlyGets(t) {
		return x.readTxn(t)
	}
	t.ID, x.writes = id, true
	res, err := x.Store.Do(x.Ctx, t)
	if err != nil {
		return err
	}
	x.ownerHeaders(api.ServedByOwner, res.Group)
	x.timing(&res.Timing)
	if res.Replayed {
		x.set(replayedHeader, "true")
	}
	if !res.Version.IsZero() {
		x.set("Edgehold-Version", res.Version.String())
	}
	branch := t.Then
	if !res.Committed {
		branch = t.Else
	}
	x.replyTxn(branch, res)
	return nil
}

// onlyGets reports whether the transaction is read-only: nothing is tested or written.
func onlyGets(t *api.Txn) bool {
	for i := range t.Then {
		if t.Then[i].Kind != api.OpGet {
			return false
		}
	}
	return len(t.If) == 0 && len(t.Else) == 0
}

// readTxn answers a read-only transaction from one snapshot. It needs no id: it may be carried out any number of times.
func (x *exchange) readTxn(t *api.Txn) error {
	q := &x.read
	q.Snapshot = true
	for i := range t.Then {
		q.Keys = append(q.Keys, t.Then[i].Key)
	}
	res, err := x.ask()
	switch {
	case err != nil:
		return err
	case !res.Snapshot:
		return api.Errorf(api.CodeUnavailable, "the keys could not be read as of one instant")
	}
	x.ownerHeaders(res.ServedBy, res.Group)
	x.timing(&res.Timing)
	x.replyTxn(t.Then, &api.TxnResult{Committed: true, Entries: res.Entries})
	return nil
}

// replyTxn answers 200 with {"committed":...,"results":[...]}, a result for each operation of the branch that ran. An
// answer that is long is sent as it is made.
func (x *exchange) replyTxn(branch []api.Op, res *api.TxnResult) {
	x.W.Header()["Content-Type"] = jsonType
	begun := false
	b := strconv.AppendBool(append(make([]byte, 0, 512), `{"committed":`...), res.Committed)
	b = append(b, `,"results":[`...)
	lists := res.Lists
	for i := range branch {
		if i > 0 {
			b = append(b, ',')
		}
		if branch[i].Kind == api.OpList {
			b, lists = appendListed(b, res.Entries[i].Key, lists)
		} else {
			b = appendResult(b, &branch[i], &res.Entries[i], !res.Replayed)
		}
		if len(b) < flushBytes {
			continue
		}
		if !begun {
			begun = true
			x.Reply(http.StatusOK, -1)
		}
		x.send(b)
		b = b[:0]
	}
	b = append(b, ']')
	if !res.Version.IsZero() {
		b = append(appendVersion(append(b, `,"version":"`...), res.Version), '"')
	}
	if res.Replayed {
		b = append(b, `,"replayed":true`...)
	}
	b = append(b, "}\n"...)
	if !begun {
		x.replyBody(http.StatusOK, jsonType, b)
		return
	}
	x.send(b)
}

// appendResult appends what one operation came to. What is left of a time to live is out of date in a replayed result.
func appendResult(b []byte, o *api.Op, e *api.Entry, fresh bool) []byte {
	b = appendText(append(b, '{'), "key", []byte(e.Key))
	switch {
	case (o.Kind == api.OpGet || o.Kind == api.OpTouch) && !e.Exists:
		b = append(b, `,"exists":false`...)
	case e.Elided:
		b = append(b, `,"elided":true`...)
	case o.Answers():
		b = appendText(append(b, ','), "value", e.Value)
	}
	b = append(appendVersion(append(b, `,"version":"`...), e.Version), '"')
	if fresh {
		b = appendTTL(b, e.TTL)
	}
	return append(b, '}')
}

// appendListed appends what a list step listed, the first of lists, and returns the others. A replayed result has no lists.
func appendListed(b []byte, prefix api.Key, lists [][]api.Entry) ([]byte, [][]api.Entry) {
	b = appendText(append(b, '{'), "prefix", []byte(prefix))
	if len(lists) == 0 {
		return append(b, `,"elided":true}`...), nil
	}
	b = append(b, `,"entries":[`...)
	for i := range lists[0] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEntry(b, &lists[0][i], true)
	}
	return append(b, "]}"...), lists[1:]
}
