package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
)

func addFronts(cmd *cobra.Command, c *cluster.Config, consul *string) {
	f := cmd.Flags()
	f.StringVar(consul, "consul-listen", "", "`HOST:PORT` to answer clients of Consul's KV API at, such as 127.0.0.1:8500 (default: nowhere)")
	f.StringSliceVar(&c.Fronts, "front", nil, "`FRONTS` to serve beside the HTTP API: protocols that programs speak already, of "+strings.Join(cluster.Fronts(), ","))
	completeWith(cmd, "front", cluster.Fronts()...)
	f.StringVar(&c.RESPSocket, "resp-socket", "", "`FILE` of a unix socket at which --front resp answers too")
}

// checkFronts refuses fronts that there are not, and a socket without its front.
func checkFronts(c *cluster.Config) error {
	if err := cluster.CheckFronts(c.Fronts); err != nil {
		return usagef("%s", api.AsError(err).Hint)
	}
	if c.RESPSocket != "" && !slices.Contains(c.Fronts, "resp") {
		return usagef("--resp-socket needs --front resp")
	}
	return nil
}
