package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

type watchOptions struct {
	prefix, from   string
	list, keysOnly bool
}

func newKVWatch(a *app) *cobra.Command {
	o := &watchOptions{}
	cmd := &cobra.Command{
		Use:   "watch [PREFIX]",
		Short: "Print what changes, as it happens",
		Long: `Print each change of the keys that begin with PREFIX, one a line: put, delete or expire, the key, its version and its value. Keys
and values that do not fit a line are quoted, and long values are cut; -o json prints all of them, each with a cursor. A watch
with --from CURSOR prints what has changed since, and one with --from oldest all changes that the history has.

The watch begins now, unless --from or --list says otherwise. If a node fails, it goes on through the next one of --addr and misses
nothing. If the history does not reach back to where it was, it says that changes are missing. Ctrl-C ends it.`,
		Example: `  edgehold kv watch eu-west/
  edgehold kv watch config/ --list -o json
  edgehold kv watch config/color --from oldest`,
		Args:              takePrefix,
		ValidArgsFunction: a.completingKeys(),
		RunE:              func(cmd *cobra.Command, _ []string) error { return kvWatch(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.prefix, "prefix", "", "only keys that begin with this")
	f.StringVar(&o.from, "from", "", "go on behind this `CURSOR`, which a watch or a list gave, or begin with the oldest change that is kept: oldest")
	f.BoolVar(&o.list, "list", false, "print what there is first, and again after a gap")
	f.BoolVar(&o.keysOnly, "keys-only", false, "leave the values out")
	return cmd
}

func kvWatch(ctx context.Context, a *app, o *watchOptions) error {
	if o.list && o.from != "" {
		return usagef("--list and --from exclude each other")
	}
	var opts []client.WatchOption
	if o.keysOnly {
		opts = append(opts, client.WithoutValues())
	}
	return a.with(ctx, 1, func(c *client.Client) error {
		events := c.Watch(ctx, api.Key(o.prefix), api.Cursor(o.from), opts...)
		if o.list {
			events = c.Follow(ctx, api.Key(o.prefix), opts...)
		}
		p := watchPrinter{app: a, keysOnly: o.keysOnly}
		for ev, err := range events {
			if errors.Is(err, context.Canceled) && ctx.Err() != nil { // Ctrl-C
				p.interrupted()
				return nil
			}
			if err == nil {
				err = p.event(&ev)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// watchPrinter prints a watch: rows, or the data of the HTTP API with the cursors.
type watchPrinter struct {
	*app
	keysOnly bool
	cursor   api.Cursor // of the last event
}

// watchLine is an event in JSON: the data that the HTTP API sends, with the name and the id of the event.
type watchLine struct {
	Event string `json:"event"`
	record.Record
	Expired     bool          `json:"expired,omitempty"`
	Txn         string        `json:"txn,omitempty"`
	Elided      bool          `json:"elided,omitempty"`
	Start       *string       `json:"start,omitempty"`
	StartBase64 []byte        `json:"start_base64,omitempty"`
	End         *string       `json:"end,omitempty"`
	EndBase64   []byte        `json:"end_base64,omitempty"`
	Reason      api.GapReason `json:"reason,omitempty"`
	Age         float64       `json:"age,omitempty"`
	Cursor      api.Cursor    `json:"cursor,omitempty"`
}

func (p *watchPrinter) event(ev *client.Event) error {
	p.cursor = ev.Cursor
	if ev.Gap != nil {
		if _, err := fmt.Fprintf(p.err, "edgehold: changes of keys from %q to %q are missing (%s): list them again\n",
			string(ev.Gap.Range.Start), string(ev.Gap.Range.End), ev.Gap.Reason); err != nil {
			return err
		}
	}
	if p.json() {
		return printJSON(p.out, p.line(ev))
	}
	if ev.Kind == 0 {
		return nil
	}
	row := fmt.Sprintf("%v\t%s\t%v", ev.Kind, readable(string(ev.Key)), ev.Version)
	switch {
	case ev.Elided:
		row += "\t(a large value that has been replaced)"
	case ev.Kind == api.EventPut && !p.keysOnly:
		row += "\t" + readable(shorten(ev.Value))
	}
	_, err := fmt.Fprintln(p.out, row)
	return err
}

// line returns an event as the HTTP API sends it.
func (p *watchPrinter) line(ev *client.Event) watchLine {
	l := watchLine{Cursor: ev.Cursor}
	switch {
	case ev.Gap != nil:
		l.Event, l.Reason = "gap", ev.Gap.Reason
		l.Start, l.StartBase64 = record.Render([]byte(ev.Gap.Range.Start))
		l.End, l.EndBase64 = record.Render([]byte(ev.Gap.Range.End))
	case ev.Reset:
		l.Event = "reset"
	case ev.Ready:
		l.Event = "ready"
	case ev.Kind == 0:
		l.Event, l.Age = "progress", ev.Age.Seconds()
	default:
		l.Event = "put"
		if ev.Kind != api.EventPut {
			l.Event, l.Expired = "delete", ev.Kind == api.EventExpire
		}
		withoutValue := p.keysOnly || ev.Elided || ev.Kind != api.EventPut
		l.Record = record.Of(api.Entry{Key: ev.Key, Value: ev.Value, Version: ev.Version, TTL: ev.TTL}, withoutValue)
		l.Elided = ev.Elided
		if ev.Txn != 0 {
			l.Txn = fmt.Sprintf("%x", ev.Txn)
		}
	}
	return l
}

// interrupted says to a person how to go on.
func (p *watchPrinter) interrupted() {
	if p.errIsTTY && !p.json() && p.cursor != "" {
		_, _ = fmt.Fprintf(p.err, "\nto go on from here: --from %s\n", p.cursor)
	}
}
