package consul

import (
	"net/http"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

const (
	maxTxnOps = 128
	// maxTxnBytes bounds the body of a transaction: its values are in base64.
	maxTxnBytes = 12 << 20
)

// txnKV is an operation of a transaction as the protocol has it.
type txnKV struct {
	Verb    string
	Key     string
	Value   []byte
	Flags   uint64
	Index   uint64
	Session string
}

// parseTxn reads the body of a transaction.
func parseTxn(body []byte) ([]op, error) {
	var in []struct {
		KV                     *txnKV
		Node, Service, Check   any
		Session, Intention, DC any
	}
	if err := decode(body, &in); err != nil {
		return nil, refuse(http.StatusBadRequest, "Failed to parse body: %v", err)
	}
	if n := len(in); n > maxTxnOps {
		return nil, refuse(http.StatusRequestEntityTooLarge, "Transaction contains too many operations (%d > %d)", n, maxTxnOps)
	}
	ops := make([]op, 0, len(in))
	for i := range in {
		kv := in[i].KV
		switch {
		case kv == nil:
			return nil, refuse(http.StatusBadRequest, "Failed to parse body: operation %d is not on a key, and others are not served", i)
		case len(kv.Value) > maxValueBytes:
			return nil, refuse(http.StatusRequestEntityTooLarge, "Value for key %q is too large (%d > %d bytes)", short(kv.Key), len(kv.Value), maxValueBytes)
		case kv.Key == "" && kv.Verb != opGetTree && kv.Verb != opDeleteTree:
			return nil, refuse(http.StatusBadRequest, "Must provide key")
		case strings.ContainsRune(kv.Key, 0) || len(dataKey(kv.Key))+len(created) > api.MaxKeyBytes:
			return nil, refuse(http.StatusBadRequest, "A key has no zero byte here, and at most %d bytes", api.MaxKeyBytes-len(Prefix)-len(created))
		}
		if err := checkSessionID(kv.Session); err != nil {
			return nil, err
		}
		ops = append(ops, op{verb: kv.Verb, key: kv.Key, value: kv.Value, flags: kv.Flags, index: kv.Index, session: kv.Session})
	}
	return ops, nil
}

// txnError is why an operation of a transaction failed, as the protocol has it.
type txnError struct {
	OpIndex int
	What    string
}

// txnAnswer is the answer to a transaction.
type txnAnswer struct {
	Results []txnResult
	Errors  []txnError
}

type txnResult struct{ KV *pair }

// txn answers PUT /v1/txn. If an operation fails, the answer is 409 and nothing was done.
func (f *frontend) txn(q *request) error {
	body, err := q.exchange.Body(maxTxnBytes, "transaction")
	switch {
	case api.CodeOf(err) == api.CodeTooLarge:
		return refuse(http.StatusRequestEntityTooLarge, "Request body too large, max size: %d bytes", maxTxnBytes)
	case err != nil:
		return err
	}
	ops, err := parseTxn(body)
	if err == nil {
		err = f.mayTxn(q, ops)
	}
	if err != nil {
		return err
	}
	results, errs, err := f.run(q.exchange.Ctx, q.store, ops)
	if err != nil {
		return err
	}
	q.meta(&answer{})
	q.exchange.W.Header().Del("X-Consul-Index")
	if len(errs) > 0 {
		a := txnAnswer{}
		for _, e := range errs {
			a.Errors = append(a.Errors, txnError{e.at, e.what})
		}
		return q.reply(http.StatusConflict, a)
	}
	a := txnAnswer{Results: []txnResult{}}
	for _, p := range results {
		a.Results = append(a.Results, txnResult{p})
	}
	return q.reply(http.StatusOK, a)
}

// mayTxn checks the rights of all operations, also of those on trees.
func (f *frontend) mayTxn(q *request, ops []op) error {
	for i := range ops {
		o := &ops[i]
		if !o.tree() {
			continue
		}
		needs := []front.Right{front.Read}
		if o.deletes() {
			needs = append(needs, front.Write)
		}
		for _, r := range needs {
			if err := f.MayKey(q.exchange.Base, "txn", r, dataKey(o.key)); err != nil {
				return err
			}
		}
	}
	return f.may(q.exchange.Base, ops)
}
