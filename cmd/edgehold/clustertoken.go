package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

func newClusterToken(a *app) *cobra.Command {
	return newGroup("token", "Make, list and revoke join tokens, by which new nodes come into the cluster",
		newTokenCreate(a), newTokenList(a), newTokenRevoke(a))
}

func newTokenCreate(a *app) *cobra.Command {
	var spec api.JoinTokenSpec
	var uses string
	cmd := &cobra.Command{
		Use:   "create --role server|edge",
		Short: "Make a join token and print it; it is never shown again",
		Long: `Make a join token and print it. It is a secret, and it is never shown again: give it to the new node by --join-token @FILE,
--join-token-file or EDGEHOLD_JOIN_TOKEN. It also names the cluster, so that the new node sends it to no other.

With --for NODE the token is for a node that the cluster knows and that has lost its key: it gets a new one, and a holder
of the old one is that node no more.`,
		Example: `  edgehold cluster token create --role server --region eu-west --data /var/lib/edgehold
  edgehold cluster token create --role edge --uses unlimited --ttl 24h --ephemeral --names '*.example.com'
  edgehold cluster token create --for us-east-2`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if spec.Uses, err = parseUses(uses); err != nil {
				return err
			}
			if err := checkTokenSpec(spec); err != nil {
				return err
			}
			return tokenCreate(cmd.Context(), a, spec)
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&spec.Role), "role", "", "role of the new nodes: server or edge")
	f.StringVar((*string)(&spec.Region), "region", "", "the only region in which they may join (default: any)")
	f.DurationVar(&spec.TTL, "ttl", time.Hour, "how long the token lives; 0 is for ever")
	f.StringVar(&uses, "uses", "1", "how many nodes may join: a number, or unlimited")
	f.StringSliceVar(&spec.Policies, "policy", nil, "policies whose prefixes an edge serves (default: every key)")
	f.StringSliceVar(&spec.Names, "names", nil, "patterns of the host names under which an edge may serve clients, such as *.example.com")
	f.BoolVar(&spec.Ephemeral, "ephemeral", false, "edges are removed from the cluster when they have stopped")
	f.StringVar((*string)(&spec.For), "for", "", "known `NODE` that has lost its key")
	completeWith(cmd, "role", "server", "edge")
	return cmd
}

// parseUses reads the value of --uses.
func parseUses(text string) (int64, error) {
	if text == "unlimited" {
		return api.UnlimitedUses, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, usagef("--uses %q: give a number from 1, or unlimited", text)
	}
	return n, nil
}

// checkTokenSpec refuses what makes no sense before anything is asked.
func checkTokenSpec(s api.JoinTokenSpec) error {
	switch {
	case s.For == "" && s.Role == "":
		return usagef("give --role server or --role edge, or --for NODE for a node that the cluster knows")
	case s.Role != "" && s.Role != api.RoleServer && s.Role != api.RoleEdge:
		return usagef("--role %q: choose server or edge", s.Role)
	case s.TTL < 0:
		return usagef("--ttl %v: choose a time, or 0 for ever", s.TTL)
	case s.Role == api.RoleServer && (len(s.Policies) > 0 || len(s.Names) > 0 || s.Ephemeral):
		return usagef("--policy, --names and --ephemeral are for edges")
	}
	return nil
}

func tokenCreate(ctx context.Context, a *app, spec api.JoinTokenSpec) error {
	return a.with(ctx, 1, func(c *client.Client) error {
		made, err := c.CreateJoinToken(ctx, spec)
		if err != nil {
			return err
		}
		if made.Expires.IsZero() {
			_, _ = fmt.Fprintf(a.err, "edgehold: this join token never ends; revoke it with \"edgehold cluster token revoke %s\" when it has served\n", made.ID)
		}
		return a.show(a.out, made, made.Token+"\n")
	})
}

func newTokenList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the join tokens, without their secrets",
		Args:  wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return a.with(ctx, 1, func(c *client.Client) error {
				tokens, err := c.JoinTokens(ctx)
				if err != nil {
					return err
				}
				if tokens == nil {
					tokens = []api.JoinToken{}
				}
				return a.show(a.out, struct {
					Tokens []api.JoinToken `json:"tokens"`
				}{tokens}, tokenTable(tokens, time.Now()).String())
			})
		},
	}
}

func tokenTable(tokens []api.JoinToken, now time.Time) table {
	t := table{{"ID", "ROLE", "REGION", "USES", "ENDS", "FOR", "BY"}}
	for _, k := range tokens {
		uses := strconv.FormatInt(k.Uses, 10)
		if k.Uses == api.UnlimitedUses {
			uses = "unlimited"
		}
		t = append(t, []string{k.ID, string(k.Role), cmp.Or(string(k.Region), "any"), uses, tokenEnd(k.Expires, now), cmp.Or(string(k.For), "-"), cmp.Or(k.By, "-")})
	}
	return t
}

// tokenEnd says when a token ends.
func tokenEnd(end, now time.Time) string {
	switch {
	case end.IsZero():
		return "never"
	case !now.Before(end):
		return "ended"
	}
	return "in " + strings.TrimSuffix(end.Sub(now).Round(time.Minute).String(), "0s")
}

func newTokenRevoke(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Make a join token invalid; nodes that have joined by it stay",
		Args:  wantArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.with(ctx, 1, func(c *client.Client) error {
				if err := c.RevokeJoinToken(ctx, args[0]); err != nil {
					return err
				}
				return a.show(a.out, struct {
					ID string `json:"id"`
				}{args[0]}, "revoked "+args[0]+"\n")
			})
		},
	}
}
