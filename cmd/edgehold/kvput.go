package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

type putOptions struct {
	file      string
	ifVersion string
	ifAbsent  bool
}

func newKVPut(t *terminal, s *settings) *cobra.Command {
	o := &putOptions{}
	cmd := &cobra.Command{
		Use:   "put KEY VALUE|-",
		Short: "Write the value of a key",
		Long: `Write the value of a key and print the version that this made. A VALUE of - is read from the standard input; with
--file the value is a file's content. Put -- before a VALUE that begins with a dash.

It exits with 3 where a condition did not hold, and with 4 where the outcome is unknown.`,
		Example: `  edgehold kv put eu-west/hello world
  edgehold kv put eu-west/photo --file photo.jpg
  date | edgehold kv put eu-west/now - --if-version 1.42`,
		RunE: func(cmd *cobra.Command, args []string) error { return kvPut(cmd, t, s, o, args) },
	}
	cmd.Flags().StringVar(&o.file, "file", "", "read the value from `FILE`")
	cmd.Flags().StringVar(&o.ifVersion, "if-version", "", "write only if the key is at this `VERSION`")
	cmd.Flags().BoolVar(&o.ifAbsent, "if-absent", false, "write only if the key is absent")
	return cmd
}

func kvPut(cmd *cobra.Command, t *terminal, s *settings, o *putOptions, args []string) error {
	names := []string{"KEY", "VALUE"}
	if o.file != "" {
		names = names[:1]
	}
	if err := wantArgs(names...)(cmd, args); err != nil {
		return err
	}
	key, err := keyArg(cmd, args[0])
	if err != nil {
		return err
	}
	conds, err := o.conditions()
	if err != nil {
		return err
	}
	value, err := o.value(t, args[1:])
	if err != nil {
		return err
	}
	return write(cmd.Context(), t, s, key, func(ctx context.Context, c *client.Client) (api.Version, error) {
		return c.Put(ctx, key, value, conds...)
	})
}

// write carries out one write within --timeout and prints its version.
func write(ctx context.Context, t *terminal, s *settings, key api.Key, do func(context.Context, *client.Client) (api.Version, error)) error {
	c, err := s.open(ctx, 1)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	v, err := do(ctx, c)
	if err != nil {
		return err
	}
	return printWrite(t, s, key, v)
}

func (o *putOptions) conditions() ([]client.WriteOption, error) {
	v, given, err := versionArg("if-version", o.ifVersion)
	switch {
	case err != nil:
		return nil, err
	case given && o.ifAbsent:
		return nil, usagef("--if-version and --if-absent exclude each other")
	case given:
		return []client.WriteOption{client.IfVersion(v)}, nil
	case o.ifAbsent:
		return []client.WriteOption{client.IfAbsent()}, nil
	}
	return nil, nil
}

// value is the value to write: an argument, the standard input or a file, never read beyond the limit.
func (o *putOptions) value(t *terminal, args []string) ([]byte, error) {
	switch {
	case len(args) == 1 && args[0] == "-":
		return readValue(t.in)
	case len(args) == 1:
		return []byte(args[0]), nil
	}
	f, err := os.Open(o.file)
	if err != nil {
		return nil, fmt.Errorf("--file: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	return readValue(f)
}

func readValue(r io.Reader) ([]byte, error) {
	v, err := io.ReadAll(io.LimitReader(r, api.MaxValueBytes+1))
	if err == nil && len(v) > api.MaxValueBytes {
		err = api.Errorf(api.CodeTooLarge, "value of at least %d bytes is over the limit of %d bytes", len(v), api.MaxValueBytes)
	}
	return v, err
}
