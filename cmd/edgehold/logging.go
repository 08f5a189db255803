package main

import (
	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
)

type logOptions struct{ level, format string }

func (o *logOptions) addTo(cmd *cobra.Command, level string) {
	levels := []string{"trace", "debug", "info", "warn", "error", "off"}
	cmd.Flags().StringVar(&o.level, "log-level", level, "minimum level of what is logged to the standard error: trace, debug, info, warn, error or off")
	cmd.Flags().StringVar(&o.format, "log-format", "text", "format of the log: text or json")
	completeWith(cmd, "log-level", levels...)
	completeWith(cmd, "log-format", "text", "json")
}

// open returns a logger that writes to the standard error.
func (o *logOptions) open(t *terminal) (hclog.Logger, error) {
	level := hclog.LevelFromString(o.level)
	if level == hclog.NoLevel {
		return nil, usagef("--log-level %q: choose trace, debug, info, warn, error or off", o.level)
	}
	if o.format != "text" && o.format != "json" {
		return nil, usagef("--log-format %q: choose text or json", o.format)
	}
	return hclog.New(&hclog.LoggerOptions{Name: "edgehold", Level: level, Output: t.err, JSONFormat: o.format == "json"}), nil
}
