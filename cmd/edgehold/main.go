// Command edgehold is the one binary of Edgehold. It runs nodes (server, edge, and a whole planet with dev) and has the commands
// that talk to them over HTTP. Every setting is a flag, an environment variable EDGEHOLD_<FLAG> and a key of the --config file.
//
// Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 key not found or condition false, 4 outcome unknown.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/edgehold/edgehold/api"
)

// terminal is what a command uses of the process that it runs in.
type terminal struct {
	in        io.Reader
	out       io.Writer
	err       io.Writer
	lookupEnv func(string) (string, bool)
	outIsTTY  bool // out is a terminal: a printed value ends with a newline
	errIsTTY  bool // err is a terminal: long work shows a progress bar

	exit   func(status int) // ends the process at once
	failed sync.Once
}

// readAll returns the content of a file, or of the standard input if the name is "-". It reads at most limit bytes and fails with
// [api.CodeTooLarge] if there are more. what names the content in that error.
func (t *terminal) readAll(file, what string, limit int) ([]byte, error) {
	in := t.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, int64(limit)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", file, err)
	case len(b) > limit:
		return nil, api.Errorf(api.CodeTooLarge, "%s of at least %d bytes is over the limit of %d bytes", what, len(b), limit)
	}
	return b, nil
}

// nodeFailed prints err and ends the process, because a node in it has no state to continue with. It does not return.
func (t *terminal) nodeFailed(err error) {
	t.failed.Do(func() {
		_, _ = fmt.Fprintln(t.err, "edgehold: "+explain(asNodeError(err)))
		t.exit(exitFailed)
	})
}

// nodeRemoved prints err and ends the process, because the cluster has removed its node: a service manager is not to start it again.
// It does not return.
func (t *terminal) nodeRemoved(err error) {
	t.failed.Do(func() {
		_, _ = fmt.Fprintln(t.err, "edgehold: "+explain(asNodeError(err)))
		t.exit(exitRemoved)
	})
}

func main() {
	os.Exit(start())
}

// sameSignal is how long after a signal a second one counts as the same.
const sameSignal = 2 * time.Second

func start() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A later signal ends the process at once. One Ctrl-C may arrive twice, from the terminal and from the parent process.
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	return run(ctx, os.Args[1:], &terminal{
		in:        os.Stdin,
		out:       os.Stdout,
		err:       os.Stderr,
		lookupEnv: os.LookupEnv,
		outIsTTY:  term.IsTerminal(int(os.Stdout.Fd())),
		errIsTTY:  term.IsTerminal(int(os.Stderr.Fd())),
		exit:      os.Exit,
	})
}
