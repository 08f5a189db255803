package httpd

import (
	"net/http"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// putKey answers PUT of a key: the body is its value, the parameter ttl its time to live, unless keep_ttl leaves that as it is.
func putKey(x *exchange) error {
	ttl, err := x.ttlParam()
	if err != nil {
		return err
	}
	keep, err := x.keepParam()
	if err != nil {
		return err
	}
	value, err := x.readBody()
	if err != nil {
		return err
	}
	return x.write(api.Op{Kind: api.OpPut, Key: x.key, Value: value, TTL: ttl, KeepTTL: keep})
}

// deleteKey answers DELETE of a key, also of an absent one.
func deleteKey(x *exchange) error {
	return x.write(api.Op{Kind: api.OpDelete, Key: x.key})
}

// write carries the one step out under the request's conditions, at most once under its Idempotency-Key.
func (x *exchange) write(op api.Op) error {
	if x.query.Has("consistency") || x.query.Has("max_stale") {
		return api.Errorf(api.CodeInvalid, "consistency and max_stale belong to reads; a write is always linearizable")
	}
	ifMatch, ifNoneMatch, err := readConditions(x.R.Header)
	if err != nil {
		return err
	}
	alternatives, err := alternativesOf(ifMatch, ifNoneMatch, x.key)
	if err != nil {
		return err
	}
	id, err := requestID(x.R.Header)
	if err != nil {
		return err
	}
	if len(alternatives) == 0 {
		return x.neverHolds(ifMatch)
	}
	if none := ifNoneMatch.versions(true); len(none) > 0 {
		if err := x.left(id, none); err != nil {
			return err
		}
	}
	x.writes = true
	var res *api.TxnResult
	for i, conds := range alternatives {
		t := &api.Txn{ID: alternativeID(id, i), If: conds, Then: []api.Op{op}}
		if res, err = x.Store.Do(x.Ctx, t); err != nil {
			return err
		}
		if res.Committed {
			break
		}
	}
	return x.written(op, res, ifMatch)
}

// neverHolds answers a write whose If-Match names no version that a key could have.
func (x *exchange) neverHolds(ifMatch tags) error {
	x.read.Keys = append(x.read.Keys[:0], x.key)
	res, err := x.ask()
	if err != nil {
		return err
	}
	x.ownerHeaders(res.ServedBy, res.Group)
	return x.conditionFailed(&res.Entries[0], ifMatch)
}

// writeBody is the answer to a write.
type writeBody struct {
	keyText
	Version  string `json:"version"`
	Replayed bool   `json:"replayed,omitempty"`
}

// written answers with the result of a write.
func (x *exchange) written(op api.Op, res *api.TxnResult, ifMatch tags) error {
	x.ownerHeaders(api.ServedByOwner, res.Group)
	x.timing(&res.Timing)
	if res.Replayed {
		x.set(replayedHeader, "true")
	}
	e := &res.Entries[0]
	if !res.Committed {
		return x.conditionFailed(e, ifMatch)
	}
	now := api.Entry{Version: e.Version, Exists: op.Kind == api.OpPut}
	if !res.Replayed { // else what is left is not known
		now.TTL = op.TTL
		if op.KeepTTL {
			now.TTL = e.TTL
		}
	}
	x.versionHeaders(&now)
	return x.replyJSON(writeBody{keyText: textOfKey(x.key), Version: now.Version.String(), Replayed: res.Replayed})
}

// replayedHeader marks the answer to a write that an earlier request with the same Idempotency-Key has done.
const replayedHeader = "Edgehold-Replayed"

// noConditions refuses the headers of conditions on a write whose row does not take them: to ignore one would carry out what the client wants
// done under a condition alone. On a read without versions they mean nothing.
func (x *exchange) noConditions() error {
	if x.route.method == http.MethodGet {
		return nil
	}
	for _, name := range [2]string{"If-Match", "If-None-Match"} {
		if len(x.R.Header[name]) > 0 && !slices.Contains(x.route.about.takes, name) {
			return api.Errorf(api.CodeInvalid, `%s means one key, and there is none in this path; a transaction has its conditions in the body: {"if":[{"key":...,"version":...}],...}`, name)
		}
	}
	return nil
}

// maxAlternatives bounds the versions that one If-Match may name on a write.
const maxAlternatives = 16

// left returns nil if the key has none of the versions, which are sorted, and never will have one again: versions rise, and one that the
// key has left does not come back. So the write that follows needs no condition for that. Otherwise it returns what the write is refused
// with.
func (x *exchange) left(id api.RequestID, none []api.Version) error {
	newest := none[len(none)-1]
	e, by, group, err := x.judged(id, newest)
	if err != nil {
		return err
	}
	switch {
	case e.Exists && slices.Contains(none, e.Version) && guardNoneMatch:
		x.ownerHeaders(by, group)
		return x.conditionFailed(e, tags{})
	case newest.Compare(e.Version) > 0:
		return api.Errorf(api.CodeInvalid, "If-None-Match names the version %v, which the key never had: it is at version %v", newest, e.Version)
	}
	return nil
}

// judged reads the key for left. With an id the read has a record, as each alternative has: all copies of the request judge by one version.
// Otherwise one of them could be refused, and an earlier one that comes later would still write. The record tells requests with another
// newest version apart: they are a conflict.
func (x *exchange) judged(id api.RequestID, newest api.Version) (e *api.Entry, by api.ServedBy, group api.GroupID, err error) {
	if id.IsZero() {
		x.read = api.ReadRequest{Keys: append(x.keys[:0], x.key)}
		res, err := x.ask()
		if err != nil {
			return nil, api.ServedByOwner, "", err
		}
		return &res.Entries[0], res.ServedBy, res.Group, nil
	}
	x.writes = true
	get := []api.Op{{Kind: api.OpGet, Key: x.key}}
	res, err := x.Store.Do(x.Ctx, &api.Txn{
		ID: alternativeID(id, maxAlternatives), If: []api.Cond{{Kind: api.CondVersion, Key: x.key, Version: newest}}, Then: get, Else: get,
	})
	if err != nil {
		return nil, api.ServedByOwner, "", err
	}
	return &res.Entries[0], api.ServedByOwner, res.Group, nil
}

// readConditions reads both headers of conditions.
func readConditions(h http.Header) (ifMatch, ifNoneMatch tags, err error) {
	if ifMatch, err = readTags(h, "If-Match"); err == nil {
		ifNoneMatch, err = readTags(h, "If-None-Match")
	}
	return ifMatch, ifNoneMatch, err
}

// alternativesOf returns the conditions of a write, but for versions that the key must not have. Each alternative is tried in turn until
// one holds. If there is none, no version can satisfy the request. Alternatives differ in the version only, oldest first: versions rise, so
// that a later one cannot make an earlier one true again.
func alternativesOf(ifMatch, ifNoneMatch tags, key api.Key) (alternatives [][]api.Cond, err error) {
	var always []api.Cond
	if ifNoneMatch.any {
		always = append(always, api.Cond{Kind: api.CondAbsent, Key: key})
	}
	if ifMatch.any {
		always = append(always, api.Cond{Kind: api.CondExists, Key: key})
	}
	if !ifMatch.given || ifMatch.any {
		return [][]api.Cond{always}, nil
	}
	versions := ifMatch.versions(false)
	if len(versions) > maxAlternatives {
		return nil, api.Errorf(api.CodeInvalid, "If-Match names %d versions; the most is %d", len(versions), maxAlternatives)
	}
	for _, v := range versions {
		conds := append([]api.Cond{{Kind: api.CondVersion, Key: key, Version: v}}, always...)
		alternatives = append(alternatives, conds)
	}
	return alternatives, nil
}
