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
	var prefix string
	var to owner
	cmd := &cobra.Command{
		Use:   "set --prefix P --region R",
		Short: "Make a region the owner of all keys with a prefix, if there are no such keys",
		Long: `Make a region the owner of all keys with a prefix. It is refused if such a key exists. The current owner decides that in
its log, so no write can come between.

A region with several groups divides the keys among them. With --group, in place of --region, one group of a region owns
them all, so that one counter numbers all writes to them.`,
		Example: `  edgehold placement set --prefix customers/de/ --region eu-west
  edgehold placement set --prefix consul/ --group eu-west.1`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("prefix") { // an empty prefix that is given means every key
				return wantFlags(cmd, "prefix")
			}
			switch {
			case to.Group == "":
				if err := wantFlags(cmd, "region"); err != nil {
					return err
				}
			case to.Region != "":
				return usagef("--region and --group: choose one")
			}
			return placementSet(cmd.Context(), a, api.Key(prefix), to)
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "prefix of the keys")
	cmd.Flags().StringVar((*string)(&to.Region), "region", "", "the new owner")
	cmd.Flags().StringVar((*string)(&to.Group), "group", "", "the new owner, if it is to be one group of a region")
	return cmd
}

// owner is the region, or the group, that is to own keys.
type owner struct {
	Region api.RegionID `json:"region,omitempty"`
	Group  api.GroupID  `json:"group,omitempty"`
}

func placementSet(ctx context.Context, a *app, prefix api.Key, to owner) error {
	return a.with(ctx, 1, func(c *client.Client) (err error) {
		name := string(to.Group)
		if to.Group != "" {
			err = c.SetPlacementGroup(ctx, prefix, to.Group)
		} else {
			name, err = string(to.Region), c.SetPlacement(ctx, prefix, to.Region)
		}
		if err != nil {
			return err
		}
		text, bin := record.Render([]byte(prefix))
		return a.show(a.out, struct {
			Prefix    *string `json:"prefix,omitempty"`
			PrefixB64 []byte  `json:"prefix_base64,omitempty"`
			owner
		}{text, bin, to}, fmt.Sprintf("%s owns %s*\n", name, readable(string(prefix))))
	})
}
