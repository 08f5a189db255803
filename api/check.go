package api

import "slices"

// sortKeys sorts ks in place and removes duplicates.
func sortKeys(ks []Key) []Key {
	slices.Sort(ks)
	return slices.Compact(ks)
}

// Check returns nil if the request is valid and within the limits. Otherwise it returns CodeInvalid or CodeTooLarge.
func (r *ReadRequest) Check() error {
	if len(r.Keys) == 0 {
		return &Error{Code: CodeInvalid, Op: "read", Hint: "no key was named"}
	}
	if len(r.Keys) > MaxReadKeys {
		return Errorf(CodeTooLarge, "read of %d keys is over the limit of %d keys", len(r.Keys), MaxReadKeys)
	}
	if len(r.Known) != 0 && len(r.Known) != len(r.Keys) {
		return &Error{Code: CodeInvalid, Op: "read", Hint: "known versions must be one for each key"}
	}
	if r.Consistency > Stale || r.MaxStale < 0 {
		return &Error{Code: CodeInvalid, Op: "read", Hint: "unknown consistency or negative max_stale"}
	}
	if r.Snapshot && r.Consistency > Quorum {
		return &Error{Code: CodeInvalid, Op: "read", Hint: "a snapshot is linearizable; it goes with no weaker consistency"}
	}
	for _, k := range r.Keys {
		if err := CheckKey(k); err != nil {
			return err
		}
	}
	return nil
}

// Check returns nil if the request is valid and within the limits. Otherwise it returns CodeInvalid or CodeTooLarge. It sets no
// defaults.
func (r *ListRequest) Check() error {
	if n := len(r.Also); n > MaxListParts {
		return Errorf(CodeTooLarge, "list of %d further ranges is over the limit of %d ranges", n, MaxListParts)
	} else if n > 0 && r.Range.End != "" && r.Range.End <= r.Range.Start {
		return &Error{Code: CodeInvalid, Op: "list", Hint: "the first of several ranges has no keys: its end is not above its start"}
	}
	for i := range r.Also {
		if err := checkList(r.Also[i].Range, r.Also[i].Limit); err != nil {
			return err
		}
	}
	if r.Consistency > Stale || r.MaxStale < 0 {
		return &Error{Code: CodeInvalid, Op: "list", Hint: "unknown consistency, or a negative staleness"}
	}
	return checkList(r.Range, r.Limit)
}

func checkList(r Range, limit int) error {
	if limit < 0 {
		return &Error{Code: CodeInvalid, Op: "list", Hint: "the limit is negative"}
	}
	if limit > MaxListLimit {
		return Errorf(CodeTooLarge, "list of %d entries is over the limit of %d entries", limit, MaxListLimit)
	}
	if n := max(len(r.Start), len(r.End)); n > MaxKeyBytes {
		return Errorf(CodeTooLarge, "bound of a list of %d bytes is over the limit of %d bytes", n, MaxKeyBytes)
	}
	return nil
}

// Check returns nil if the request is valid and within the limits. Otherwise it returns CodeInvalid or CodeTooLarge. It does not
// look into the cursor.
func (r *WatchRequest) Check() error {
	invalid := func(hint string) error { return &Error{Code: CodeInvalid, Op: "watch", Hint: hint} }
	switch n := max(len(r.Range.Start), len(r.Range.End)); {
	case n > MaxKeyBytes:
		return Errorf(CodeTooLarge, "bound of a watch of %d bytes is over the limit of %d bytes", n, MaxKeyBytes)
	case r.Range.End != "" && r.Range.Start >= r.Range.End:
		return invalid("the range has no keys: its end is not above its start")
	case r.List && r.From != "":
		return invalid("a watch that lists first does not continue from a cursor: choose one")
	case len(r.From) > MaxCursorBytes:
		return Errorf(CodeInvalid, "the cursor has %d bytes, and none has more than %d: it is not one of a list or a watch", len(r.From), MaxCursorBytes)
	}
	return nil
}

// Check returns nil if the transaction is valid and within the limits, and a client may use its id. Otherwise it returns
// CodeInvalid or CodeTooLarge.
func (t *Txn) Check() error {
	if err := t.ID.Check(); err != nil {
		return err
	}
	return t.CheckSteps()
}

// CheckSteps is like Check but does not check the id.
func (t *Txn) CheckSteps() error {
	if n := len(t.If) + len(t.Then) + len(t.Else); n > MaxTxnOps {
		return Errorf(CodeTooLarge, "transaction of %d operations is over the limit of %d operations", n, MaxTxnOps)
	} else if n == 0 {
		return &Error{Code: CodeInvalid, Op: "txn", Hint: "the transaction is empty"}
	}
	for _, c := range t.If {
		if c.Kind < CondVersion || c.Kind > CondValue {
			return &Error{Code: CodeInvalid, Op: "txn", Key: c.Key, Hint: "unknown kind of condition"}
		}
		if err := checkPair(c.Key, c.Value); err != nil {
			return err
		}
	}
	for _, branch := range [2][]Op{t.Then, t.Else} {
		for i := range branch {
			o := &branch[i]
			if err := o.check(); err != nil {
				return err
			}
			if err := checkPair(o.Key, o.Value); err != nil {
				return err
			}
		}
	}
	if size := t.Size(); size > MaxTxnBytes {
		return Errorf(CodeTooLarge, "transaction of %d bytes is over the limit of %d bytes", size, MaxTxnBytes)
	}
	return nil
}

// check returns what is wrong with the kind of the step and with what goes with the kind.
func (o *Op) check() error {
	wrong := func(format string, args ...any) error {
		e := Errorf(CodeInvalid, format, args...)
		e.Op, e.Key = "txn", o.Key
		return e
	}
	switch {
	case o.Kind < OpGet || o.Kind > OpMax64:
		return wrong("unknown kind of operation")
	case o.TTL != 0 && !o.Expires():
		return wrong("a get, delete, add or list has no ttl")
	case o.KeepTTL && !o.mayKeepTTL():
		return wrong("only put, append, sum64, min64 and max64 have keep_ttl")
	case o.KeepTTL && o.TTL != 0:
		return wrong("a step has a ttl or keep_ttl, not both")
	case o.Kind >= OpSum64 && o.Kind <= OpMax64 && len(o.Value) != 8:
		return wrong("the value has %d bytes, and sum64, min64 and max64 need an integer of 8 bytes, little endian", len(o.Value))
	case o.Kind == OpTouch && o.TTL == 0:
		return wrong("touch needs a ttl")
	case o.TTL != 0 && CheckTTL(o.TTL) != nil:
		return wrong("%s", AsError(CheckTTL(o.TTL)).Hint)
	case o.Kind == OpList && (o.Limit < 1 || o.Limit > MaxListLimit):
		return wrong("the limit of a list is %d, and must be from 1 to %d", o.Limit, MaxListLimit)
	case o.Kind != OpList && o.Limit != 0:
		return wrong("only list has a limit")
	}
	return nil
}

// Size returns the number of bytes that count against [MaxTxnBytes]: those of all keys and values.
func (t *Txn) Size() int {
	n := 0
	for i := range t.If {
		n += len(t.If[i].Key) + len(t.If[i].Value)
	}
	for _, branch := range [2][]Op{t.Then, t.Else} {
		for i := range branch {
			n += len(branch[i].Key) + len(branch[i].Value)
		}
	}
	return n
}

func checkPair(k Key, v []byte) error {
	if err := CheckKey(k); err != nil {
		return err
	}
	if err := CheckValue(v); err != nil {
		e := AsError(err)
		e.Key = k
		return e
	}
	return nil
}
