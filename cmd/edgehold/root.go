package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// app is what every command is built from: the process that it runs in, and the settings of the commands that talk to a cluster.
type app struct {
	*terminal
	settings
}

// commands is the table of commands. A new command is one file, with its constructor, and one row.
var commands = []func(*app) *cobra.Command{
	newDev, newServer, newEdge, newInit,
	newKV, newTxn, newLock, newImport, newExport,
	newCluster, newPlacement, newAccess,
	newDoctor, newDebug, newTop, newBench, newVersion, newCompletion,
}

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string, t *terminal) int {
	root := newRoot(t)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if _, own := errors.AsType[commandExit](err); err != nil && !own {
		_, _ = fmt.Fprintln(t.err, "edgehold: "+explain(err))
	}
	return exitStatus(err)
}

// newRoot returns the root of the tree of commands.
func newRoot(t *terminal) *cobra.Command {
	a := &app{terminal: t, settings: settings{warn: t.err}}
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
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			warnOfLiteral(cmd)
			return settle(cmd, t.lookupEnv)
		},
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

// newGroup returns a command that only groups others.
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
			return usagef("%s: a command is missing; choose one of: %s", cmd.CommandPath(), strings.Join(names, ", "))
		},
	}
	group.AddCommand(commands...)
	return group
}

// wantCommand refuses the arguments of a command that only groups others. The first one was meant as the name of a command.
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

// wantArgs accepts exactly the named arguments.
func wantArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s: %s is missing; usage: %s", cmd.CommandPath(), names[len(args)], cmd.UseLine())
		case len(args) > len(names):
			return usagef("%s: unexpected argument %q; usage: %s", cmd.CommandPath(), args[len(names)], cmd.UseLine())
		}
		return nil
	}
}

// wantFlags returns an error for the first of the named settings that no flag, environment variable or file gives.
func wantFlags(cmd *cobra.Command, names ...string) error {
	for _, n := range names {
		if f := cmd.Flags().Lookup(n); f.Value.String() == f.DefValue {
			return usagef("%s: --%s is required; see %s --help", cmd.CommandPath(), n, cmd.CommandPath())
		}
	}
	return nil
}
