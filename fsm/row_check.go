package fsm

import (
	"errors"
	"fmt"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// checkRow returns an error unless a machine could have written the row.
func checkRow(k, v []byte) error {
	if len(k) == 0 {
		return errors.New("a row without a key")
	}
	r := codec.Reader{B: k[1:]}
	err := checkTable(k[0], &r, v)
	if r.Fault() != "" {
		err = fmt.Errorf("a key that cannot be: %s", r.Fault())
	}
	if err != nil {
		return fmt.Errorf("table %q: %w", k[0], err)
	}
	return nil
}

// checkTable reads the rest of the key from r, and the value.
func checkTable(table byte, r *codec.Reader, v []byte) error {
	switch table {
	case tableMeta:
		r.End()
		return check(v, readMeta)
	case tableHistory:
		last := r.Fixed64()
		r.End()
		return check(v, func(r *codec.Reader) []Event { return readEvents(last, r) })
	case tableKV:
		restKey(r)
		return check(v, readValue)
	case tableDue:
		if d := r.Fixed64(); d == 0 || d > 2*maxTime {
			r.Fail("a deadline that cannot be")
		}
		restKey(r)
		return empty(v)
	case tableTombstone:
		restKey(r)
		return check(v, (*codec.Reader).Version)
	case tableTrim:
		r.Fixed64()
		restKey(r)
		return empty(v)
	case tableFloor:
		r.Fixed64()
		r.Take(2)
		r.End()
		return check(v, (*codec.Reader).Uint)
	case tableLease:
		restKey(r)
		return check(v, readLeased)
	case tableHeld:
		r.Take(16)
		restKey(r)
		return empty(v)
	case tableSession:
		r.Take(16)
		r.End()
		return check(v, readSession)
	case tableEnded:
		r.Take(16)
		r.End()
		return check(v, readEnded)
	case tableRange:
		start := api.Key(r.Take(uint64(len(r.B))))
		return checkShard(v, start)
	case tableMoved:
		skipEscaped(r)
		r.Fixed64()
		r.End()
		return check(v, readLeft)
	case tableAnchor:
		skipEscaped(r)
		r.Take(16 + 8)
		r.End()
		return empty(v)
	case tableDedup:
		return checkDedup(r, v)
	case tableIntent:
		restKey(r)
		return check(v, readIntents)
	case tablePrepared, tableFinished, tableDecision, tableOwing:
		readAttempt(table, r)
		r.End()
		return checkAttempt(table, v)
	}
	return errors.New("no such table")
}

func check[T any](v []byte, read func(*codec.Reader) T) error {
	_, err := tryParse(v, read)
	return err
}

func empty(v []byte) error {
	if len(v) > 0 {
		return errors.New("a value where none belongs")
	}
	return nil
}

// restKey takes the rest of a row's key, which is one of the users' keys.
func restKey(r *codec.Reader) {
	if n := len(r.B); n == 0 || n > api.MaxKeyBytes {
		r.Fail("a key over its limit, or empty")
	}
	r.B = nil
}

func checkShard(v []byte, start api.Key) error {
	o, err := tryParse(v, func(r *codec.Reader) owned { return readOwned(start, r) })
	if err == nil {
		if bad := o.check(); bad != nil {
			return bad
		}
	}
	return err
}

func checkDedup(r *codec.Reader, v []byte) error {
	r.Take(16)
	if r.Fault() == "" && len(r.B) == 0 {
		return check(v, readClient)
	}
	r.Fixed64()
	r.End()
	return check(v, func(r *codec.Reader) (c Record) { readRecord(r, &c); return c })
}

func checkAttempt(table byte, v []byte) error {
	switch table {
	case tablePrepared:
		return check(v, readPrepared)
	case tableFinished:
		return check(v, readFinished)
	case tableDecision:
		return check(v, readDecision)
	}
	return check(v, readGroups)
}
