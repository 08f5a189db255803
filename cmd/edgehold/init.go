package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/cluster"
)

func newInit(a *app) *cobra.Command {
	var out string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "init --out FOLDER",
		Short: "Make what a cluster with TLS is founded with, before there is one",
		Long: `Make, without a cluster, what a cluster with TLS is founded with: below --out, the folder "bootstrap" has the cluster's
certificate authority with its key, and the folders "server" and "edge" have a join token each, which any number of nodes may use
until --ttl after the founding. Each has ca.pem too, which clients give as --ca.

The first server takes them with --bootstrap --init FOLDER/bootstrap; delete that folder when the cluster runs. The others get
--join-token-file FOLDER/server/join or FOLDER/edge/join. What is there already stays: the command may be repeated.`,
		Example: `  edgehold init --out ./secrets`,
		Args:    wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := wantFlags(cmd, "out"); err != nil {
				return err
			}
			if ttl < 0 {
				return usagef("--ttl %v: choose a time, or 0 for ever", ttl)
			}
			return initFolder(a, out, ttl)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`FOLDER` to write to")
	cmd.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "how long after the founding the join tokens live; 0 is for ever")
	return cmd
}

func initFolder(a *app, out string, ttl time.Duration) error {
	id, err := cluster.InitFolder(out, ttl)
	switch {
	case err != nil:
		return plainError(err)
	case id == "":
		return a.show(a.out, struct {
			Out string `json:"out"`
		}{out}, fmt.Sprintf("%s has what a cluster is founded with already; nothing was changed\n", out))
	}
	if ttl == 0 {
		_, _ = fmt.Fprintln(a.err, "edgehold: these join tokens never end; revoke them when the nodes have joined")
	}
	return a.show(a.out, struct {
		Out     string `json:"out"`
		Cluster string `json:"cluster_id"`
	}{out, id}, fmt.Sprintf("%s has what cluster %s is founded with\n", filepath.Clean(out), id))
}
