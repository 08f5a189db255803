package main

import (
	"encoding/json"
	"errors"

	"github.com/edgehold/edgehold/api"
)

// txnResult is what a transaction came to: the answer of the HTTP API beside the operations that ran.
type txnResult struct {
	Committed bool `json:"committed"`
	Results   []struct {
		record
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
