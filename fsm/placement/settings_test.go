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
		if s.Doc == "" || s.Bounds() == "" || (s.Kind == Duration || s.Kind == Size) == (s.Choices != nil) {
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
		{SettingHistoryMax, "1024MiB", "1GiB", ""},
		{SettingHistoryMax, "1536KiB", "1536KiB", ""},
		{SettingHistoryMax, "0", "0", ""},
		{SettingHistoryMax, "0KiB", "", "a size from 1MiB to 64GiB, or 0"},
		{SettingHistoryMax, "1000", "", "a size from 1MiB to 64GiB, or 0"},
		{SettingHistoryMax, "-1MiB", "", "a size from 1MiB to 64GiB, or 0"},
		{SettingHistoryMax, "65GiB", "", "a size from 1MiB to 64GiB, or 0"},
		{SettingHistoryAge, "2h", "2h", ""},
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

// TestSettingsOfLevels: a map has a setting only from its level on, since older programs refuse a map with a setting that they do not
// know.
func TestSettingsOfLevels(t *testing.T) {
	m := oldMachine(t)
	apply(t, m, SetLevel{LevelIdentity})
	c := Set{SettingHistoryMax, "1GiB"}
	if r := apply(t, m, c); api.CodeOf(r.Err) != api.CodeConflict {
		t.Errorf("set before its level: %v", r.Err)
	}
	if b := Encode(c); b[0] != byte(LevelHistory) {
		t.Errorf("the command is of version %d", b[0])
	}
	apply(t, m, SetLevel{LevelHistory})
	r := apply(t, m, c)
	if r.Err != nil || r.Map.Bytes(SettingHistoryMax) != 1<<30 || r.Map.Check() != nil {
		t.Fatalf("set at its level: %v", r.Err)
	}
	old := *r.Map
	old.Level = LevelIdentity
	if old.Check() == nil {
		t.Error("a map of an older level may have the setting")
	}
}
