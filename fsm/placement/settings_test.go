package placement

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestSettingsTable: the rows are in order, their defaults and bounds are values that they take, and what is said of them is said.
func TestSettingsTable(t *testing.T) {
	if !slices.IsSortedFunc(Settings, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the settings are not in order of name")
	}
	for _, s := range Settings {
		if v, err := s.Parse(s.Default); err != nil || v != s.Default {
			t.Errorf("%s: the default %s is taken as %q, %v", s.Name, s.Default, v, err)
		}
		if s.Doc == "" || s.Bounds() == "" || (s.Kind == Duration) == (s.Choices != nil) {
			t.Errorf("%+v lacks something", s)
		}
		if _, ok := SettingNamed(s.Name); !ok {
			t.Errorf("%s is not found", s.Name)
		}
	}
}

// TestSet: a setting takes values within its bounds alone, which the refusal names; equal values are one, and the default leaves
// nothing behind.
func TestSet(t *testing.T) {
	m := bootstrapped(t)
	before := EncodeMap(m.Map())
	for _, x := range []struct{ name, value, is, says string }{
		{SettingDeadAfter, "90s", "1m30s", ""},
		{SettingDeadAfter, "3600s", "1h", ""},
		{SettingDeadAfter, "1h0m0s", "1h", ""},
		{SettingDeadAfter, "9s", "", "a time from 10s to 720h"},
		{SettingDeadAfter, "0", "", "a time from 10s to 720h"},
		{SettingDeadAfter, "-1h", "", "a time from 10s to 720h"},
		{SettingDeadAfter, "soon", "", "a time from 10s to 720h"},
		{SettingAccessMaxAge, "0", "0s", ""},
		{SettingAccessMaxAge, "1s", "", "a time from 10s to 720h, or 0"},
		{SettingEdgeLeaseMax, "60s", "1m", ""},
		{SettingEdgeLeaseMax, "61s", "", "a time from 100ms to 1m"},
		{SettingLevelHold, "on", "on", ""},
		{SettingLevelHold, "yes", "", "off or on"},
		{SettingVoters, "5", "5", ""},
		{SettingVoters, "4", "", "3 or 5"},
		{SettingVoters, "05", "", "3 or 5"},
		{SettingSecurity, "both", "", "a command of its own"},
	} {
		was := m.Map()
		r := apply(t, m, Set{x.name, x.value})
		if x.says != "" {
			if api.CodeOf(r.Err) != api.CodeInvalid || !strings.Contains(r.Err.Hint, x.says) || r.Map != was {
				t.Errorf("%s %s: %v", x.name, x.value, r.Err)
			}
			continue
		}
		if r.Err != nil || r.Map.Setting(x.name) != x.is || r.Map.Check() != nil {
			t.Errorf("%s %s: %v, %q", x.name, x.value, r.Err, r.Map.Setting(x.name))
		}
	}
	if d := m.Map().Duration(SettingEdgeLeaseMax); d != time.Minute || m.Map().Voters != 5 {
		t.Errorf("the longest lease is %v, the voters are %d", d, m.Map().Voters)
	}
	version := m.Map().Version
	if r := apply(t, m, Set{SettingDeadAfter, "60m"}); r.Err != nil || r.Map.Version != version {
		t.Errorf("the same again: %+v", r)
	}
	if r := apply(t, m, Set{"king", "1"}); api.CodeOf(r.Err) != api.CodeNotFound {
		t.Errorf("an unknown setting: %v", r.Err)
	}
	for _, s := range Settings {
		if s.Name == SettingSecurity {
			continue
		}
		if r := apply(t, m, Set{s.Name, ""}); r.Err != nil || r.Map.Setting(s.Name) != s.Default {
			t.Errorf("%s unset: %v, %s", s.Name, r.Err, r.Map.Setting(s.Name))
		}
	}
	now := *m.Map()
	now.Version = 1
	if string(EncodeMap(&now)) != string(before) {
		t.Error("the defaults have left something behind")
	}
}
