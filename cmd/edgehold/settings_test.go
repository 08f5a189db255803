package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestPrecedence reads one setting from each source: flag before environment before file before default.
func TestPrecedence(t *testing.T) {
	file := writeFile(t, "edgehold.yaml", "timeout: 3s\naddr: [http://file:1, http://file:2]\nmax-stale: 7s\nregion: shared with servers\n")
	for _, c := range []struct {
		name    string
		args    []string
		env     map[string]string
		timeout string
		addrs   string
	}{
		{"default", nil, nil, "10s", "http://127.0.0.1:7400"},
		{"file", []string{"--config", file}, nil, "3s", "http://file:1,http://file:2"},
		{"file named by the environment", nil, map[string]string{"EDGEHOLD_CONFIG": file}, "3s", "http://file:1,http://file:2"},
		{"environment", []string{"--config", file}, map[string]string{"EDGEHOLD_TIMEOUT": "4s", "EDGEHOLD_ADDR": "http://env:1"}, "4s", "http://env:1"},
		{"empty environment", []string{"--config", file}, map[string]string{"EDGEHOLD_TIMEOUT": ""}, "3s", "http://file:1,http://file:2"},
		{"flag", []string{"--config", file, "--timeout", "5s", "--addr", "http://flag:1"}, map[string]string{"EDGEHOLD_TIMEOUT": "4s"}, "5s", "http://flag:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := settledCommand(t, c.env, append([]string{"kv", "get", "k"}, c.args...)...)
			if got := cmd.Flags().Lookup("timeout").Value.String(); got != c.timeout {
				t.Errorf("timeout is %s, want %s", got, c.timeout)
			}
			if got, _ := cmd.Flags().GetStringSlice("addr"); strings.Join(got, ",") != c.addrs {
				t.Errorf("addr is %v, want %s", got, c.addrs)
			}
		})
	}
}

// settledCommand returns the command of a command line. Its settings are settled, and it is not run.
func settledCommand(t *testing.T, env map[string]string, args ...string) *cobra.Command {
	t.Helper()
	root := newRoot(&terminal{})
	addServerLike(root)
	cmd, rest, err := root.Find(args)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Fatal(err)
	}
	if err := settle(cmd, func(n string) (string, bool) { v, ok := env[n]; return v, ok }); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// addServerLike adds a command with the settings of a node.
func addServerLike(root *cobra.Command) {
	cmd := &cobra.Command{Use: "serverlike"}
	new(nodeOptions).addTo(cmd)
	root.AddCommand(cmd)
}

func TestDashesBecomeUnderscores(t *testing.T) {
	cmd := settledCommand(t, map[string]string{"EDGEHOLD_MAX_STALE": "8s", "EDGEHOLD_CONSISTENCY": "bounded"}, "kv", "get", "k")
	if got := cmd.Flags().Lookup("max-stale").Value.String(); got != "8s" {
		t.Errorf("max-stale is %s", got)
	}
}

func TestEverySettingHasAKey(t *testing.T) {
	file := writeFile(t, "edgehold.yaml", "region: r\nnode: n\nlisten: 127.0.0.1:1\njoin: 127.0.0.1:2\ninsecure: true\nlease-term: 2s\nlog-level: debug\nlog-format: json\n")
	cmd := settledCommand(t, nil, "serverlike", "--config", file)
	for name, want := range map[string]string{"region": "r", "node": "n", "listen": "127.0.0.1:1", "join": "[127.0.0.1:2]", "insecure": "true",
		"lease-term": "2s", "log-level": "debug", "log-format": "json"} {
		if got := cmd.Flags().Lookup(name).Value.String(); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestBadSettings(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.yaml")
	for _, c := range []struct {
		name, file string
		env        map[string]string
		says       string
	}{
		{"unknown key", "timeout: 3s\ntimeuot: 4s\n", nil, `edgehold.yaml:2: unknown key "timeuot"`},
		{"config in the config", "config: x\n", nil, `unknown key "config"`},
		{"help in the config", "help: true\n", nil, `unknown key "help"`},
		{"key given twice", "timeout: 3s\ntimeout: 4s\n", nil, "already defined"},
		{"bad value", "timeout: soon\n", nil, "edgehold.yaml:1: timeout:"},
		{"list for a single value", "timeout: [1s, 2s]\n", nil, "want a single value"},
		{"map for a list", "addr: {a: b}\n", nil, "want a string or a list of strings"},
		{"nothing for a value", "timeout:\n", nil, "want a single value"},
		{"no YAML", "{{{", nil, "edgehold.yaml"},
		{"bad environment", "", map[string]string{"EDGEHOLD_TIMEOUT": "soon"}, `EDGEHOLD_TIMEOUT="soon"`},
		{"missing file", "", map[string]string{"EDGEHOLD_CONFIG": missing}, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := &invocation{env: c.env}
			args := []string{"version"}
			if c.file != "" {
				args = append(args, "--config", writeFile(t, "edgehold.yaml", c.file))
			}
			if i.run(args...); i.status != 2 || !strings.Contains(i.err, c.says) || strings.Count(i.err, "\n") != 1 {
				t.Errorf("exit %d, %q", i.status, i.err)
			}
		})
	}
	if i := new(invocation).run("version", "--config", writeFile(t, "edgehold.yaml", "")); i.status != 0 {
		t.Errorf("an empty file: exit %d, %q", i.status, i.err)
	}
}
