package main

import (
	"bytes"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

func newKVGet(t *terminal, s *settings) *cobra.Command {
	var consistency string
	var maxStale time.Duration
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Print the value of a key",
		Long: `Print the value of a key: its bytes as they are, and on a terminal a newline where the value ends without one.

With -o json it prints an object of key, value and version. It exits with 3 where the key is absent.`,
		Example: `  edgehold kv get eu-west/hello
  edgehold kv get eu-west/hello --max-stale 5s`,
		Args: wantArgs("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := keyArg(cmd, args[0])
			if err != nil {
				return err
			}
			how, err := readOption(consistency, cmd.Flags().Changed("consistency"), maxStale)
			if err != nil {
				return err
			}
			return kvGet(cmd.Context(), t, s, key, how)
		},
	}
	cmd.Flags().StringVar(&consistency, "consistency", "linearizable", "linearizable, quorum (always asks the owner), bounded (see --max-stale) or stale")
	cmd.Flags().DurationVar(&maxStale, "max-stale", 0, "how old the value may be; by itself it asks for bounded")
	completeWith(cmd, "consistency", "linearizable", "quorum", "bounded", "stale")
	return cmd
}

// readOption is what the two flags ask for.
func readOption(consistency string, chosen bool, maxStale time.Duration) (client.ReadOption, error) {
	if maxStale < 0 {
		return nil, usagef("--max-stale %v: choose a time above 0", maxStale)
	}
	if maxStale > 0 && (!chosen || consistency == "bounded") {
		return client.MaxStale(maxStale), nil
	}
	if maxStale > 0 {
		return nil, usagef("--max-stale goes with --consistency bounded, not %s", consistency)
	}
	switch consistency {
	case "linearizable":
		return client.WithConsistency(api.Linearizable), nil
	case "quorum":
		return client.Quorum(), nil
	case "stale":
		return client.Stale(), nil
	case "bounded":
		return nil, usagef("--consistency bounded: say how old the value may be, with --max-stale")
	}
	return nil, usagef("--consistency %q: choose linearizable, quorum, bounded or stale", consistency)
}

func kvGet(ctx context.Context, t *terminal, s *settings, key api.Key, how client.ReadOption) error {
	c, err := s.open(ctx, 1)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	v, err := c.Get(ctx, key, how)
	if err != nil {
		return err
	}
	if asJSON, err := s.json(); err != nil || asJSON {
		return printJSON(t.out, err, newRecord(api.Entry{Key: key, Value: v.Value, Version: v.Version}, false))
	}
	if t.outIsTTY && !bytes.HasSuffix(v.Value, []byte("\n")) {
		v.Value = append(bytes.Clone(v.Value), '\n')
	}
	_, err = t.out.Write(v.Value)
	return err
}
