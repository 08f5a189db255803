package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

func newPlacement(a *app) *cobra.Command {
	return newGroup("placement", "Show and set which region owns which keys", newPlacementShow(a), newPlacementSet(a))
}

func newPlacementShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show the ranges of keys and the groups that own them",
		Long: `Show the ranges of keys and the groups that own them. A region with several groups has one row for each of them; they
divide the keys of the range by hash.`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), 1, func(c *client.Client) error { return placementShow(cmd.Context(), a, c) })
		},
	}
}

// placementShow prints the ranges of the status.
func placementShow(ctx context.Context, a *app, c *client.Client) error {
	if a.json() {
		var body struct {
			Ranges json.RawMessage `json:"ranges"`
		}
		text, err := c.Fetch(ctx, statusPath)
		if err == nil {
			err = json.Unmarshal(text, &body)
		}
		if err != nil {
			return err
		}
		return printJSON(a.out, body)
	}
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.out, rangeTable(status))
	return err
}

func newPlacementSet(a *app) *cobra.Command {
	var prefix, region string
	cmd := &cobra.Command{
		Use:   "set --prefix P --region R",
		Short: "Make a region the owner of all keys with a prefix, if there are no such keys",
		Long: `Make a region the owner of all keys with a prefix. It is refused if such a key exists. The current owner decides that in
its log, so no write can come between.`,
		Example: `  edgehold placement set --prefix customers/de/ --region eu-west`,
		Args:    wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("prefix") { // an empty prefix that is given means every key
				return wantFlags(cmd, "prefix")
			}
			if err := wantFlags(cmd, "region"); err != nil {
				return err
			}
			return placementSet(cmd.Context(), a, api.Key(prefix), api.RegionID(region))
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "prefix of the keys")
	cmd.Flags().StringVar(&region, "region", "", "the new owner")
	return cmd
}

func placementSet(ctx context.Context, a *app, prefix api.Key, region api.RegionID) error {
	return a.with(ctx, 1, func(c *client.Client) error {
		if err := c.SetPlacement(ctx, prefix, region); err != nil {
			return err
		}
		text, bin := record.Render([]byte(prefix))
		return a.show(a.out, struct {
			Prefix    *string      `json:"prefix,omitempty"`
			PrefixB64 []byte       `json:"prefix_base64,omitempty"`
			Region    api.RegionID `json:"region"`
		}{text, bin, region}, fmt.Sprintf("%s owns %s*\n", region, readable(string(prefix))))
	})
}
