package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

func newClusterSettings(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "settings",
		Short: "List the settings of the cluster, which hold for all its nodes",
		Args:  wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return a.with(ctx, 1, func(c *client.Client) error {
				all, err := c.Settings(ctx)
				if err != nil {
					return err
				}
				t := table{{"NAME", "VALUE", "DEFAULT", "TAKES"}}
				for _, s := range all {
					t = append(t, []string{s.Name, s.Value, s.Default, s.Bounds})
				}
				return a.show(a.out, struct {
					Settings []api.Setting `json:"settings"`
				}{all}, t.String())
			})
		},
	}
}

func newClusterSet(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "set NAME VALUE [NAME VALUE ...]",
		Short: "Give settings of the cluster a value, one after the other",
		Example: `  edgehold cluster set dead-after 5m
  edgehold cluster set edge-lease-max 4s edge-pause-max 1s
  edgehold cluster set security both`,
		ValidArgsFunction: a.completing(cobra.ShellCompDirectiveDefault, completeSetting),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args)%2 != 0 {
				return usagef("give a NAME and a VALUE for each setting; \"edgehold cluster settings\" lists them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.with(ctx, 1, func(c *client.Client) error {
				for ; len(args) > 0; args = args[2:] {
					s, err := c.SetSetting(ctx, args[0], args[1], force)
					if err != nil {
						return err
					}
					if err := a.show(a.out, s, fmt.Sprintf("%s is %s\n", s.Name, s.Value)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also do what makes the cluster less safe, such as security from tls back to both")
	return cmd
}

func newClusterUnset(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "unset NAME",
		Short:             "Give a setting of the cluster its default again",
		Example:           "  edgehold cluster unset dead-after",
		ValidArgsFunction: a.completing(cobra.ShellCompDirectiveDefault, completeSetting),
		Args:              wantArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.with(ctx, 1, func(c *client.Client) error {
				s, err := c.UnsetSetting(ctx, args[0])
				if err != nil {
					return err
				}
				return a.show(a.out, s, fmt.Sprintf("%s is %s\n", s.Name, s.Value))
			})
		},
	}
}

func newClusterLevel(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "level",
		Short: "Show the level of the cluster, and which nodes keep it from rising",
		Long: `Show the level of the cluster: the newest format that its nodes have agreed on. It rises by itself when all voters of the
meta group know a higher one, unless the setting level-hold is on. After that no node can go back to the version before.`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return a.with(ctx, 1, func(c *client.Client) error {
				l, err := c.ClusterLevel(ctx)
				if err != nil {
					return err
				}
				return a.show(a.out, l, levelText(l))
			})
		},
	}
}

// levelText says in words what the level is and why it does not rise.
func levelText(l *api.ClusterLevel) string {
	var b strings.Builder
	fmt.Fprintf(&b, "the cluster is at level %d; this version knows level %d\n", l.Level, l.Newest)
	if l.Level >= l.Newest {
		return b.String()
	}
	if l.Hold {
		b.WriteString("the setting level-hold keeps it there: edgehold cluster unset level-hold\n")
	}
	for _, h := range l.HeldBy {
		fmt.Fprintf(&b, "node %s keeps it there: %s\n", h.Node, h.Why)
	}
	if !l.Hold && len(l.HeldBy) == 0 {
		b.WriteString("it will rise within seconds\n")
	}
	return b.String()
}
