package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

func newKV(a *app) *cobra.Command {
	return newGroup("kv", "Read and write single keys, list them, and watch them", newKVGet(a), newKVPut(a), newKVDel(a), newKVList(a), newKVWatch(a))
}

// keyArg returns the key of an argument.
func keyArg(cmd *cobra.Command, text string) (api.Key, error) {
	if text == "" {
		return "", usagef("%s: the key is empty; a key has 1 to %d bytes", cmd.CommandPath(), api.MaxKeyBytes)
	}
	return api.Key(text), nil
}

// versionArg returns the version that a flag gives, unless it is "".
func versionArg(flag, text string) (v api.Version, given bool, err error) {
	if text == "" {
		return api.Version{}, false, nil
	}
	if v, err = api.ParseVersion(text); err != nil {
		return v, false, usagef("--%s: %s", flag, api.AsError(err).Hint)
	}
	return v, true, nil
}

func newKVGet(a *app) *cobra.Command {
	var consistency string
	var maxStale time.Duration
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Print the value of a key",
		Long: `Print the value of a key as it is. On a terminal, a newline follows a value that does not end with one.

With -o json it prints an object with key, value and version, and with the ttl that is left if the key expires. The exit status is 3 if the key is absent.`,
		Example: `  edgehold kv get eu-west/hello
  edgehold kv get eu-west/hello --max-stale 5s`,
		Args:              wantArgs("KEY"),
		ValidArgsFunction: a.completingKeys(),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := keyArg(cmd, args[0])
			if err != nil {
				return err
			}
			how, err := readOption(consistency, cmd.Flags().Changed("consistency"), maxStale)
			if err != nil {
				return err
			}
			return kvGet(cmd.Context(), a, key, how)
		},
	}
	cmd.Flags().StringVar(&consistency, "consistency", "linearizable", "linearizable, quorum (always asks the owner), bounded (see --max-stale) or stale")
	cmd.Flags().DurationVar(&maxStale, "max-stale", 0, "maximum age of the value; implies --consistency bounded")
	completeWith(cmd, "consistency", "linearizable", "quorum", "bounded", "stale")
	return cmd
}

// readOption returns what --consistency and --max-stale ask for. chosen reports whether --consistency is given.
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
		return nil, usagef("--consistency bounded: give the maximum age of the value with --max-stale")
	}
	return nil, usagef("--consistency %q: choose linearizable, quorum, bounded or stale", consistency)
}

func kvGet(ctx context.Context, a *app, key api.Key, how client.ReadOption) error {
	return a.with(ctx, 1, func(c *client.Client) error {
		v, err := c.Get(ctx, key, how)
		if err != nil {
			return err
		}
		text := string(v.Value)
		if a.outIsTTY && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return a.show(a.out, record.Of(api.Entry{Key: key, Value: v.Value, Version: v.Version, TTL: v.TTL}, false), text)
	})
}

type putOptions struct {
	file      string
	ifVersion string
	ifAbsent  bool
	ttl       time.Duration
}

func newKVPut(a *app) *cobra.Command {
	o := &putOptions{}
	cmd := &cobra.Command{
		Use:   "put KEY VALUE|-",
		Short: "Write the value of a key",
		Long: `Write the value of a key and print its new version. A VALUE of - is read from the standard input; with --file the value
is the content of a file. Put -- before a VALUE that begins with a dash. With --ttl the key expires after that time;
without it, it does not, even if it would have before.

The exit status is 3 if a condition is false, and 4 if the outcome is unknown.`,
		Example: `  edgehold kv put eu-west/hello world
  edgehold kv put eu-west/photo --file photo.jpg
  edgehold kv put eu-west/session alice --ttl 30m
  date | edgehold kv put eu-west/now - --if-version 1.42`,
		ValidArgsFunction: a.completingKeys(),
		RunE:              func(cmd *cobra.Command, args []string) error { return kvPut(cmd, a, o, args) },
	}
	cmd.Flags().StringVar(&o.file, "file", "", "read the value from `FILE`")
	cmd.Flags().StringVar(&o.ifVersion, "if-version", "", "write only if the key is at this `VERSION`")
	cmd.Flags().BoolVar(&o.ifAbsent, "if-absent", false, "write only if the key is absent")
	cmd.Flags().DurationVar(&o.ttl, "ttl", 0, "the key expires after this time, 100ms to 87600h")
	return cmd
}

func kvPut(cmd *cobra.Command, a *app, o *putOptions, args []string) error {
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
	opts, err := o.conditions()
	if err != nil {
		return err
	}
	if cmd.Flags().Changed("ttl") {
		if err := api.CheckTTL(o.ttl); err != nil {
			return usagef("--ttl: %s", api.AsError(err).Hint)
		}
		opts = append(opts, client.TTL(o.ttl))
	}
	value, err := o.value(a, args[1:])
	if err != nil {
		return err
	}
	return write(cmd.Context(), a, key, func(ctx context.Context, c *client.Client) (api.Version, error) {
		return c.Put(ctx, key, value, opts...)
	})
}

// write executes one write within --timeout and prints the new version: alone on a line, for scripts, or as the HTTP API does.
func write(ctx context.Context, a *app, key api.Key, do func(context.Context, *client.Client) (api.Version, error)) error {
	return a.with(ctx, 1, func(c *client.Client) error {
		v, err := do(ctx, c)
		if err != nil {
			return err
		}
		return a.show(a.out, record.Of(api.Entry{Key: key, Version: v}, true), v.String()+"\n")
	})
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

// value returns the value to write, from the argument, the standard input or a file.
func (o *putOptions) value(a *app, args []string) ([]byte, error) {
	switch {
	case len(args) == 0:
		v, err := a.readAll(o.file, "value", api.MaxValueBytes)
		if err != nil {
			err = fmt.Errorf("--file: %w", err)
		}
		return v, err
	case args[0] == "-":
		return a.readAll("-", "value", api.MaxValueBytes)
	}
	return []byte(args[0]), nil
}

func newKVDel(a *app) *cobra.Command {
	o := &putOptions{}
	cmd := &cobra.Command{
		Use:   "del KEY",
		Short: "Delete a key",
		Long: `Delete a key and print the version of the delete. Deleting an absent key is not an error.

The exit status is 3 if the condition is false, and 4 if the outcome is unknown.`,
		Example:           `  edgehold kv del eu-west/hello`,
		Args:              wantArgs("KEY"),
		ValidArgsFunction: a.completingKeys(),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := keyArg(cmd, args[0])
			if err != nil {
				return err
			}
			conds, err := o.conditions()
			if err != nil {
				return err
			}
			return write(cmd.Context(), a, key, func(ctx context.Context, c *client.Client) (api.Version, error) {
				return c.Delete(ctx, key, conds...)
			})
		},
	}
	cmd.Flags().StringVar(&o.ifVersion, "if-version", "", "delete only if the key is at this `VERSION`")
	return cmd
}
