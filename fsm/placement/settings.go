package placement

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Setting is a row of the table of settings: a value that holds for all nodes of a cluster.
type Setting struct {
	Name    string
	Since   Level // the least level of a map that has it; 0 is LevelIdentity
	Kind    SettingKind
	Default string
	// Min and Max bound a duration, in nanoseconds, or a size, in bytes. Zero is also allowed if Zero says what it means.
	Min, Max int64
	Zero     string
	Choices  []string // the only values, if there are any
	Doc      string   // what it does
}

// SettingKind is the type of a setting's value.
type SettingKind string

// The types.
const (
	Duration SettingKind = "duration" // as time.ParseDuration reads it
	Number   SettingKind = "number"   // one of a few
	Choice   SettingKind = "choice"   // one of a few words
	Size     SettingKind = "size"     // a whole number with KiB, MiB or GiB behind it
)

// Names of the settings.
const (
	SettingVoters       = "voters"
	SettingDeadAfter    = "dead-after"
	SettingEdgeLeaseMax = "edge-lease-max"
	SettingEdgePauseMax = "edge-pause-max"
	SettingAccessMaxAge = "access-max-age"
	SettingHistoryAge   = "history-age"
	SettingHistoryMax   = "history-max"
	SettingLevelHold    = "level-hold"
	SettingSecurity     = "security"
)

// Settings are the rows of the table, in order of name.
var Settings = []Setting{
	{
		Name: SettingAccessMaxAge, Kind: Duration, Default: "1h", Min: int64(10 * time.Second), Max: int64(30 * 24 * time.Hour),
		Zero: "clients are never refused for that reason",
		Doc:  "how old a node's copy of tokens and policies may be before the node refuses clients; a revoked token works no longer than this at a node that is cut off",
	},
	{
		Name: SettingDeadAfter, Kind: Duration, Default: "10m", Min: int64(10 * time.Second), Max: int64(30 * 24 * time.Hour),
		Doc: "how long a voter must be unheard before its place is given to another server",
	},
	{
		Name: SettingEdgeLeaseMax, Kind: Duration, Default: "8s", Min: int64(100 * time.Millisecond), Max: int64(time.Minute),
		Doc: "the longest lease term of an edge; an edge that is cut off delays writes for about as long",
	},
	{
		Name: SettingEdgePauseMax, Kind: Duration, Default: "2s", Min: int64(10 * time.Millisecond), Max: int64(10 * time.Second),
		Doc: "the longest pause of an edge's process for which leases are planned",
	},
	{
		Name: SettingHistoryAge, Since: LevelHistory, Kind: Duration, Default: "24h", Min: int64(time.Minute), Max: int64(30 * 24 * time.Hour),
		Doc: "how long a group keeps the history of what changed; a watch that continues from before that misses changes, and says so",
	},
	{
		Name: SettingHistoryMax, Since: LevelHistory, Kind: Size, Default: "256MiB", Min: 1 << 20, Max: 64 << 30,
		Zero: "there is no history, and nothing can be watched",
		Doc:  "how much of the history of what changed a group keeps; a node without a data folder keeps an eighth of it",
	},
	{
		Name: SettingLevelHold, Kind: Choice, Default: "off", Choices: []string{"off", "on"},
		Doc: "while it is on, the cluster's level does not rise, so that all nodes can be brought back to the version before",
	},
	{
		Name: SettingSecurity, Kind: Choice, Default: "plain", Choices: []string{"plain", "both", "tls"},
		Doc: "whether the nodes' ports speak TLS; it goes from plain to both and then to tls, and back only with --force",
	},
	{
		Name: SettingVoters, Kind: Number, Default: "3", Choices: []string{"3", "5"},
		Doc: "how many voters each group is to have",
	},
}

// SettingNamed returns the row with that name.
func SettingNamed(name string) (Setting, bool) {
	i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Name == name })
	if i < 0 {
		return Setting{}, false
	}
	return Settings[i], true
}

// Parse returns the value in its canonical form. CodeInvalid if it is not of the setting's type or not within its bounds, which the
// error names.
func (s Setting) Parse(value string) (string, error) {
	switch {
	case s.Choices != nil:
		if slices.Contains(s.Choices, value) {
			return value, nil
		}
	case s.Kind == Duration:
		if d, err := time.ParseDuration(value); err == nil && s.within(int64(d)) {
			return short(d), nil
		}
	case s.Kind == Size:
		if n, ok := parseSize(value); ok && s.within(n) {
			return sizeText(n), nil
		}
	}
	return "", bad("%s must be %s, not %q", s.Name, s.Bounds(), value)
}

func (s Setting) within(n int64) bool { return s.Min <= n && n <= s.Max || n == 0 && s.Zero != "" }

// Bounds says in words which values the setting takes.
func (s Setting) Bounds() string {
	if s.Choices != nil {
		last := len(s.Choices) - 1
		return strings.Join(s.Choices[:last], ", ") + " or " + s.Choices[last]
	}
	text := fmt.Sprintf("a time from %s to %s", short(time.Duration(s.Min)), short(time.Duration(s.Max)))
	if s.Kind == Size {
		text = fmt.Sprintf("a size from %s to %s", sizeText(s.Min), sizeText(s.Max))
	}
	if s.Zero != "" {
		text += ", or 0"
	}
	return text
}

// short is the duration as people write it: 1h, not 1h0m0s.
func short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// The units of a size, from the largest on.
var units = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// parseSize reads a size as people write it.
func parseSize(s string) (int64, bool) {
	if s == "0" {
		return 0, true
	}
	for _, u := range units {
		if digits, ok := strings.CutSuffix(s, u.name); ok {
			n, err := strconv.ParseUint(digits, 10, 31)
			return int64(n) * u.size, err == nil && n > 0
		}
	}
	return 0, false
}

// sizeText returns a size in the largest unit that divides it.
func sizeText(n int64) string {
	for _, u := range units {
		if n > 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// Setting returns the value of the setting with that name, or its default; "" if there is no such setting.
func (m *Map) Setting(name string) string {
	if v, ok := m.Settings[name]; ok {
		return v
	}
	switch {
	case name == SettingVoters && m.Voters != 0:
		return strconv.Itoa(m.Voters)
	case name == SettingSecurity && m.Security != Plain:
		return string(m.Security)
	}
	s, _ := SettingNamed(name)
	return s.Default
}

// Duration returns the value of a setting that is a duration; 0 if there is no such setting.
func (m *Map) Duration(name string) time.Duration {
	d, _ := time.ParseDuration(m.Setting(name)) // the map has been checked
	return d
}

// Bytes returns the value of a setting that is a size, in bytes; 0 if there is no such setting.
func (m *Map) Bytes(name string) int64 {
	n, _ := parseSize(m.Setting(name)) // the map has been checked
	return n
}

// Set gives a setting a value; "" gives it its default again. CodeNotFound if there is no such setting, CodeInvalid for a value that
// it does not take. The security of the cluster is changed by [Secure].
type Set struct {
	Name  string `cbor:"1,keyasint"`
	Value string `cbor:"2,keyasint,omitempty"`
}

func (Set) kind() byte { return kindSet }

func (s *state) set(c Set) (changes, error) {
	row, ok := SettingNamed(c.Name)
	if !ok {
		return nothing, api.Errorf(api.CodeNotFound, "there is no setting %q", c.Name)
	}
	if c.Name == SettingSecurity {
		return nothing, bad("the setting %s is changed by a command of its own", c.Name)
	}
	value := ""
	if c.Value != "" {
		v, err := row.Parse(c.Value)
		if err != nil {
			return nothing, err
		}
		value = v
	}
	return mapIf(s.Map.setting(row, value), nil)
}

// setting notes the value of a setting, "" for its default, and reports whether that changes anything. m is the caller's own copy.
func (m *Map) setting(row Setting, value string) (changed bool) {
	if row.Name == SettingVoters { // it stood in the map before there were settings
		if value == "" {
			value = row.Default
		}
		n, _ := strconv.Atoi(value) // it has been parsed
		changed, m.Voters = n != m.Voters, n
		return changed
	}
	if m.Settings[row.Name] == value {
		return false
	}
	m.Settings = maps.Clone(m.Settings)
	if m.Settings == nil {
		m.Settings = map[string]string{}
	}
	m.Settings[row.Name] = value
	if value == "" {
		delete(m.Settings, row.Name)
	}
	return true
}

// checkSettings returns an error if a value is none that its setting takes. A setting that this program does not have is an error
// too: it comes with a level.
func (m *Map) checkSettings() error {
	for name, value := range m.Settings {
		row, ok := SettingNamed(name)
		if !ok || name == SettingVoters || name == SettingSecurity || row.Since > m.Level {
			return bad("the placement map has an unknown setting %q", name)
		}
		if v, err := row.Parse(value); err != nil || v != value {
			return bad("the placement map has %q as %s", value, name)
		}
	}
	return nil
}
