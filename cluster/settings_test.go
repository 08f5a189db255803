package cluster

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

const settingsPage = "../docs/operations/settings.md"

// TestSettingsPage: docs/operations/settings.md is the table of settings.
func TestSettingsPage(t *testing.T) {
	page := printSettings()
	if *rewrite {
		if err := os.WriteFile(settingsPage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(settingsPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, page) {
		t.Errorf("%s is not what the table of settings says; write it anew with go test ./cluster -run TestSettingsPage -rewrite", settingsPage)
	}
}

func printSettings() []byte {
	var b bytes.Buffer
	b.WriteString(`# Settings of a cluster

A setting holds for all nodes of a cluster. It takes effect within seconds, without a restart. To list the settings, to
give one a value, and to give it its default again:

` + "```console" + `
$ edgehold cluster settings
NAME            VALUE  DEFAULT  TAKES
...
$ edgehold cluster set dead-after 5m
dead-after is 5m
$ edgehold cluster unset dead-after
dead-after is 10m
` + "```" + `

Over HTTP they are below ` + "`/v1/cluster/settings`: `GET` lists them, and `PUT /v1/cluster/settings/dead-after` with the\nbody `{\"value\":\"5m\"}` sets one, which `DELETE` unsets" + `. A value that the setting does not take is refused with 400,
which names the bound. Changes need the right to administer, and are taken at servers.
`)
	for _, s := range placement.Settings {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n- default: `%s`\n- takes: %s\n", s.Name, wrapped(upper(s.Doc), 120), s.Default, s.Bounds())
		if s.Zero != "" {
			fmt.Fprintf(&b, "- `0`: %s\n", s.Zero)
		}
	}
	return b.Bytes()
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// wrapped breaks the text into lines of at most so many columns, less one for the full stop.
func wrapped(text string, columns int) string {
	var b strings.Builder
	line := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == 0:
		case line+1+len(word) >= columns:
			b.WriteByte('\n')
			line = 0
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += len(word)
	}
	return b.String()
}

// TestNodeSettings: a setting is changed at servers and soon known at every node; an edge refuses and names a server.
func TestNodeSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		s1 := b.found()
		second := b.config("e1", api.RoleEdge)
		second.Join = []string{"s1"}
		e1 := b.open(second)
		b.ready(e1)
		ctx := t.Context()
		if s, err := s1.SetSetting(ctx, placement.SettingDeadAfter, "300s", false); err != nil || s.Value != "5m" || s.Default != "10m" {
			t.Errorf("set: %+v, %v", s, err)
		}
		time.Sleep(time.Second)
		if s, err := e1.Setting(ctx, placement.SettingDeadAfter); err != nil || s.Value != "5m" {
			t.Errorf("at the edge it is %+v, %v", s, err)
		}
		if all, err := e1.Settings(ctx); err != nil || len(all) != len(placement.Settings) {
			t.Errorf("all: %+v, %v", all, err)
		}
		if _, err := e1.SetSetting(ctx, placement.SettingDeadAfter, "1h", false); api.CodeOf(err) != api.CodeDenied || !strings.Contains(api.AsError(err).Hint, "http://s1") {
			t.Errorf("set at an edge: %v", err)
		}
		if _, err := s1.SetSetting(ctx, placement.SettingDeadAfter, "1s", false); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("below the bound: %v", err)
		}
		if _, err := s1.UnsetSetting(ctx, "king"); api.CodeOf(err) != api.CodeNotFound {
			t.Errorf("an unknown one: %v", err)
		}
		if s, err := s1.UnsetSetting(ctx, placement.SettingDeadAfter); err != nil || s.Value != "10m" {
			t.Errorf("unset: %+v, %v", s, err)
		}
		if l, err := e1.ClusterLevel(ctx); err != nil || l.Level != int(placement.NewestLevel) || l.Newest != l.Level || len(l.HeldBy) != 0 {
			t.Errorf("the level is %+v, %v", l, err)
		}
	})
}
