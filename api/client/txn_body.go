package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

// txnBody is a transaction as POST /v1/txn takes it. A node reads it as the same transaction that a stream carries, so that a
// repetition under the same id may use either form.
type txnBody struct {
	If   []condBody `json:"if,omitempty"`
	Then []stepBody `json:"then,omitempty"`
	Else []stepBody `json:"else,omitempty"`
	Age  string     `json:"age,omitempty"`
}

// pairBody is a key and possibly a value. Each is text if it is UTF-8 and short in JSON, and otherwise in base64.
type pairBody struct {
	Key      *string `json:"key,omitempty"`
	KeyB64   []byte  `json:"key_base64,omitempty"`
	Value    *string `json:"value,omitempty"`
	ValueB64 []byte  `json:"value_base64,omitempty"`
}

type condBody struct {
	pairBody
	Version string `json:"version,omitempty"`
	Exists  *bool  `json:"exists,omitempty"`
}

// stepBody is an operation under its name.
type stepBody map[string]stepArgs

type stepArgs struct {
	pairBody
	Delta     string  `json:"delta,omitempty"`
	TTL       string  `json:"ttl,omitempty"`
	KeepTTL   bool    `json:"keep_ttl,omitempty"`
	Prefix    *string `json:"prefix,omitempty"`
	PrefixB64 []byte  `json:"prefix_base64,omitempty"`
	Limit     int     `json:"limit,omitempty"`
}

var stepNames = map[api.OpKind]string{
	api.OpGet: "get", api.OpPut: "put", api.OpDelete: "delete", api.OpAdd: "add", api.OpAppendIfAbsent: "append_if_absent",
	api.OpTouch: "touch", api.OpList: "list", api.OpAppend: "append", api.OpSum64: "sum64", api.OpMin64: "min64", api.OpMax64: "max64",
}

func textOrBytes(b string) (*string, []byte) {
	if utf8.ValidString(b) && !strings.ContainsFunc(b, isControl) {
		return &b, nil
	}
	return nil, []byte(b)
}

// isControl reports whether r takes six bytes in JSON instead of one.
func isControl(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }

func pairOf(k api.Key, value []byte, hasValue bool) (p pairBody) {
	p.Key, p.KeyB64 = textOrBytes(string(k))
	if hasValue {
		p.Value, p.ValueB64 = textOrBytes(string(value))
	}
	return p
}

// renderTxn returns t in JSON.
func renderTxn(t *api.Txn) []byte {
	body := txnBody{Then: stepsOf(t.Then), Else: stepsOf(t.Else)}
	for i := range t.If {
		body.If = append(body.If, condOf(&t.If[i]))
	}
	if t.Age != 0 {
		body.Age = strconv.FormatUint(t.Age, 10)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic(err) // it consists of text and bytes
	}
	return b.Bytes()
}

func condOf(c *api.Cond) condBody {
	out := condBody{pairBody: pairOf(c.Key, c.Value, c.Kind == api.CondValue)}
	switch c.Kind {
	case api.CondVersion:
		out.Version = c.Version.String()
	case api.CondExists, api.CondAbsent:
		exists := c.Kind == api.CondExists
		out.Exists = &exists
	}
	return out
}

func stepsOf(steps []api.Op) []stepBody {
	var out []stepBody
	for i := range steps {
		o := &steps[i]
		args := stepArgs{pairBody: pairOf(o.Key, o.Value, o.HasValue()), KeepTTL: o.KeepTTL}
		switch o.Kind {
		case api.OpAdd:
			args.Delta = strconv.FormatInt(o.Delta, 10)
		case api.OpList:
			args.Prefix, args.PrefixB64 = args.Key, args.KeyB64
			args.pairBody, args.Limit = pairBody{}, o.Limit
		}
		if o.TTL != 0 {
			args.TTL = o.TTL.String()
		}
		out = append(out, stepBody{stepNames[o.Kind]: args})
	}
	return out
}

// parseTxnAnswer parses a node's answer to t. If the conditions did not hold and t has no Else, the result has no entries.
func parseTxnAnswer(t *api.Txn, body []byte) (*api.TxnResult, error) {
	var in struct {
		Committed *bool        `json:"committed"`
		Results   []resultBody `json:"results"`
		Version   string       `json:"version"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	if in.Committed == nil {
		return nil, fmt.Errorf("committed is missing")
	}
	res, branch := &api.TxnResult{Committed: *in.Committed}, t.Then
	if !res.Committed {
		branch = t.Else
	}
	if len(in.Results) != len(branch) {
		return nil, fmt.Errorf("%d results of %d operations", len(in.Results), len(branch))
	}
	var err error
	if in.Version != "" {
		if res.Version, err = api.ParseVersion(in.Version); err != nil {
			return nil, err
		}
	}
	for i := range in.Results {
		if err := in.Results[i].addTo(res, &branch[i]); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// resultBody is the result of one operation.
type resultBody struct {
	pairBody
	Version string      `json:"version"`
	Exists  *bool       `json:"exists"`
	Elided  bool        `json:"elided"`
	TTL     string      `json:"ttl"`
	Entries []entryBody `json:"entries"`
}

// addTo adds the result of the step to res.
func (r *resultBody) addTo(res *api.TxnResult, o *api.Op) (err error) {
	if o.Kind == api.OpList {
		res.Entries = append(res.Entries, api.Entry{Key: o.Key})
		if r.Elided {
			return nil
		}
		list, err := entriesOf(r.Entries)
		res.Lists = append(res.Lists, list)
		return err
	}
	e := api.Entry{Key: o.Key, Value: textBytes(r.Value, r.ValueB64), Exists: o.Kind != api.OpDelete, Elided: r.Elided}
	if r.Exists != nil {
		e.Exists = *r.Exists
	}
	if e.Version, err = api.ParseVersion(r.Version); err != nil {
		return err
	}
	e.TTL, err = parseTTL(r.TTL)
	res.Entries = append(res.Entries, e)
	return err
}
