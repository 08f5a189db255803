package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

type listOptions struct {
	prefix, start, end string
	limit              int
	reverse, keysOnly  bool
}

func newKVList(a *app) *cobra.Command {
	o := &listOptions{}
	cmd := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List keys in order, with their versions and values",
		Long: `List keys in order, one a line: the key, its version and its value. Keys and values that do not fit a line are quoted, and
long values are cut; -o json prints all of them. The keys are read page by page; the pages together are not a snapshot.`,
		Example: `  edgehold kv list eu-west/ --limit 20
  edgehold kv list --start a --end b --keys-only`,
		Args:              takePrefix,
		ValidArgsFunction: a.completingKeys(),
		RunE:              func(cmd *cobra.Command, _ []string) error { return kvList(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.prefix, "prefix", "", "only keys that begin with this")
	f.StringVar(&o.start, "start", "", "only keys from this one on")
	f.StringVar(&o.end, "end", "", "only keys before this one")
	f.IntVar(&o.limit, "limit", 0, "maximum number of keys; 0 lists all")
	f.BoolVar(&o.reverse, "reverse", false, "from the last key to the first")
	f.BoolVar(&o.keysOnly, "keys-only", false, "leave the values out, and in a table the versions")
	return cmd
}

// takePrefix accepts one argument, which is short for --prefix.
func takePrefix(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case len(args) > 1:
		return wantArgs("PREFIX")(cmd, args)
	case cmd.Flags().Changed("prefix"):
		return usagef("%s: the prefix is given twice, as %q and with --prefix", cmd.CommandPath(), args[0])
	}
	return cmd.Flags().Set("prefix", args[0])
}

// options returns the options of the SDK for the flags.
func (o *listOptions) options() ([]client.ListOption, error) {
	switch {
	case o.limit < 0:
		return nil, usagef("--limit %d: choose 0 (all) or more", o.limit)
	case o.prefix != "" && (o.start != "" || o.end != ""):
		return nil, usagef("--prefix excludes --start and --end")
	}
	opts := []client.ListOption{client.Limit(o.limit)}
	if o.start != "" || o.end != "" {
		opts = append(opts, client.Between(api.Key(o.start), api.Key(o.end)))
	}
	if o.reverse {
		opts = append(opts, client.Reverse())
	}
	if o.keysOnly {
		opts = append(opts, client.KeysOnly())
	}
	return opts, nil
}

func kvList(ctx context.Context, a *app, o *listOptions) error {
	opts, err := o.options()
	if err != nil {
		return err
	}
	return a.with(ctx, 1, func(c *client.Client) error {
		out := bufio.NewWriter(a.out)
		p := listPrinter{out: out, json: a.json(), keysOnly: o.keysOnly}
		for e, err := range c.List(ctx, api.Key(o.prefix), append(opts, client.CursorInto(&p.cursor))...) {
			if err == nil {
				err = p.entry(&e)
			}
			if err != nil {
				_ = out.Flush() // what was listed is printed; the error of the list matters more
				return err
			}
		}
		if err := p.end(); err != nil {
			return err
		}
		return out.Flush()
	})
}

// listPrinter writes a list: rows, or the body of the HTTP API with the entries of all pages.
type listPrinter struct {
	out            io.Writer
	json, keysOnly bool
	rows           int
	cursor         api.Cursor // from which a watch continues
}

func (p *listPrinter) entry(e *api.Entry) error {
	p.rows++
	if p.json {
		lead := ","
		if p.rows == 1 {
			lead = `{"entries":[`
		}
		if _, err := io.WriteString(p.out, lead); err != nil {
			return err
		}
		line, err := json.Marshal(record.Of(*e, p.keysOnly))
		if err == nil {
			_, err = p.out.Write(line)
		}
		return err
	}
	var err error
	if p.keysOnly {
		_, err = fmt.Fprintln(p.out, readable(string(e.Key)))
	} else {
		_, err = fmt.Fprintf(p.out, "%s\t%v\t%s\n", readable(string(e.Key)), e.Version, readable(shorten(e.Value)))
	}
	return err
}

// end closes the JSON that entry has opened.
func (p *listPrinter) end() error {
	if !p.json {
		return nil
	}
	tail := "]"
	if p.rows == 0 {
		tail = `{"entries":[]`
	}
	if p.cursor != "" {
		tail += `,"cursor":"` + string(p.cursor) + `"`
	}
	_, err := io.WriteString(p.out, tail+"}\n")
	return err
}
