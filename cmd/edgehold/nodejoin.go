package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
)

// joinOptions say how a node comes into a cluster with TLS.
type joinOptions struct {
	token, tokenFile string
	secure           bool
	fromEnv          bool // the token was not given on the command line
}

func (o *nodeOptions) addJoinTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.join.token, "join-token", "", "join token by which this node joins a cluster with TLS: @FILE, - for the standard input, or the token itself, which other users of this machine can then see; EDGEHOLD_JOIN_TOKEN is better")
	f.StringVar(&o.join.tokenFile, "join-token-file", "", "`FILE` with the join token; the node waits for it")
	f.DurationVar(&o.JoinTimeout, "join-timeout", 0, "how long to try to join by the token; 0 is for ever")
	f.StringSliceVar(&o.Names, "names", nil, "further host names and addresses at which HTTPS clients reach this node; its certificate has them")
}

func (o *nodeOptions) addFoundTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.join.secure, "secure", false, "with --bootstrap: create the cluster with TLS; outside loopback it is so unless --insecure is given")
	f.StringVar(&o.Init, "init", "", "with --bootstrap: the `FOLDER` \"bootstrap\" that \"edgehold init\" has made")
}

// draw gives the node its name if --node ends with a plus sign.
func (o *nodeOptions) draw() error {
	base, plus := strings.CutSuffix(string(o.ID), "+")
	if !plus {
		return nil
	}
	if !nodeName.MatchString(base) || len(base) > cluster.MaxNameBytes-5 {
		return usagef("--node %q: before the plus sign stand up to %d letters, digits, dots, dashes and underscores", o.ID, cluster.MaxNameBytes-5)
	}
	var err error
	o.drawn = true
	o.ID, err = cluster.DrawName(o.Dir, base)
	return err
}

// checkJoin refuses settings that contradict each other.
func (o *nodeOptions) checkJoin() error {
	switch {
	case o.join.secure && o.insecure:
		return usagef("--secure and --insecure contradict each other")
	case o.Init != "" && o.insecure:
		return usagef("--init is for a cluster with TLS, and --insecure for one without")
	case (o.join.secure || o.Init != "") && !o.Bootstrap:
		return usagef("--secure and --init go with --bootstrap: nodes that join follow their cluster")
	case o.join.token != "" && o.join.tokenFile != "":
		return usagef("give one of --join-token and --join-token-file")
	case o.JoinTimeout < 0:
		return usagef("--join-timeout %v: choose a time, or 0 for ever", o.JoinTimeout)
	}
	return nil
}

// secured decides whether the node has TLS. Outside loopback a plain one is refused.
func (o *nodeOptions) secured(exposed bool) error {
	node, proves := cluster.Belongs(o.Dir)
	founds := o.Bootstrap && node == ""
	o.Secure = o.Bootstrap && (o.join.secure || o.Init != "" || exposed && !o.insecure)
	token := o.join.token != "" || o.join.tokenFile != ""
	switch {
	case exposed && !o.insecure && !proves && !founds && !token:
		setting, address := "--listen", o.listen
		if _, wide, _ := o.consulEndpoint(); wide {
			setting, address = "--consul-listen", o.consul
		}
		return fmt.Errorf("%s %s is outside loopback, where plain TCP lets anyone read and write: "+
			"give --join-token of a cluster with TLS, or --insecure on a private network that you trust", setting, address)
	case o.Role == api.RoleEdge && token && o.Dir == "" && !o.drawn:
		return usagef("an edge that joins by a token keeps its key in --data; without that, end --node with a plus sign, so that each start joins under a new name")
	}
	o.open = exposed && o.insecure && !proves && !token
	return nil
}

// tokenSource is where the node gets its join token when it needs one; nil if there is none.
func (o *nodeOptions) tokenSource(t *terminal) (func(context.Context) (string, error), error) {
	switch given := o.join.token; {
	case o.join.tokenFile != "":
		return func(ctx context.Context) (string, error) { return awaitSecret(ctx, o.join.tokenFile) }, nil
	case given == "":
		return nil, nil
	case given == "-":
		b, err := t.readAll("-", "the join token", 4096)
		if err != nil {
			return nil, err
		}
		return always(string(b)), nil
	case strings.HasPrefix(given, "@"):
		b, _, err := cluster.ReadSecret(given[1:])
		if err != nil {
			return nil, fmt.Errorf("--join-token: %w", plainError(err))
		}
		return always(string(b)), nil
	default:
		if !o.join.fromEnv {
			_, _ = fmt.Fprintln(t.err, "edgehold: other users of this machine can see the join token on the command line: give it as --join-token @FILE or by EDGEHOLD_JOIN_TOKEN")
		}
		return always(given), nil
	}
}

func always(text string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return text, nil }
}

// plainError is err in the words for people.
func plainError(err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok && e.Hint != "" {
		return errors.New(e.Hint)
	}
	return err
}

// awaitEvery is how often a file that does not exist yet is looked for.
const awaitEvery = 500 * time.Millisecond

// awaitSecret reads a file as soon as there is one with content.
func awaitSecret(ctx context.Context, path string) (string, error) {
	for {
		b, _, err := cluster.ReadSecret(path)
		switch {
		case err == nil && len(bytes.TrimSpace(b)) > 0:
			return string(b), nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("--join-token-file: %w", plainError(err))
		}
		select {
		case <-time.After(awaitEvery):
		case <-ctx.Done():
			return "", fmt.Errorf("--join-token-file %s does not exist: make it with \"edgehold cluster token create\"", path)
		}
	}
}

// refusals ends the node when a server of the cluster that has proved itself does not take it for good: that it was removed is true for
// ever, and that its key is another a server says by the newest map alone.
type refusals struct {
	node            api.NodeID
	removed, failed func(error)
}

func (r *refusals) note(s cluster.Standing) {
	switch s.Why {
	case "removed":
		r.removed(fmt.Errorf("node %s was removed from the cluster: to use this machine again, start a node under a new name with an empty --data", r.node))
	case "key":
		r.failed(fmt.Errorf("this node's key is not the one the cluster has for %s (an old image?): remove it, join under a new id", r.node))
	}
}
