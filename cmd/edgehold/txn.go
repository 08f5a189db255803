package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
)

func newTxn(t *terminal, s *settings) *cobra.Command {
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
		RunE: func(cmd *cobra.Command, args []string) error { return runTxn(cmd, t, s, args[0]) },
	}
}

func runTxn(cmd *cobra.Command, t *terminal, s *settings, file string) error {
	asJSON, err := s.json()
	if err != nil {
		return err
	}
	body, err := readTxn(t, file)
	if err != nil {
		return err
	}
	c, err := s.open(cmd.Context(), 1)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	answer, err := c.SendTxn(cmd.Context(), body)
	if err != nil {
		return err
	}
	r, err := parseTxnAnswer(body, answer)
	if err != nil {
		return err
	}
	if !asJSON {
		answer = []byte(r.String())
	}
	if _, err := t.out.Write(answer); err != nil {
		return err
	}
	return r.outcome()
}

// readTxn is the content of the file, or of the standard input, never read beyond the limit.
func readTxn(t *terminal, file string) ([]byte, error) {
	in := t.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, api.MaxTxnBodyBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if len(b) > api.MaxTxnBodyBytes {
		return nil, api.Errorf(api.CodeTooLarge, "transaction of at least %d bytes of JSON is over the limit of %d bytes", len(b), api.MaxTxnBodyBytes)
	}
	return bytes.TrimPrefix(b, []byte(byteOrderMark)), nil
}
