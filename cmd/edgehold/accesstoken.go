package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

func newAccessToken(a *app) *cobra.Command {
	return newGroup("token", "Make, list, rotate and revoke tokens of clients",
		newAccessCreate(a), newAccessList(a), newAccessShow(a), newAccessRotate(a), newAccessRevoke(a))
}

func newAccessCreate(a *app) *cobra.Command {
	o := &tellOptions{}
	var spec api.AccessTokenSpec
	cmd := &cobra.Command{
		Use:   "create --name NAME --policy POLICY",
		Short: "Make a token and print it; it is never shown again",
		Long: `Make a token and print it. It is a secret, and it is never shown again. Clients send it as "Authorization: Bearer TOKEN"; this
command line takes it by --token @FILE, --token-file or EDGEHOLD_TOKEN.

Every cluster has the policies all, read-all, observe, operate and admin. If all tokens are lost, use --data with the folder of a
server on its machine: no token is needed there.`,
		Example: `  edgehold access token create --name web --policy shop
  edgehold access token create --name ci --policy all --at eu-west --ttl 24h --ops 100
  edgehold access token create --name root --policy admin --data /var/lib/edgehold`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := wantFlags(cmd, "name"); err != nil {
				return err
			}
			for _, bound := range []string{"ops", "bytes"} {
				if f := cmd.Flags().Lookup(bound); f.Changed && f.Value.String() == "0" {
					return usagef("--%s 0 would refuse everything: leave it out for no bound", bound)
				}
			}
			return o.with(cmd.Context(), a, func(c *client.Client) error {
				made, err := c.CreateAccessToken(cmd.Context(), spec, o.wait)
				if err != nil {
					return err
				}
				return a.showToken(made, "token "+made.Name+" is made")
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&spec.Name, "name", "", "name of the token, unique in the cluster")
	f.StringSliceVar(&spec.Policies, "policy", nil, "`POLICY` that says what the token allows; several add up")
	f.StringSliceVar(&spec.At, "at", nil, "`REGION|NODE` at which it is valid (default: everywhere)")
	f.DurationVar(&spec.TTL, "ttl", 0, "how long it lives (default: until it is revoked)")
	f.Uint64Var(&spec.Ops, "ops", 0, "requests of a second at one node (default: no bound)")
	f.Uint64Var(&spec.Bytes, "bytes", 0, "bytes of keys and values of a second at one node (default: no bound)")
	o.addTo(cmd)
	return cmd
}

// showToken prints a new secret, alone on its line, and fails if some nodes do not know it yet.
func (a *app) showToken(made *api.NewAccessToken, what string) error {
	if err := a.show(a.out, made, made.Token+"\n"); err != nil {
		return err
	}
	return notTold(what, &made.Told)
}

func newAccessList(a *app) *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use: "list", Short: "List the tokens, without their secrets", Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), 1, func(c *client.Client) error {
				list, err := c.AccessTokens(cmd.Context(), api.NodeID(at))
				if err != nil {
					return err
				}
				if list == nil {
					list = []api.AccessToken{}
				}
				return a.show(a.out, struct {
					Tokens []api.AccessToken `json:"tokens"`
				}{list}, accessTable(list, time.Now()).String())
			})
		},
	}
	cmd.Flags().StringVar(&at, "seen-at", "", "only tokens that were shown to this `NODE` since it started: those to rotate if it was taken over")
	return cmd
}

func accessTable(list []api.AccessToken, now time.Time) table {
	t := table{{"NAME", "ID", "POLICIES", "AT", "RATE", "ENDS", "BY"}}
	for _, k := range list {
		ends := tokenEnd(k.Expires, now)
		if !k.OldUntil.IsZero() {
			ends += ", old secret " + tokenEnd(k.OldUntil, now)
		}
		t = append(t, []string{k.Name, k.ID, cmp.Or(strings.Join(k.Policies, ","), "-"), cmp.Or(strings.Join(k.At, ","), "everywhere"),
			rateOf(k), ends, cmp.Or(k.By, "-")})
	}
	return t
}

func rateOf(k api.AccessToken) string {
	var parts []string
	if k.Ops > 0 {
		parts = append(parts, fmt.Sprintf("%d ops/s", k.Ops))
	}
	if k.Bytes > 0 {
		parts = append(parts, fmt.Sprintf("%d B/s", k.Bytes))
	}
	return cmp.Or(strings.Join(parts, ","), "-")
}

func newAccessShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME|ID", Short: "Show one token, without its secret", Args: wantArgs("NAME|ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), 1, func(c *client.Client) error {
				list, err := c.AccessTokens(cmd.Context(), "")
				if err != nil {
					return err
				}
				for _, k := range list {
					if k.Name == args[0] || k.ID == args[0] {
						return a.show(a.out, k, accessTable([]api.AccessToken{k}, time.Now()).String())
					}
				}
				return api.Errorf(api.CodeNotFound, "there is no token %q", args[0])
			})
		},
	}
}

func newAccessRotate(a *app) *cobra.Command {
	o := &tellOptions{}
	var keep time.Duration
	cmd := &cobra.Command{
		Use:   "rotate NAME|ID",
		Short: "Give a token a new secret and print it",
		Long: `Give a token a new secret and print it. The old one is accepted for the time of --keep, so that clients can change over one by
one. The token keeps its id, so a write that is repeated with the new secret takes effect once.`,
		Args: wantArgs("NAME|ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if keep < 0 {
				return usagef("--keep %v: choose a time, or 0 to end the old secret at once", keep)
			}
			return o.with(cmd.Context(), a, func(c *client.Client) error {
				made, err := c.RotateAccessToken(cmd.Context(), args[0], keep, o.wait)
				if err != nil {
					return err
				}
				return a.showToken(made, "token "+made.Name+" has a new secret")
			})
		},
	}
	cmd.Flags().DurationVar(&keep, "keep", 24*time.Hour, "how long the old secret is accepted")
	o.addTo(cmd)
	return cmd
}

func newAccessRevoke(a *app) *cobra.Command {
	o := &tellOptions{}
	cmd := &cobra.Command{
		Use:   "revoke NAME|ID",
		Short: "End a token for good",
		Long: `End a token for good. The command ends with status 0 when every node refuses it: no request that begins after that succeeds.
With status 1 it names the nodes that could not be reached; repeat it with the id, or wait: a node that is cut off refuses all clients
when its tokens are older than the setting access-max-age, an hour unless it was set.`,
		Args: wantArgs("NAME|ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd.Context(), a, func(c *client.Client) error {
				told, err := c.RevokeAccessToken(cmd.Context(), args[0], o.wait)
				if err != nil {
					return err
				}
				what := "token " + args[0] + " is revoked"
				if err := a.show(a.out, told, toldEverywhere(what, told)); err != nil {
					return err
				}
				return notTold(what, told)
			})
		},
	}
	o.addTo(cmd)
	return cmd
}
