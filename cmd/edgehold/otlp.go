package main

import (
	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
)

func addOTLP(cmd *cobra.Command, collector *string, ratio *float64) {
	f := cmd.Flags()
	f.StringVar(collector, "otlp", "", "`URL` of a collector of traces that takes OTLP over HTTP, such as http://127.0.0.1:4318")
	f.Float64Var(ratio, "trace-ratio", cluster.DefaultTraceRatio, "with --otlp, the part of the requests without a traceparent that are traced, from 0 to 1")
}

// checkOTLP refuses what is no collector's URL, and what is no ratio.
func checkOTLP(collector string, ratio float64) error {
	if err := cluster.CheckOTLP(collector, ratio); err != nil {
		return usagef("%s", api.AsError(err).Hint)
	}
	return nil
}
