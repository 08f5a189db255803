package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

func newTxn(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "txn FILE|-",
		Short: "Execute a transaction over keys of any regions",
		Long: `Execute a transaction over keys of any regions atomically, and print the result of each operation. FILE, or the standard
input, has the body of POST /v1/txn:

  {"if":   [{"key":"eu-west/alice","version":"1.42"}],
   "then": [{"add":{"key":"eu-west/alice","delta":"-10"}},
            {"add":{"key":"us-east/bob","delta":"10"}}],
   "else": [{"get":{"key":"eu-west/alice"}}]}

If all conditions of "if" hold, or there are none, the operations of "then" are executed, otherwise those of "else". A
condition is "version", "exists" (true or false) or "value" of a key; the version of a key that was never written is "0.0".
An operation is put, delete, add, append, append_if_absent, sum64, min64, max64, touch, get or list:
{"touch":{"key":"k","ttl":"30s"}} raises the time that a key has to live, which "ttl" of a put sets and "keep_ttl":true keeps,
and {"list":{"prefix":"p/","limit":10}} lists keys. key_base64 and value_base64 hold bytes that are not UTF-8. A transaction
of gets alone, without "if", reads one snapshot.

The exit status is 3 if a condition is false, even if "else" was executed, and 4 if the outcome is unknown.`,
		Example: `  edgehold txn transfer.json
  echo '{"then":[{"get":{"key":"eu-west/a"}},{"get":{"key":"us-east/b"}}]}' | edgehold txn -`,
		Args: wantArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return runTxn(cmd.Context(), a, args[0]) },
	}
}

func runTxn(ctx context.Context, a *app, file string) error {
	body, err := a.readAll(file, "transaction", api.MaxTxnBodyBytes)
	if err != nil {
		return err
	}
	body = bytes.TrimPrefix(body, []byte(record.ByteOrderMark))
	return a.with(ctx, 1, func(c *client.Client) error {
		answer, err := c.SendTxn(ctx, body)
		if err != nil {
			return err
		}
		r, err := parseTxnAnswer(body, answer)
		if err != nil {
			return err
		}
		if !a.json() {
			answer = []byte(r.String())
		}
		if _, err := a.out.Write(answer); err != nil {
			return err
		}
		return r.outcome()
	})
}

// txnResult is the answer of the HTTP API to a transaction, and the operations that were executed.
type txnResult struct {
	Committed bool       `json:"committed"`
	Results   []opResult `json:"results"`
	Version   string     `json:"version"`
	Replayed  bool       `json:"replayed"`

	operations []string // the names of the operations of the branch that was executed
	hasElse    bool
}

// opResult is the result of one operation.
type opResult struct {
	record.Record
	Exists       *bool           `json:"exists"`
	Elided       bool            `json:"elided"`
	Prefix       *string         `json:"prefix"` // of a list, with its entries
	PrefixBase64 []byte          `json:"prefix_base64"`
	Entries      []record.Record `json:"entries"`
}

// parseTxnAnswer reads the answer to the transaction of body. Its errors are [api.CodeAmbiguous]: a node has answered, so that the
// transaction may have been applied.
func parseTxnAnswer(body, answer []byte) (*txnResult, error) {
	var r txnResult
	var asked struct {
		Then []map[string]json.RawMessage `json:"then"`
		Else []map[string]json.RawMessage `json:"else"`
	}
	if err := errors.Join(json.Unmarshal(answer, &r), json.Unmarshal(body, &asked)); err != nil {
		return nil, &api.Error{Code: api.CodeAmbiguous, Op: "txn", Hint: "the answer is not valid JSON", Err: err}
	}
	branch := asked.Then
	if !r.Committed {
		branch = asked.Else
	}
	r.hasElse = len(asked.Else) > 0
	for _, o := range branch {
		for name := range o { // a node accepts an operation with a single name only
			r.operations = append(r.operations, name)
		}
	}
	if len(r.operations) != len(r.Results) {
		return nil, api.Errorf(api.CodeAmbiguous, "the answer has %d results for %d operations", len(r.Results), len(r.operations))
	}
	return &r, nil
}

// String returns a line that says whether the transaction was committed, and a table of the operations that were executed.
func (r *txnResult) String() string {
	head := "not committed: a condition is false"
	switch {
	case r.Committed && r.Version != "":
		head = "committed at version " + r.Version
	case r.Committed:
		head = "committed"
	case r.hasElse:
		head += ", else was executed"
	}
	if r.Replayed {
		head += " (by an earlier attempt)"
	}
	if len(r.operations) == 0 {
		return head + "\n"
	}
	rows := table{{"OPERATION", "KEY", "VERSION", "VALUE"}}
	for i, one := range r.Results {
		rows = append(rows, one.rows(r.operations[i])...)
	}
	return head + "\n" + rows.String()
}

// rows returns the rows of the result of the operation: one, and one for each key of a list.
func (r *opResult) rows(operation string) [][]string {
	if operation == "list" {
		rows := [][]string{{operation, readable(textOf(r.Prefix, r.PrefixBase64)), "", fmt.Sprintf("%d keys", len(r.Entries))}}
		if r.Elided {
			rows[0][3] = "(elided: list again)"
		}
		for _, e := range r.Entries {
			rows = append(rows, []string{"", readable(textOf(e.Key, e.KeyBase64)), e.Version})
		}
		return rows
	}
	row := []string{operation, readable(textOf(r.Key, r.KeyBase64)), r.Version}
	switch {
	case r.Exists != nil && !*r.Exists:
		row = append(row, "(absent)")
	case r.Elided:
		row = append(row, "(elided: read the key)")
	case r.Value != nil || r.ValueBase64 != nil:
		row = append(row, readable(shorten([]byte(textOf(r.Value, r.ValueBase64)))))
	case r.TTL != "":
		row = append(row, "(expires in "+r.TTL+")")
	}
	return [][]string{row}
}

// textOf returns a field, which is either text or base64.
func textOf(text *string, b64 []byte) string {
	if text != nil {
		return *text
	}
	return string(b64)
}

// outcome returns [api.CodePreconditionFailed] if a condition is false.
func (r *txnResult) outcome() error {
	switch {
	case r.Committed:
		return nil
	case r.hasElse:
		return &api.Error{Code: api.CodePreconditionFailed, Op: "txn", Hint: "a condition is false, else was executed"}
	}
	return &api.Error{Code: api.CodePreconditionFailed, Op: "txn", Hint: "a condition is false, nothing was written"}
}
