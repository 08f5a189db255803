package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

func newKVDel(t *terminal, s *settings) *cobra.Command {
	var ifVersion string
	cmd := &cobra.Command{
		Use:   "del KEY",
		Short: "Delete a key",
		Long: `Delete a key and print the version of its absence. To delete an absent key is no error.

It exits with 3 where --if-version did not hold, and with 4 where the outcome is unknown.`,
		Example: `  edgehold kv del eu-west/hello`,
		Args:    wantArgs("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := keyArg(cmd, args[0])
			if err != nil {
				return err
			}
			var conds []client.WriteOption
			v, given, err := versionArg("if-version", ifVersion)
			if err != nil {
				return err
			}
			if given {
				conds = append(conds, client.IfVersion(v))
			}
			return write(cmd.Context(), t, s, key, func(ctx context.Context, c *client.Client) (api.Version, error) {
				return c.Delete(ctx, key, conds...)
			})
		},
	}
	cmd.Flags().StringVar(&ifVersion, "if-version", "", "delete only if the key is at this `VERSION`")
	return cmd
}
