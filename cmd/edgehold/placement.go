package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
)

func newPlacement(t *terminal, s *settings) *cobra.Command {
	return newGroup("placement", "Show and set which region owns which keys", newPlacementShow(t, s), newPlacementSet(t, s))
}

func newPlacementShow(t *terminal, s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show the ranges of keys and the groups that own them",
		Long: `Show the ranges of keys and the groups that own them. A region with several groups has a row each: they divide the
range's keys by hash.`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := s.json()
			if err != nil {
				return err
			}
			status, err := fetchStatus(cmd.Context(), s)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(t.out, nil, struct {
					Ranges []rangeRow `json:"ranges"`
				}{rangeRows(status)})
			}
			_, err = fmt.Fprint(t.out, rangeTable(status))
			return err
		},
	}
}

func newPlacementSet(t *terminal, s *settings) *cobra.Command {
	var prefix, region string
	cmd := &cobra.Command{
		Use:   "set --prefix P --region R",
		Short: "Make a region the owner of all keys with a prefix, while there are none",
		Long: `Make a region the owner of all keys with a prefix. It is refused where such a key exists: whether one does is judged
in the log of the present owner.`,
		Example: `  edgehold placement set --prefix customers/de/ --region eu-west`,
		Args:    wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("prefix") { // an empty one, if typed, is that of every key
				return wantFlags(cmd, "prefix")
			}
			if err := wantFlags(cmd, "region"); err != nil {
				return err
			}
			return placementSet(cmd.Context(), t, s, api.Key(prefix), api.RegionID(region))
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "the keys that begin with this")
	cmd.Flags().StringVar(&region, "region", "", "the region that shall own them")
	return cmd
}

func placementSet(ctx context.Context, t *terminal, s *settings, prefix api.Key, region api.RegionID) error {
	c, err := s.open(ctx, 1)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	if err := c.SetPlacement(ctx, prefix, region); err != nil {
		return err
	}
	asJSON, err := s.json()
	if err != nil || asJSON {
		text, bin := renderBytes(string(prefix))
		return printJSON(t.out, err, struct {
			Prefix    *string      `json:"prefix,omitempty"`
			PrefixB64 []byte       `json:"prefix_base64,omitempty"`
			Region    api.RegionID `json:"region"`
		}{text, bin, region})
	}
	_, err = fmt.Fprintf(t.out, "%s owns %s*\n", region, readable(string(prefix)))
	return err
}
