package kvconnect

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

// maxTries bounds the attempts of a write whose functions meet keys of other encodings than they expected: each attempt that fails
// has learnt what the keys hold.
const maxTries = 8

// serveWrite answers an atomic_write: one transaction, whose version is that of all its keys.
func (s *server) serveWrite(x *door.Exchange, d database, body []byte) error {
	w, err := parseAtomicWrite(body)
	if err != nil {
		return err
	}
	if w.enqueues > 0 {
		return api.Errorf(api.CodeInvalid, "queues are not served over KV Connect")
	}
	checks, err := d.conditions(w.checks)
	if err != nil {
		return err
	}
	p, err := d.plan(w.mutations, time.Now())
	if err != nil {
		return err
	}
	if n := w.size(); n > maxWriteBytes {
		return api.Errorf(api.CodeTooLarge, "a write of %d bytes of keys and values is over the limit of %d bytes", n, maxWriteBytes)
	}
	if len(p.ops) > 0 {
		x.About(p.ops[0].Key)
	}
	for range maxTries {
		res, err := s.do(x, &api.Txn{If: append(slices.Clip(checks), p.conditions()...), Then: p.steps()})
		if err != nil {
			return p.explain(err)
		}
		if res.Committed {
			return reply(x, protobuf, encodeWritten(res.Version))
		}
		if failed := failedChecks(w.checks, checks, res.Entries); len(failed) > 0 {
			return reply(x, protobuf, encodeCheckFailure(failed))
		}
		if p.expect(res.Entries[len(checks):]) {
			continue
		}
		if err := p.learn(x.Ctx, x.Store); err != nil {
			return err
		}
	}
	return api.Errorf(api.CodeUnavailable, "other writes change the encoding of the keys again and again; nothing was written")
}

// do carries out a transaction under an id of its own, so that nodes may send it again.
func (s *server) do(x *door.Exchange, t *api.Txn) (*api.TxnResult, error) {
	id, finished := s.backend.Number()
	defer finished()
	t.ID = id
	return x.Store.Do(x.Ctx, t)
}

// size returns the bytes of all keys and values.
func (w *atomicWrite) size() (n int) {
	for i := range w.checks {
		n += len(w.checks[i].key)
	}
	for i := range w.mutations {
		n += len(w.mutations[i].key) + len(w.mutations[i].data)
	}
	return n
}

// conditions returns the checks as conditions, one each, and those that beside them make sure that a key with a version exists.
func (d database) conditions(checks []check) ([]api.Cond, error) {
	conds := make([]api.Cond, len(checks), 2*len(checks))
	for i := range checks {
		c := &checks[i]
		if err := checkRead(c.key); err != nil {
			return nil, err
		}
		conds[i] = api.Cond{Kind: api.CondAbsent, Key: d.data(c.key)}
		if len(c.stamp) == 0 {
			continue
		}
		if len(c.stamp) != stampBytes {
			return nil, api.Errorf(api.CodeInvalid, "a versionstamp has %d bytes; it has %d", len(c.stamp), stampBytes)
		}
		v, ok := versionOf(c.stamp)
		if !ok {
			v = noVersion
		}
		conds[i].Kind, conds[i].Version = api.CondVersion, v
		conds = append(conds, api.Cond{Kind: api.CondExists, Key: conds[i].Key}) // an absence has a version, too
	}
	return conds, nil
}

// noVersion is the version of nothing.
var noVersion = api.Version{Epoch: 1<<64 - 1, Index: 1<<64 - 1}

// failedChecks returns the indexes of the checks that do not hold for the entries, which are the states of their keys.
func failedChecks(checks []check, conds []api.Cond, entries []api.Entry) (failed []int) {
	for i := range checks {
		e := &entries[i]
		holds := !e.Exists
		if conds[i].Kind == api.CondVersion {
			holds = e.Exists && e.Version == conds[i].Version
		}
		if !holds {
			failed = append(failed, i)
		}
	}
	return failed
}
