package fsm

import (
	"errors"
	"fmt"

	"github.com/edgehold/edgehold/api"
)

// checkRow tells whether a row could have been written by a machine.
func checkRow(k, v []byte) error {
	if len(k) == 0 {
		return errors.New("a row without a key")
	}
	r := reader{b: k[1:]}
	err := checkTable(k[0], &r, v)
	if r.bad != "" {
		err = fmt.Errorf("a key that cannot be: %s", r.bad)
	}
	if err != nil {
		return fmt.Errorf("table %q: %w", k[0], err)
	}
	return nil
}

// checkTable reads the rest of the key from r, and the value.
func checkTable(table byte, r *reader, v []byte) error {
	switch table {
	case tableMeta:
		r.end()
		return check(v, readMeta)
	case tableKV:
		restKey(r)
		return check(v, readValue)
	case tableTombstone:
		restKey(r)
		return check(v, (*reader).version)
	case tableTrim:
		r.fixed64()
		restKey(r)
		return empty(v)
	case tableFloor:
		r.fixed64()
		r.take(2)
		r.end()
		return check(v, (*reader).uint)
	case tableLease:
		restKey(r)
		return check(v, readLeased)
	case tableHeld:
		r.take(16)
		restKey(r)
		return empty(v)
	case tableSession:
		r.take(16)
		r.end()
		return check(v, readSession)
	case tableEnded:
		r.take(16)
		r.end()
		return check(v, readEnded)
	case tableRange:
		start := api.Key(r.take(uint64(len(r.b))))
		return checkShard(v, start)
	case tableMoved:
		r.skipEscaped()
		r.fixed64()
		r.end()
		return check(v, readReceiptRow)
	case tableAnchor:
		r.skipEscaped()
		r.take(16 + 8)
		r.end()
		return empty(v)
	case tableDedup:
		return checkDedup(r, v)
	case tableIntent:
		restKey(r)
		return check(v, readIntents)
	case tablePrepared, tableFinished, tableDecision, tableOwing:
		readAttempt(table, r)
		r.end()
		return checkAttempt(table, v)
	}
	return errors.New("no such table")
}

func check[T any](v []byte, read func(*reader) T) error {
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
func restKey(r *reader) {
	if n := len(r.b); n == 0 || n > api.MaxKeyBytes {
		r.fail("a key over its limit, or empty")
	}
	r.b = nil
}

func checkShard(v []byte, start api.Key) error {
	o, err := tryParse(v, func(r *reader) owned { return readOwned(start, r) })
	if err == nil {
		if bad := o.check(); bad != nil {
			return bad
		}
	}
	return err
}

func checkDedup(r *reader, v []byte) error {
	r.take(16)
	if r.bad == "" && len(r.b) == 0 {
		return check(v, readClient)
	}
	r.fixed64()
	r.end()
	return check(v, func(r *reader) (c Record) { readRecord(r, &c); return c })
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
