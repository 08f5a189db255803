package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cmd/edgehold/top"
)

func newTop(a *app) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show live what the cluster does: nodes, groups, rates, delays",
		Long: `Show live what the cluster does: nodes and groups, the reads by what served them, writes and revocations a second, who delays
writes, and what waits for an operator. The keys are q to quit, s to sort, and the arrows. A node that is down says so within
three seconds, with the age of what is known of it.

With --once, and if the output is no terminal, it prints all that once, after about a second. With -o json it prints each event
of GET /v1/cluster/live as a line. It needs the right observe.`,
		Example: `  edgehold top --addr https://us-east-1:7400,https://us-east-2:7400
  edgehold top --once`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.top(cmd.Context(), once) },
	}
	cmd.Flags().BoolVar(&once, "once", false, "print it once, and end")
	return cmd
}

// onceTimeout bounds how long --once waits for rates, which need two looks.
const onceTimeout = 5 * time.Second

func (a *app) top(ctx context.Context, once bool) error {
	if err := a.checkFormat(); err != nil {
		return err
	}
	transport, err := a.transport(1)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	token, file, err := a.credential(a.warn)
	if err != nil {
		return err
	}
	s := &top.Source{HTTP: &http.Client{Transport: transport}, Addrs: a.addrs, Token: tokenIn(token, file)}
	if a.data != "" {
		s.Addrs, s.Token = []string{socketURL}, tokenIn("", "")
	}
	in, out := a.console()
	switch {
	case a.json() && !once:
		return a.topLines(ctx, s)
	case once || a.json() || in == nil:
		return a.topOnce(ctx, s)
	}
	return a.topScreen(ctx, s, in, out)
}

// tokenIn returns a function that returns the token, or what the file has at that moment.
func tokenIn(token api.Secret, file string) func() (api.Secret, error) {
	return func() (api.Secret, error) {
		if file == "" {
			return token, nil
		}
		text, err := os.ReadFile(file)
		return api.Secret(strings.TrimSpace(string(text))), err
	}
}

// console returns the terminal that the process has; nil if it has none.
func (t *terminal) console() (in, out *os.File) {
	in, ok1 := t.in.(*os.File)
	out, ok2 := t.out.(*os.File)
	if !ok1 || !ok2 || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return nil, nil
	}
	return in, out
}

func (a *app) topOnce(ctx context.Context, s *top.Source) error {
	ctx, cancel := context.WithTimeout(ctx, min(a.timeout, onceTimeout))
	defer cancel()
	e, from, text, err := s.Once(ctx)
	if err != nil {
		return err
	}
	if a.json() {
		_, err = a.out.Write(append(text, '\n'))
		return err
	}
	v := top.View{Event: e, From: from}
	_, err = io.WriteString(a.out, v.Text())
	return err
}

// topLines prints each event as it comes, until the command is interrupted.
func (a *app) topLines(ctx context.Context, s *top.Source) error {
	err := s.Follow(ctx, func(u top.Update, text []byte) error {
		if u.Err == nil {
			_, err := a.out.Write(append(text, '\n'))
			return err
		}
		(&progress{t: a.terminal}).Warn(u.Err)
		return nil // it has been said, and the next node is asked
	})
	return interrupted(ctx, err)
}

func (a *app) topScreen(ctx context.Context, s *top.Source, in, out *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	updates, ended := make(chan top.Update), make(chan struct{})
	defer func() { <-ended }()
	defer cancel()
	go func() {
		defer close(ended)
		defer close(updates)
		tell := func(u top.Update) error {
			select {
			case updates <- u:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := s.Follow(ctx, func(u top.Update, _ []byte) error { return tell(u) }); err != nil {
			_ = tell(top.Update{Err: err}) // nobody looks any more if it has ended
		}
	}()
	_, plain := a.lookupEnv("NO_COLOR")
	return top.Terminal(ctx, in, out, !plain, updates)
}
