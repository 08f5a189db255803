package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

func newTxn(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "txn FILE|-",
		Short: "Carry out a transaction over keys of any regions",
		Long: `Carry out a transaction, atomically, over keys of any regions, and print what each of its operations came to. FILE, or the
standard input, holds what POST /v1/txn takes:

  {"if":   [{"key":"eu-west/alice","version":"1.42"}],
   "then": [{"add":{"key":"eu-west/alice","delta":"-10"}},
            {"add":{"key":"us-east/bob","delta":"10"}}],
   "else": [{"get":{"key":"eu-west/alice"}}]}

Where all of if holds, or there is none, then is carried out, else else. A condition is "version", "exists" (true or false) or
"value" of a key; version "0.0" is that of a key that was never written. An operation is put, delete, add,
append_if_absent or get. key_base64 and value_base64 stand for bytes that are no text. Only gets, without if, are one snapshot.

It exits with 3 where if did not hold, also if else was carried out, and with 4 where the outcome is unknown.`,
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

// txnResult is what a transaction came to: the answer of the HTTP API beside the operations that ran.
type txnResult struct {
	Committed bool `json:"committed"`
	Results   []struct {
		record.Record
		Exists *bool `json:"exists"`
		Elided bool  `json:"elided"`
	} `json:"results"`
	Version  string `json:"version"`
	Replayed bool   `json:"replayed"`

	operations []string // the names of those of the branch that ran
	hasElse    bool
}

// parseTxnAnswer puts the answer beside the transaction.
func parseTxnAnswer(body, answer []byte) (*txnResult, error) {
	var r txnResult
	var asked struct {
		Then []map[string]json.RawMessage `json:"then"`
		Else []map[string]json.RawMessage `json:"else"`
	}
	if err := errors.Join(json.Unmarshal(answer, &r), json.Unmarshal(body, &asked)); err != nil {
		return nil, &api.Error{Code: api.CodeAmbiguous, Op: "txn", Hint: "the answer is not the JSON that it should be", Err: err}
	}
	branch := asked.Then
	if !r.Committed {
		branch = asked.Else
	}
	r.hasElse = len(asked.Else) > 0
	for _, o := range branch {
		for name := range o { // a node takes one with a single name only
			r.operations = append(r.operations, name)
		}
	}
	if len(r.operations) != len(r.Results) {
		return nil, api.Errorf(api.CodeAmbiguous, "the answer has %d results of %d operations", len(r.Results), len(r.operations))
	}
	return &r, nil
}

// String is a line that says whether it was committed, and a table of the operations that ran.
func (r *txnResult) String() string {
	head := "not committed: if did not hold"
	switch {
	case r.Committed && r.Version != "":
		head = "committed at version " + r.Version
	case r.Committed:
		head = "committed"
	case r.hasElse:
		head += ", else was carried out"
	}
	if r.Replayed {
		head += " (by an earlier attempt)"
	}
	if len(r.operations) == 0 {
		return head + "\n"
	}
	rows := table{{"OPERATION", "KEY", "VERSION", "VALUE"}}
	for i, one := range r.Results {
		row := []string{r.operations[i], readable(textOf(one.Key, one.KeyBase64)), one.Version}
		switch {
		case one.Exists != nil && !*one.Exists:
			row = append(row, "(absent)")
		case one.Elided:
			row = append(row, "(elided: read the key)")
		case one.Value != nil || one.ValueBase64 != nil:
			row = append(row, readable(shorten([]byte(textOf(one.Value, one.ValueBase64)))))
		}
		rows = append(rows, row)
	}
	return head + "\n" + rows.String()
}

// textOf is what stands as text or in base64.
func textOf(text *string, b64 []byte) string {
	if text != nil {
		return *text
	}
	return string(b64)
}

// outcome is an error where if did not hold.
func (r *txnResult) outcome() error {
	switch {
	case r.Committed:
		return nil
	case r.hasElse:
		return &api.Error{Code: api.CodePreconditionFailed, Op: "txn", Hint: "if did not hold, else was carried out"}
	}
	return &api.Error{Code: api.CodePreconditionFailed, Op: "txn", Hint: "if did not hold, nothing was written"}
}
