package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/transfer"
)

// importTimeout is the default of --timeout for an import: it bounds the retries of one record. An import outlasts a change of
// leader.
const importTimeout = time.Minute

func newImport(a *app) *cobra.Command {
	cfg := transfer.ImportConfig{}
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Put every record of a file of JSON Lines",
		Long: `Put every record of a file of JSON Lines, or of the standard input (-).

Each line is an object with "key" and "value"; bytes that are not UTF-8 are in "key_base64" and "value_base64". A "version",
as export writes it, is ignored. Records of the same key are put in the order of the file, others in parallel.

An interrupted import continues when the command is run again. Until the import is complete, FILE.progress says how many
lines are acknowledged, by which cluster, and has a hash of them. The import is refused before anything is put if the cluster
is another one or if one of these lines has changed: remove FILE.progress to import FILE from the beginning. Later lines may
change: correct a record that was refused and run the command again. Putting a record twice does no harm.

A record that is refused is reported with its line number, and the import continues, for up to 100 of them. It stops after
that, and if the cluster does not answer for a minute (or --timeout). The exit status is 0 only if every record was put, 4 if
the import stopped at a record whose outcome is unknown, and 1 otherwise.

At the end it prints how many lines it read, and how many records were put and failed. With --verify it then reads FILE
again and reads every record back from the owner of its key. The exit status is 1 if a key does not have the value of its
last record.`,
		Example: `  edgehold import packages.jsonl
  edgehold import packages.jsonl --verify
  edgehold export --prefix eu-west/ | edgehold import - --addr http://other:7400`,
		Args: wantArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("timeout") {
				a.timeout = importTimeout
			}
			cfg.File = args[0]
			return runImport(cmd.Context(), a, cfg)
		},
	}
	cmd.Flags().IntVar(&cfg.Concurrency, "concurrency", 0, "records in flight; 0 chooses from 256 to 2048")
	cmd.Flags().StringVar(&cfg.State, "resume", "", "state `FILE` of an interrupted import (default: the input with .progress added)")
	cmd.Flags().BoolVar(&cfg.Verify, "verify", false, "read every record back at the end and compare")
	return cmd
}

func runImport(ctx context.Context, a *app, cfg transfer.ImportConfig) error {
	switch {
	case cfg.Concurrency < 0 || cfg.Concurrency > transfer.MaxConcurrency:
		return usagef("--concurrency %d: choose 1 to %d, or 0", cfg.Concurrency, transfer.MaxConcurrency)
	case cfg.Verify && cfg.File == "-":
		return usagef("--verify reads the input a second time: name a file instead of -")
	}
	cfg.Stdin, cfg.Progress = a.in, &progress{t: a.terminal}
	return a.with(ctx, cmp.Or(cfg.Concurrency, transfer.MaxWindow), func(c *client.Client) error {
		cfg.Client = c
		result, err := transfer.Import(ctx, cfg)
		switch {
		case errors.Is(err, context.Canceled):
			err = errors.New("import: interrupted: run the same command again to continue")
		case err != nil:
			err = fmt.Errorf("import: %w", err)
		}
		if result == nil {
			return err
		}
		return errors.Join(err, a.showResult(a.out, result))
	})
}

func newExport(a *app) *cobra.Command {
	cfg := transfer.ExportConfig{}
	var prefix, consistency string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write every key and value as JSON Lines, in key order",
		Long: `Write every key, value and version as JSON Lines, in key order, to the standard output or to --output FILE. import reads
them. Bytes that are not UTF-8 are in key_base64 and value_base64.

The keys are read page by page; the export is not a snapshot. With --consistency stale any replica may answer, even one of a
group that has lost its majority; the export then prints how old the oldest page may be. With --resume an interrupted export
to a file continues after the last complete line of the file. Until the export is complete, FILE.export names its cluster. If
the records go to the standard output, the counts at the end go to the standard error.`,
		Example: `  edgehold export --prefix eu-west/ > eu-west.jsonl
  edgehold export --output all.jsonl --resume`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Prefix, cfg.Stale = api.Key(prefix), consistency == "stale"
			if !cfg.Stale && consistency != "linearizable" {
				return usagef("--consistency %q: choose linearizable or stale", consistency)
			}
			return runExport(cmd.Context(), a, cfg)
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "only keys with this prefix")
	cmd.Flags().StringVar(&cfg.File, "output", "", "write to `FILE` instead of the standard output")
	cmd.Flags().StringVar(&consistency, "consistency", "linearizable", "linearizable, or stale (from any replica, even without a majority)")
	completeWith(cmd, "consistency", "linearizable", "stale")
	cmd.Flags().BoolVar(&cfg.Resume, "resume", false, "continue an interrupted export to --output")
	return cmd
}

func runExport(ctx context.Context, a *app, cfg transfer.ExportConfig) error {
	if cfg.Resume && cfg.File == "" {
		return usagef("--resume needs --output FILE")
	}
	cfg.Out, cfg.Progress = a.out, &progress{t: a.terminal}
	return a.with(ctx, 1, func(c *client.Client) error {
		cfg.Client = c
		result, err := transfer.Export(ctx, cfg)
		if err != nil {
			return err
		}
		if cfg.File == "" {
			return a.showResult(a.err, result)
		}
		return a.showResult(a.out, result)
	})
}

// showResult prints what an import or an export has done.
func (a *app) showResult(w io.Writer, r *transfer.Result) error {
	text := fmt.Sprintf("%d records, %d bytes in %.1f s: %.0f records/s", r.Records, r.Bytes, r.Seconds, r.RecordsPerSecond)
	if r.SkippedLines > 0 {
		text += fmt.Sprintf("; %d lines were done before", r.SkippedLines)
	}
	if r.OldestSeconds > 0 {
		text += fmt.Sprintf("; from replicas, up to %.1f s old", r.OldestSeconds)
	}
	if r.Failed > 0 {
		text += fmt.Sprintf("; %d failed", r.Failed)
	}
	if r.Verified != nil {
		text += fmt.Sprintf("; %d read back, %d keys are different", *r.Verified, *r.Different)
	}
	return a.show(w, r, text+"\n")
}
