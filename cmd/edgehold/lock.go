package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

type lockOptions struct {
	ttl, wait time.Duration
	owner     string
}

const (
	// killAfter is how long a command whose lock is lost has between SIGTERM and SIGKILL.
	killAfter = 5 * time.Second
	// unlockTimeout bounds the release of the lock after the command.
	unlockTimeout = 5 * time.Second
)

func newLock(a *app) *cobra.Command {
	o := &lockOptions{}
	cmd := &cobra.Command{
		Use:   "lock NAME -- COMMAND [ARG...]",
		Short: "Run a command while holding a lock",
		Long: `Take the lock NAME, run COMMAND and give the lock back. The lock is renewed meanwhile. Locks are given in the order in which they
were asked for. If this process dies, the lock is free after --ttl.

COMMAND has the fence of the lock in EDGEHOLD_FENCE, a number that is greater than that of every earlier holder. If the lock
is lost, because no node answers for too long, COMMAND gets SIGTERM, and SIGKILL after 5 s. Signals are passed on to it.

The exit status is that of COMMAND, 1 if the lock was lost, and 3 if it was not given within --wait.`,
		Example: `  edgehold lock jobs/nightly -- ./nightly.sh
  edgehold lock jobs/nightly --wait 0s --owner "$HOSTNAME" -- ./nightly.sh`,
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); dash != 1 || len(args) < 2 {
				return usagef("%s: write the name of the lock, -- and a command; usage: %s", cmd.CommandPath(), cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runLock(cmd, a, o, args[0], args[1:]) },
	}
	f := cmd.Flags()
	f.DurationVar(&o.ttl, "ttl", 15*time.Second, "the lock is free so long after this process has died, 100ms to 87600h")
	f.DurationVar(&o.wait, "wait", 0, "wait so long if the lock is held; 0s tries once; without it there is no limit")
	f.StringVar(&o.owner, "owner", "", "the name that others see as the holder of the lock; the default is the name of this machine and the process")
	return cmd
}

// options returns the options of the SDK for the flags.
func (o *lockOptions) options(cmd *cobra.Command) ([]client.LockOption, error) {
	if err := api.CheckTTL(o.ttl); err != nil {
		return nil, usagef("--ttl: %s", api.AsError(err).Hint)
	}
	owner := o.owner
	if owner == "" {
		host, _ := os.Hostname() // a machine without a name is one too
		owner = fmt.Sprintf("%s, process %d", host, os.Getpid())
	}
	opts := []client.LockOption{client.LockOwner(owner)}
	if cmd.Flags().Changed("wait") {
		if o.wait < 0 {
			return nil, usagef("--wait %v: choose 0s or more", o.wait)
		}
		opts = append(opts, client.LockWait(o.wait))
	}
	return opts, nil
}

// notGiven is the failure to get a lock in time.
type notGiven struct{ error }

func (e notGiven) Unwrap() error { return e.error }

// commandExit is the exit status of a command that was run, if it is not 0. It is no error of this one.
type commandExit struct{ status int }

func (e commandExit) Error() string {
	return fmt.Sprintf("the command exited with status %d", e.status)
}

func runLock(cmd *cobra.Command, a *app, o *lockOptions, name string, command []string) error {
	opts, err := o.options(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	return a.with(ctx, 1, func(c *client.Client) error {
		l, err := c.Lock(ctx, name, o.ttl, opts...)
		if err != nil {
			if api.CodeOf(err) == api.CodeConflict {
				return notGiven{err}
			}
			return err
		}
		err = runHeld(a, l, command, killAfter)
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
		defer cancel()
		if unlocked := l.Unlock(bounded); err == nil && unlocked != nil && api.CodeOf(unlocked) != api.CodePreconditionFailed {
			_, _ = fmt.Fprintf(a.err, "edgehold: %s; the lock is free after %v\n", explain(unlocked), o.ttl)
		}
		return err
	})
}

// runHeld runs the command until it ends, or until the lock is lost and the command has ended of that: of SIGTERM, or of SIGKILL after
// killAfter.
func runHeld(a *app, l *client.Lock, command []string, killAfter time.Duration) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	run := exec.CommandContext(context.Background(), command[0], command[1:]...)
	run.Stdin, run.Stdout, run.Stderr = a.in, a.out, a.err
	run.WaitDelay = time.Second // for what keeps the output open after the command has ended
	run.Env = append(os.Environ(), "EDGEHOLD_FENCE="+strconv.FormatUint(l.Fence, 10))
	if err := run.Start(); err != nil {
		return fmt.Errorf("the command cannot be started: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	lost, kill := l.Lost(), (<-chan time.Time)(nil)
	for {
		select {
		case err := <-ended:
			if lost == nil || isClosed(lost) { // it may have ended without the lock, before it got the signal
				return errors.New("the lock was lost before the command had ended")
			}
			return statusOf(err)
		case s := <-signals:
			if s == syscall.SIGINT && a.errIsTTY {
				continue // the terminal has sent it to the command too
			}
			_ = run.Process.Signal(s) // it may have ended
		case <-lost:
			lost = nil
			_ = run.Process.Signal(syscall.SIGTERM)
			kill = time.After(killAfter)
		case <-kill:
			_ = run.Process.Kill()
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// statusOf returns how a command ended: nil, its exit status, or 128 and the number of the signal that ended it.
func statusOf(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return commandExit{128 + int(status.Signal())}
	}
	return commandExit{exit.ExitCode()}
}
