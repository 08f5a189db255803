package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// app is what every command has: the process it runs in, and the settings of those that talk to a cluster.
type app struct {
	*terminal
	settings
}

// commands is the table of commands: the constructor of each. A new command is a file with its constructor and a row here.
var commands = []func(*app) *cobra.Command{
	newDev, newServer, newEdge,
	newKV, newTxn, newImport, newExport,
	newCluster, newPlacement,
	newBench, newVersion, newCompletion,
}

// run carries out one command line and returns the exit status.
func run(ctx context.Context, args []string, t *terminal) int {
	root := newRoot(t)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		_, _ = fmt.Fprintln(t.err, "edgehold: "+explain(err))
	}
	return exitStatus(err)
}

// newRoot returns the whole tree of commands.
func newRoot(t *terminal) *cobra.Command {
	a := &app{terminal: t}
	root := &cobra.Command{
		Use:   "edgehold",
		Short: "A globally consistent key-value store with leased reads at the edge",
		Long: `Edgehold keeps every key in one region and serves linearizable reads of it at every edge.

Start a whole planet on this machine with "edgehold dev", then use "edgehold kv".

Every setting is a flag, an environment variable EDGEHOLD_<FLAG> (--max-stale is EDGEHOLD_MAX_STALE) and a key of the
YAML file named by --config; the flag wins over the environment, the environment over the file.

Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 key not found or condition false, 4 outcome unknown.`,
		Version:           thisBuild().text(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              wantCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return settle(cmd, t.lookupEnv) },
	}
	root.SetVersionTemplate("{{.Version}}")
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%s: %v; see %s --help", cmd.CommandPath(), err, cmd.CommandPath())
	})
	a.addTo(root)
	for _, construct := range commands {
		root.AddCommand(construct(a))
	}
	return root
}

// newGroup is a command that only holds others.
func newGroup(name, short string, commands ...*cobra.Command) *cobra.Command {
	names := make([]string, 0, len(commands))
	for _, c := range commands {
		names = append(names, c.Name())
	}
	group := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  wantCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("%s: name what to do: %s", cmd.CommandPath(), strings.Join(names, ", "))
		},
	}
	group.AddCommand(commands...)
	return group
}

// wantCommand refuses arguments of a command that only holds others: they were meant to name one.
func wantCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("see %s --help", cmd.CommandPath())
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %q?", near[0])
	}
	return usagef("%s: unknown command %q; %s", cmd.CommandPath(), args[0], hint)
}

// wantArgs takes exactly the named arguments.
func wantArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s: %s is missing; usage: %s", cmd.CommandPath(), names[len(args)], cmd.UseLine())
		case len(args) > len(names):
			return usagef("%s: %q is one argument too many; usage: %s", cmd.CommandPath(), args[len(names)], cmd.UseLine())
		}
		return nil
	}
}

// wantFlags tells which of the named settings came neither by flag, nor environment, nor file.
func wantFlags(cmd *cobra.Command, names ...string) error {
	for _, n := range names {
		if f := cmd.Flags().Lookup(n); f.Value.String() == f.DefValue {
			return usagef("%s: --%s is needed; see %s --help", cmd.CommandPath(), n, cmd.CommandPath())
		}
	}
	return nil
}
