package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

func newAccess(a *app) *cobra.Command {
	return newGroup("access", "Give clients rights: tokens and policies", newAccessToken(a), newAccessPolicy(a), newWhoami(a))
}

// tellOptions are the settings of commands that wait until every node judges by a change.
type tellOptions struct{ wait time.Duration }

func (o *tellOptions) addTo(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&o.wait, "wait", 10*time.Second, "how long to wait until every node judges by the change; the command fails if some do not by then")
}

// with is like that of settings, for a change that waits: the time limit of the request is longer than the wait.
func (o *tellOptions) with(ctx context.Context, a *app, do func(*client.Client) error) error {
	if o.wait < 0 || o.wait > api.MaxTimeout/2 {
		return usagef("--wait %v: choose a time up to %v", o.wait, api.MaxTimeout/2)
	}
	own := a.settings
	own.timeout = max(own.timeout, 2*o.wait+5*time.Second) // with several addresses, one gets half of it
	return own.with(ctx, 1, do)
}

// notTold is the failure of a change that some nodes do not apply yet.
func notTold(what string, t *api.Told) error {
	if len(t.NotTold) == 0 {
		return nil
	}
	var list []string
	for _, n := range t.NotTold {
		list = append(list, fmt.Sprintf("%s (%s)", n.Node, n.Why))
	}
	return fmt.Errorf("%s, but not told yet: %s; a node that is cut off refuses clients when its tokens are older than access-max-age", what, strings.Join(list, ", "))
}

// toldEverywhere returns the line that says that all nodes apply a change.
func toldEverywhere(what string, t *api.Told) string {
	if len(t.NotTold) > 0 {
		return what + "\n"
	}
	return what + " everywhere\n"
}

func newAccessPolicy(a *app) *cobra.Command {
	return newGroup("policy", "Set, show, list and delete policies, which say what tokens allow",
		newPolicySet(a), newPolicyShow(a), newPolicyList(a), newPolicyDelete(a))
}

type policyOptions struct {
	tellOptions
	read, list, write []string
	policy            api.Policy
}

func newPolicySet(a *app) *cobra.Command {
	o := &policyOptions{}
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Add a policy, or replace it",
		Long: `Add a policy, or replace it. Rights on keys are given by prefix: --read, --list and --write may be repeated, and an empty
prefix means every key. A condition, and a function such as add or append, reveal what a key holds, so they need the right to read it too; a
list with values needs --read beside --list. The policies of a token add up; none takes a right away.

The policy "anonymous" is that of clients without a token.`,
		Example: `  edgehold access policy set shop --read shop/ --list shop/ --write shop/orders/
  edgehold access policy set anonymous --read public/
  edgehold access policy set dashboard --observe`,
		Args: wantArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.policy.Name = args[0]
			o.policy.Rules = rulesOf(o.read, o.list, o.write)
			return policySet(cmd.Context(), a, o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.read, "read", nil, "`PREFIX` of keys that may be read")
	f.StringArrayVar(&o.list, "list", nil, "`PREFIX` of keys that may be listed")
	f.StringArrayVar(&o.write, "write", nil, "`PREFIX` of keys that may be written")
	f.BoolVar(&o.policy.Observe, "observe", false, "status, metrics and reasons of readiness")
	f.BoolVar(&o.policy.Operate, "operate", false, "drain nodes and transfer leaders")
	f.BoolVar(&o.policy.Admin, "admin", false, "everything else about the cluster; such tokens are valid at servers only")
	f.BoolVar(&o.policy.Audit, "audit", false, "write each access to a key to the audit log")
	o.addTo(cmd)
	return cmd
}

// rulesOf returns a rule for each prefix, with all its rights, in the order in which they were given.
func rulesOf(read, list, write []string) (rules []api.PolicyRule) {
	at := map[string]int{}
	for right, prefixes := range [][]string{read, list, write} {
		for _, p := range prefixes {
			i, ok := at[p]
			if !ok {
				i = len(rules)
				at[p], rules = i, append(rules, api.PolicyRule{Prefix: api.Key(p)})
			}
			rules[i].Read = rules[i].Read || right == 0
			rules[i].List = rules[i].List || right == 1
			rules[i].Write = rules[i].Write || right == 2
		}
	}
	return rules
}

func policySet(ctx context.Context, a *app, o *policyOptions) error {
	return o.with(ctx, a, func(c *client.Client) error {
		told, err := c.SetPolicy(ctx, o.policy, o.wait)
		if err != nil {
			return err
		}
		what := "policy " + o.policy.Name + " is set"
		if err := a.show(a.out, told, toldEverywhere(what, told)); err != nil {
			return err
		}
		return notTold(what, told)
	})
}

func newPolicyShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a policy", Args: wantArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), 1, func(c *client.Client) error {
				list, err := c.Policies(cmd.Context())
				if err != nil {
					return err
				}
				for _, p := range list {
					if p.Name == args[0] {
						return a.show(a.out, p, policyTable([]api.Policy{p}).String())
					}
				}
				return api.Errorf(api.CodeNotFound, "there is no policy %q", args[0])
			})
		},
	}
}

func newPolicyList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the policies, with those that every cluster has", Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), 1, func(c *client.Client) error {
				list, err := c.Policies(cmd.Context())
				if err != nil {
					return err
				}
				return a.show(a.out, struct {
					Policies []api.Policy `json:"policies"`
				}{list}, policyTable(list).String())
			})
		},
	}
}

// policyTable has a row for each right of each policy on a prefix, or on the cluster.
func policyTable(list []api.Policy) table {
	t := table{{"POLICY", "MAY", "KEYS", "BY"}}
	for _, p := range list {
		who := p.By
		switch {
		case p.BuiltIn:
			who = "built in"
		case who == "":
			who = "-"
		}
		rows := len(t)
		for _, r := range p.Rules {
			keys := "every key"
			if r.Prefix != "" {
				keys = readable(string(r.Prefix)) + "*"
			}
			t = append(t, []string{p.Name, joined("read", r.Read, "list", r.List, "write", r.Write), keys, who})
		}
		if on := joined("observe", p.Observe, "operate", p.Operate, "admin", p.Admin); on != "" {
			t = append(t, []string{p.Name, on, "-", who})
		}
		if len(t) == rows {
			t = append(t, []string{p.Name, "nothing", "-", who})
		}
	}
	return t
}

// joined joins the words whose flags are set.
func joined(pairs ...any) string {
	var on []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1].(bool) {
			on = append(on, pairs[i].(string))
		}
	}
	return strings.Join(on, ",")
}

func newPolicyDelete(a *app) *cobra.Command {
	o := &tellOptions{}
	var force bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a policy that no token has", Args: wantArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd.Context(), a, func(c *client.Client) error {
				told, err := c.DeletePolicy(cmd.Context(), args[0], force, o.wait)
				if err != nil {
					return err
				}
				what := "policy " + args[0] + " is deleted"
				if err := a.show(a.out, told, toldEverywhere(what, told)); err != nil {
					return err
				}
				return notTold(what, told)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "take the policy from the tokens that have it")
	o.addTo(cmd)
	return cmd
}

func newWhoami(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show as which principal the node knows this client, and what it may do", Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), 1, func(c *client.Client) error {
				s, err := c.Self(cmd.Context())
				if err != nil {
					return err
				}
				name := s.Principal
				if name == "" {
					name = "anonymous"
				}
				p := api.Policy{Name: name, Rules: s.Rules, Observe: s.Observe, Operate: s.Operate, Admin: s.Admin}
				t := policyTable([]api.Policy{p})
				for i := range t {
					t[i] = t[i][:3]
				}
				t[0][0] = "WHO"
				return a.show(a.out, s, t.String())
			})
		},
	}
}
