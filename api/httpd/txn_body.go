package httpd

import (
	"slices"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// parseTxn reads the body of POST /v1/txn, which may still be too large or make no sense as a transaction: the Store checks it.
// CodeInvalid and CodeTooLarge name the place, as then[2].put.
func parseTxn(body []byte) (*api.Txn, error) {
	p := txnParser{jsonReader: jsonReader{b: body}}
	p.skipMark()
	p.object(func(name string) {
		switch name {
		case "if":
			p.list(name, p.cond)
		case "then":
			p.list(name, func() { p.step(&p.t.Then) })
		case "else":
			p.list(name, func() { p.step(&p.t.Else) })
		case "age":
			p.age()
		default:
			p.unknown(name)
		}
	})
	p.end()
	switch {
	case p.err != nil:
		return nil, p.err
	case p.count == 0:
		return nil, api.Errorf(api.CodeInvalid, "the transaction is empty")
	case p.count > api.MaxTxnOps:
		return nil, api.Errorf(api.CodeTooLarge, "transaction of %d operations is over the limit of %d operations", p.count, api.MaxTxnOps)
	case p.size > api.MaxTxnBytes:
		return nil, api.Errorf(api.CodeTooLarge, "transaction of %d bytes is over the limit of %d bytes", p.size, api.MaxTxnBytes)
	}
	return &p.t, nil
}

// txnParser reads a transaction.
type txnParser struct {
	jsonReader
	t     api.Txn
	count int // of conditions and operations
	size  int // of their keys and values
}

// fits counts a condition or operation; one that is over the limits, or follows one that was, is not kept.
func (p *txnParser) fits(k api.Key, value []byte) bool {
	p.size += len(k) + len(value)
	return p.err == nil && p.count <= api.MaxTxnOps && p.size <= api.MaxTxnBytes
}

// list reads an array, whose elements are the places.
func (p *txnParser) list(name string, element func()) {
	p.place = name
	p.array(func(i int) {
		p.place = name + "[" + strconv.Itoa(i) + "]"
		p.count++
		element()
		p.place = name
	})
	p.place = ""
}

// age reads the time of the first attempt.
func (p *txnParser) age() {
	p.place = "age"
	n, err := strconv.ParseUint(p.integer(), 10, 64)
	if err != nil {
		p.fail("it is the time of the first attempt, in nanoseconds since 1970")
	}
	p.t.Age, p.place = n, ""
}

// condMembers are the members of a condition.
var condMembers = []string{"key", "key_base64", "value", "value_base64", "version", "exists"}

// cond reads a condition and keeps it while the transaction is within the limits.
func (p *txnParser) cond() {
	f := p.fields(condMembers...)
	c := api.Cond{Key: p.key(&f, "key")}
	switch {
	case p.err != nil:
		return
	case f.tests() != 1:
		p.fail("a condition tests one of version, exists, and value or value_base64")
		return
	case f.version != nil:
		c.Kind, c.Version = api.CondVersion, *f.version
	case f.exists == nil:
		c.Kind, c.Value = api.CondValue, p.value(&f)
	case *f.exists:
		c.Kind = api.CondExists
	default:
		c.Kind = api.CondAbsent
	}
	if p.fits(c.Key, c.Value) {
		p.t.If = append(p.t.If, c)
	}
}

// kinds are the operations by their names, and the members of each.
var kinds = map[string]struct {
	kind    api.OpKind
	members []string
}{
	"get":              {api.OpGet, []string{"key", "key_base64"}},
	"put":              {api.OpPut, []string{"key", "key_base64", "value", "value_base64", "ttl", "keep_ttl"}},
	"delete":           {api.OpDelete, []string{"key", "key_base64"}},
	"add":              {api.OpAdd, []string{"key", "key_base64", "delta"}},
	"append_if_absent": {api.OpAppendIfAbsent, []string{"key", "key_base64", "value", "value_base64", "ttl"}},
	"append":           {api.OpAppend, []string{"key", "key_base64", "value", "value_base64", "ttl", "keep_ttl"}},
	"sum64":            {api.OpSum64, []string{"key", "key_base64", "value", "value_base64", "ttl", "keep_ttl"}},
	"min64":            {api.OpMin64, []string{"key", "key_base64", "value", "value_base64", "ttl", "keep_ttl"}},
	"max64":            {api.OpMax64, []string{"key", "key_base64", "value", "value_base64", "ttl", "keep_ttl"}},
	"touch":            {api.OpTouch, []string{"key", "key_base64", "ttl"}},
	"list":             {api.OpList, []string{"prefix", "prefix_base64", "limit"}},
}

// step reads an operation, {"put":{...}}, and keeps it while the transaction is within the limits.
func (p *txnParser) step(steps *[]api.Op) {
	place, o := p.place, api.Op{}
	p.object(func(name string) {
		k, ok := kinds[name]
		switch {
		case !ok:
			p.fail("%.40q is none of put, delete, add, append, append_if_absent, sum64, min64, max64, touch, get, list", name)
			return
		case o.Kind != 0:
			p.fail("an operation has one name; write %q as the next one", name)
			return
		}
		p.place = place + "." + name
		o = p.operation(k.kind, k.members)
		p.place = place
	})
	if o.Kind == 0 {
		p.fail(`an operation is an object such as {"put":{"key":"k","value":"v"}}`)
	}
	if p.fits(o.Key, o.Value) {
		*steps = append(*steps, o)
	}
}

// operation reads what stands behind the operation's name.
func (p *txnParser) operation(kind api.OpKind, members []string) api.Op {
	f := p.fields(members...)
	o := api.Op{Kind: kind, Key: p.key(&f, members[0]), TTL: f.ttl, Limit: f.limit, KeepTTL: f.keepTTL}
	if o.HasValue() {
		o.Value = p.value(&f)
	}
	switch kind {
	case api.OpAdd:
		if f.delta == nil {
			p.fail("delta is missing")
			return o
		}
		o.Delta = *f.delta
	case api.OpTouch:
		if f.ttl == 0 {
			p.fail("ttl is missing")
		}
	case api.OpList:
		if o.Limit == 0 {
			o.Limit = api.DefaultListLimit
		}
	}
	return o
}

// field is a key or value in either form.
type field struct {
	bytes []byte
	given bool
}

// fields are the members of a condition or of an operation.
type fields struct {
	key, value field
	version    *api.Version
	exists     *bool
	delta      *int64
	ttl        time.Duration // 0: not given
	keepTTL    bool
	limit      int // 0: not given
}

// tests counts what a condition tests.
func (f *fields) tests() int {
	n := 0
	for _, given := range [3]bool{f.value.given, f.version != nil, f.exists != nil} {
		if given {
			n++
		}
	}
	return n
}

// fields reads an object of the named members.
func (p *txnParser) fields(members ...string) fields {
	var f fields
	p.object(func(name string) {
		switch {
		case slices.Contains(members, name):
			p.member(&f, name)
		default:
			p.unknown(name)
		}
	})
	return f
}

func (p *txnParser) member(f *fields, name string) {
	switch name {
	case "key", "prefix":
		p.set(&f.key, name, p.text())
	case "key_base64", "prefix_base64":
		p.set(&f.key, name, p.base64())
	case "value":
		p.set(&f.value, name, p.text())
	case "value_base64":
		p.set(&f.value, name, p.base64())
	case "version":
		text := string(p.text())
		v, err := api.ParseVersion(text)
		if err != nil || v.String() != text {
			p.fail("version %.60q is not of the form EPOCH.INDEX", text)
		}
		f.version = &v
	case "exists":
		b := p.boolean()
		f.exists = &b
	case "delta":
		n, err := strconv.ParseInt(p.integer(), 10, 64)
		if err != nil {
			p.fail("delta is not a decimal integer of 64 bits")
		}
		f.delta = &n
	case "ttl":
		var err error
		if f.ttl, err = parseTTL(string(p.text())); err != nil {
			p.refuse(err)
		}
	case "keep_ttl":
		f.keepTTL = p.boolean()
	case "limit":
		n, err := strconv.Atoi(p.integer())
		if err != nil || n < 1 || n > api.MaxListLimit {
			p.fail("limit is not a number from 1 to %d", api.MaxListLimit)
		}
		f.limit = n
	}
}

func (p *txnParser) set(f *field, name string, bytes []byte) {
	if f.given {
		p.fail("%s stands beside its other form", name)
	}
	f.bytes, f.given = bytes, true
}

// key is the key that must have been given, as the member name or in base64.
func (p *txnParser) key(f *fields, name string) api.Key {
	k := api.Key(f.key.bytes)
	if !f.key.given {
		p.fail("%s or %s_base64 is missing", name, name)
	} else {
		p.refuse(api.CheckKey(k))
	}
	return k
}

// value is the value that must have been given.
func (p *txnParser) value(f *fields) []byte {
	if !f.value.given {
		p.fail("value or value_base64 is missing")
	} else {
		p.refuse(api.CheckValue(f.value.bytes))
	}
	return f.value.bytes
}
