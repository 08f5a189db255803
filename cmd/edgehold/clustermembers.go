package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// orderEvery is how often an order is repeated until it is done.
const orderEvery = time.Second

// newOrders returns the commands about nodes and groups.
func newOrders(a *app) []*cobra.Command {
	return []*cobra.Command{newDrain(a), newUndrain(a), newLeave(a), newRemove(a), newReplace(a), newTransfer(a), newRegion(a)}
}

// addWait adds --wait.
func addWait(cmd *cobra.Command, wait *time.Duration, otherwise time.Duration) {
	cmd.Flags().DurationVar(wait, "wait", otherwise, "how long to wait until it is done; it goes on afterwards, and the command may be repeated")
}

func addForce(cmd *cobra.Command, force *bool) {
	cmd.Flags().BoolVar(force, "force", false, "also if fewer nodes could fail afterwards; a group is never left without a living majority")
}

func newDrain(a *app) *cobra.Command {
	var limit, wait time.Duration
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Have a node lead nothing, hold no leases and take no new clients; it still votes",
		Long: `Have a node lead nothing, hold no leases and take no new clients: its /readyz is red, so that load balancers leave it out. It
still votes, and serves the requests that it gets. Drain a node before work on its machine; undrain it afterwards.`,
		Example:           "  edgehold cluster drain us-east-2 --for 30m",
		ValidArgsFunction: a.completing(cobra.ShellCompDirectiveDefault, completeNode),
		Args:              wantArgs("NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usagef("--for %v: choose a time, or 0 for ever", limit)
			}
			return a.order(cmd.Context(), wait, func(ctx context.Context, c *client.Client) (*api.Progress, error) {
				return c.Drain(ctx, api.NodeID(args[0]), limit)
			})
		},
	}
	cmd.Flags().DurationVar(&limit, "for", 0, "end the drain after this time (default: until undrain)")
	addWait(cmd, &wait, time.Minute)
	return cmd
}

func newUndrain(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "undrain NODE",
		Short:             "End the drain of a node, or its leaving while it is still there",
		Example:           "  edgehold cluster undrain us-east-2",
		ValidArgsFunction: a.completing(cobra.ShellCompDirectiveDefault, completeNode),
		Args:              wantArgs("NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.order(cmd.Context(), time.Minute, func(ctx context.Context, c *client.Client) (*api.Progress, error) {
				return c.Undrain(ctx, api.NodeID(args[0]))
			})
		},
	}
}

func newLeave(a *app) *cobra.Command {
	var force bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "leave [NODE]",
		Short: "Drain a node, give its places to others and remove it",
		Long: `Drain a node, give its places to other servers of its region, wait until those vote, and remove it. Without NODE it is the node
at --addr. It is refused if no spare server can take a place, unless --force is given, and in any case if a group would have no
living majority.`,
		Example:           "  edgehold cluster leave us-east-2",
		ValidArgsFunction: a.completing(cobra.ShellCompDirectiveDefault, completeNode),
		Args:              cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			node := api.NodeID("")
			if len(args) > 0 {
				node = api.NodeID(args[0])
			}
			a.alsoOthers(cmd.Context())
			last := false // only its removal is left to wait for
			return a.order(cmd.Context(), wait, func(ctx context.Context, c *client.Client) (*api.Progress, error) {
				if node == "" {
					self, err := c.Self(ctx)
					if err != nil {
						return nil, err
					}
					node = self.Node
				}
				p, err := c.Leave(ctx, node, force)
				if last && api.CodeOf(err) == api.CodeUnavailable {
					return nil, lostAnswer("%s does not answer any more; its removal was all that was left: another node knows (edgehold cluster nodes)", node)
				}
				last = err == nil && slices.Equal(p.Waits, []string{fmt.Sprintf("%s is removed", node)})
				return p, err
			})
		},
	}
	addForce(cmd, &force)
	addWait(cmd, &wait, 10*time.Minute)
	return cmd
}

func newRemove(a *app) *cobra.Command {
	var force bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "Remove a dead node for good",
		Long: `Remove a dead node for good: every node refuses it from then on, and the name of a server is never used again. A spare server of
its region takes its places. The exit status is 0 once every node refuses it, and 1 if some could not be reached yet: repeat
the command. A server that answers is not removed without --force: let it leave.`,
		Example:           "  edgehold cluster remove us-east-2",
		ValidArgsFunction: a.completing(cobra.ShellCompDirectiveDefault, completeNode),
		Args:              wantArgs("NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.order(cmd.Context(), wait, func(ctx context.Context, c *client.Client) (*api.Progress, error) {
				return c.Remove(ctx, api.NodeID(args[0]), force)
			})
		},
	}
	addForce(cmd, &force)
	addWait(cmd, &wait, 10*time.Second)
	return cmd
}

func newReplace(a *app) *cobra.Command {
	var force bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "replace OLD NEW",
		Short: "Give the places of a server to another one of its region, and remove it",
		Long: `Give the places of a server to another one of its region, and remove it. OLD may be dead, such as a server whose disk is lost:
start NEW under a name of its own with an empty --data, and replace OLD by it.`,
		Example:           "  edgehold cluster replace us-east-2 us-east-4",
		ValidArgsFunction: a.completing(cobra.ShellCompDirectiveDefault, completeServer, completeServer),
		Args:              wantArgs("OLD", "NEW"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.order(cmd.Context(), wait, func(ctx context.Context, c *client.Client) (*api.Progress, error) {
				return c.Replace(ctx, api.NodeID(args[0]), api.NodeID(args[1]), force)
			})
		},
	}
	addForce(cmd, &force)
	addWait(cmd, &wait, 10*time.Minute)
	return cmd
}

func newTransfer(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "transfer GROUP [NODE]",
		Short:             "Have another voter lead a group",
		Example:           "  edgehold cluster transfer us-east.1 us-east-3",
		ValidArgsFunction: a.completing(cobra.ShellCompDirectiveDefault, completeGroup, completeServer),
		Args:              cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			to := api.NodeID("")
			if len(args) > 1 {
				to = api.NodeID(args[1])
			}
			return a.order(cmd.Context(), time.Minute, func(ctx context.Context, c *client.Client) (*api.Progress, error) {
				return c.Transfer(ctx, api.GroupID(args[0]), to)
			})
		},
	}
}

func newRegion(a *app) *cobra.Command {
	var wait time.Duration
	remove := &cobra.Command{
		Use:   "remove REGION",
		Short: "Remove a region that owns no keys, with its groups and servers",
		Long: `Remove a region that owns no keys, with its groups and servers: the servers end, and their folders stay as they are. Votes of
them in the group of the placement map go to servers of other regions first. Edges of the region stay.`,
		Example:           "  edgehold cluster region remove ap-south",
		ValidArgsFunction: a.completing(cobra.ShellCompDirectiveDefault, completeRegion),
		Args:              wantArgs("REGION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.order(cmd.Context(), wait, func(ctx context.Context, c *client.Client) (*api.Progress, error) {
				return c.RemoveRegion(ctx, api.RegionID(args[0]))
			})
		},
	}
	addWait(remove, &wait, time.Minute)
	return newGroup("region", "Remove a region", remove)
}

// alsoOthers adds the other servers of the cluster to the addresses of --addr: the node there is to leave, and ends before it can say so.
func (a *app) alsoOthers(ctx context.Context) {
	if a.data != "" || len(a.addrs) == 0 {
		return
	}
	scheme, _, _ := strings.Cut(a.addrs[0], "://")
	_ = a.with(ctx, 1, func(c *client.Client) error { // what is wrong, the order says
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		for _, n := range s.Nodes {
			if n.Role == api.RoleServer && strings.HasPrefix(n.URL, scheme+"://") && !slices.Contains(a.addrs, n.URL) {
				a.addrs = append(slices.Clone(a.addrs), n.URL)
			}
		}
		return nil
	})
}

// lostAnswer is the error of an order that was given and whose end is not known.
func lostAnswer(format string, args ...any) error {
	return &api.Error{Code: api.CodeAmbiguous, Op: "order", Hint: fmt.Sprintf(format, args...)}
}

// ended reports whether err is that of lostAnswer.
func ended(err error) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && e.Code == api.CodeAmbiguous && e.Op == "order"
}

// order repeats an order until it is done, and says on stderr what it waits for.
func (a *app) order(ctx context.Context, wait time.Duration, give func(ctx context.Context, c *client.Client) (*api.Progress, error)) error {
	if wait < 0 {
		return usagef("--wait %v: choose a time", wait)
	}
	return a.with(ctx, 1, func(c *client.Client) error {
		var said []string
		given := false
		for end := time.Now().Add(wait); ; {
			p, err := give(ctx, c)
			switch {
			case err != nil && (!given || api.CodeOf(err) != api.CodeUnavailable && api.CodeOf(err) != api.CodeAmbiguous || ended(err)):
				return err
			case err == nil && p.Done:
				return a.show(a.out, p, p.Note+"\n")
			case err == nil && !slices.Equal(p.Waits, said):
				said = p.Waits
				_, _ = fmt.Fprintf(a.err, "edgehold: it waits: %s\n", strings.Join(said, "; "))
			}
			given = given || err == nil
			if time.Now().Add(orderEvery).After(end) {
				if err != nil {
					return lostAnswer("it was ordered and goes on, and no node says how far it is; the same command may be repeated (%v)", err)
				}
				return fmt.Errorf("%s; it goes on, and the same command may be repeated", strings.Join(said, "; "))
			}
			select {
			case <-ctx.Done():
				return errors.New("interrupted: it was ordered and goes on; the same command may be repeated")
			case <-time.After(orderEvery):
			}
		}
	})
}
