package main

import (
	"net/url"

	"github.com/spf13/cobra"
)

func addCORSOrigins(cmd *cobra.Command, origins *[]string) {
	cmd.Flags().StringSliceVar(origins, "cors-origin", nil, "web `ORIGIN`s, such as https://app.example, whose pages may read, write and watch keys here "+
		"with the rights of the token that they send, or of a client without one; * is every origin")
}

// checkCORSOrigins refuses what no browser sends as an origin.
func checkCORSOrigins(origins []string) error {
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || origin != u.Scheme+"://"+u.Host) {
			return usagef("--cors-origin %q: write SCHEME://HOST[:PORT] without a slash at the end, such as https://app.example, or *", origin)
		}
	}
	return nil
}
