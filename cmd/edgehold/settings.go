package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/edgehold/edgehold/api"
)

// settings are the settings of every command that talks to a cluster.
type settings struct {
	addrs     []string
	data      string // the folder of a node of this machine, whose admin socket is used instead of addrs
	token     api.Secret
	tokenFile string
	ca        string
	timeout   time.Duration
	format    string
	config    string
	warn      io.Writer // for warnings
}

func (s *settings) addTo(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringSliceVar(&s.addrs, "addr", []string{"http://127.0.0.1:7400"}, "addresses of nodes, nearest first; the next one is used if one fails")
	f.StringVar(&s.data, "data", "", "data `FOLDER` of a node on this machine, or the path of its admin socket: the command talks to that node, as its administrator, and needs neither --addr nor --token")
	annotate(f.Lookup("data"), notSetting)
	f.StringVar((*string)(&s.token), "token", "", "bearer token sent with every request, or @FILE that holds it")
	f.StringVar(&s.tokenFile, "token-file", "", "`FILE` that holds the token")
	f.StringVar(&s.ca, "ca", "", "PEM `FILE` of the certificate authorities to trust for https addresses: DATA/identity/roots.pem of a server")
	f.DurationVar(&s.timeout, "timeout", api.DefaultTimeout, "time limit of one request, including its retries")
	f.StringVarP(&s.format, "format", "o", "table", "output: table or json")
	f.StringVar(&s.config, "config", "", "YAML `FILE` of settings, named like the flags")
	completeWith(root, "format", "table", "json")
}

// settle sets every flag of cmd that is not on the command line from EDGEHOLD_<FLAG>, or else from the --config file. It is the
// only place that knows the order: flag, environment, file, default.
func settle(cmd *cobra.Command, lookupEnv func(string) (string, bool)) error {
	if cmd.Name() == cobra.ShellCompRequestCmd || cmd.Name() == cobra.ShellCompNoDescRequestCmd {
		return nil
	}
	flags := cmd.Flags()
	config := flags.Lookup("config")
	if v, ok := lookupEnv(envName("config")); ok && v != "" && !config.Changed {
		if err := flags.Set("config", v); err != nil {
			return usagef("%s: %v", envName("config"), err)
		}
	}
	file, err := readConfig(config.Value.String(), knownFlags(cmd.Root()))
	if err != nil {
		return err
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Changed || !isSetting(f) || otherToken(flags, f) {
			return
		}
		if v, ok := lookupEnv(envName(f.Name)); ok && v != "" {
			annotate(f, settled)
			if e := flags.Set(f.Name, v); e != nil {
				err = usagef("%s=%q: %v", envName(f.Name), v, e)
			}
		} else if n, ok := file[f.Name]; ok {
			annotate(f, settled)
			err = setFromFile(flags, f, n, config.Value.String())
		}
	})
	return err
}

// notSetting annotates a flag that is given on the command line alone. The --data of the commands that talk to a node is one: where
// a node runs, the environment and the file have the node's own.
const notSetting = "edgehold_not_setting"

// settled annotates a flag that the environment or the file has set.
const settled = "edgehold_settled"

func annotate(f *pflag.Flag, key string) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[key] = nil
}

// notOnCommandLine reports whether the environment or the file has set the flag.
func notOnCommandLine(f *pflag.Flag) bool {
	_, ok := f.Annotations[settled]
	return ok
}

// otherToken reports whether f is one of the two ways to give a token, and the other one is given: that one counts.
func otherToken(flags *pflag.FlagSet, f *pflag.Flag) bool {
	other, ok := map[string]string{"token": "token-file", "token-file": "token"}[f.Name]
	return ok && flags.Changed(other)
}

// isSetting reports whether a flag may also be given by the environment and the file.
func isSetting(f *pflag.Flag) bool {
	_, not := f.Annotations[notSetting]
	return !not && f.Name != "config" && f.Name != "help" && f.Name != "version"
}

// envName returns the environment variable of a flag.
func envName(flag string) string {
	return "EDGEHOLD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// knownFlags returns the settings of all commands, so that one file can serve all of them.
func knownFlags(root *cobra.Command) map[string]bool {
	known := map[string]bool{}
	add := func(f *pflag.Flag) { known[f.Name] = known[f.Name] || isSetting(f) }
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		c.LocalFlags().VisitAll(add)
		for _, child := range c.Commands() {
			visit(child)
		}
	}
	visit(root)
	return known
}

// readConfig reads a YAML file of settings; "" is an empty file. A key that is not a setting of any command is an error.
func readConfig(name string, known map[string]bool) (map[string]yaml.Node, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, usagef("--config: %v", err)
	}
	var keys map[string]yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&keys); err != nil && !errors.Is(err, io.EOF) {
		return nil, usagef("--config %s: %v", name, err)
	}
	for k, n := range keys {
		if !known[k] {
			return nil, usagef("--config %s:%d: unknown key %q; a key is the name of a flag without the leading dashes", name, n.Line, k)
		}
	}
	return keys, nil
}

func setFromFile(flags *pflag.FlagSet, f *pflag.Flag, n yaml.Node, file string) error {
	for n.Kind == yaml.AliasNode {
		n = *n.Alias
	}
	var err error
	list, isList := f.Value.(pflag.SliceValue)
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		err = flags.Set(f.Name, n.Value)
	case n.Kind == yaml.SequenceNode && isList:
		var values []string
		if err = n.Decode(&values); err == nil {
			err = list.Replace(values)
			f.Changed = true
		}
	case isList:
		err = errors.New("want a string or a list of strings")
	default:
		err = errors.New("want a single value")
	}
	if err != nil {
		return usagef("--config %s:%d: %s: %v", file, n.Line, f.Name, err)
	}
	return nil
}

// completeWith completes the value of a flag from a fixed list.
func completeWith(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag does not exist: a mistake in this package
	}
}
