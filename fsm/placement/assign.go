package placement

import (
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// SetRange notes that the region's groups have adopted the range at the epoch. Refused (CodeConflict) at an epoch at or
// below that of any part of it; repeated, it does nothing.
type SetRange struct {
	Range  api.Range     `cbor:"1,keyasint"`
	Epoch  uint64        `cbor:"2,keyasint"`
	Region api.RegionID  `cbor:"3,keyasint"`
	Groups []api.GroupID `cbor:"4,keyasint"`
}

func (SetRange) kind() byte { return kindSetRange }

func (s *state) setRange(c SetRange) (changes, error) { return mapIf(s.Map.setRange(Span(c))) }

// setRange makes s the owner of its range. It reports whether anything changed. m is the caller's own copy.
func (m *Map) setRange(s Span) (changed bool, err error) {
	r := s.Range
	if len(r.Start) > api.MaxKeyBytes || len(r.End) > api.MaxKeyBytes || r.End != "" && r.End <= r.Start {
		return false, bad("%v is not a range of keys", r)
	}
	groups := map[api.GroupID]api.RegionID{}
	for _, g := range m.Groups {
		groups[g.ID] = g.Region
	}
	if err := checkOwners(s, groups); err != nil || len(s.Groups) == 0 {
		return false, bad("range %v needs owners, all of one region", r)
	}
	if m.Level >= LevelTime {
		if err := CheckBoundaries(r); err != nil {
			return false, err
		}
	}
	old := m.Spans(r)
	if len(old) == 1 && old[0].Epoch == s.Epoch && old[0].Region == s.Region && slices.Equal(old[0].Groups, s.Groups) {
		return false, nil // a repetition
	}
	for _, o := range old {
		if o.Epoch >= s.Epoch {
			return false, api.Errorf(api.CodeConflict, "range %v is at epoch %d already, not below %d", o.Range, o.Epoch, s.Epoch)
		}
	}
	if len(m.Ranges)+2 > MaxRanges {
		return false, api.Errorf(api.CodeTooLarge, "the placement map is at its limit of %d ranges", MaxRanges)
	}
	m.assign(s)
	return true, nil
}

// CheckBoundaries returns CodeInvalid if the range begins or ends within the directory of a lock, whose keys must have one owner.
func CheckBoundaries(r api.Range) error {
	for _, k := range []api.Key{r.Start, r.End} {
		if strings.Contains(string(k), "/.lock/") {
			return bad("no range begins or ends at %q: the keys of a lock have one owner", string(k))
		}
	}
	return nil
}

// assign cuts the range of s out of the spans that hold it and puts s there. m.Ranges is replaced.
func (m *Map) assign(s Span) {
	ranges := make([]Span, 0, len(m.Ranges)+2)
	for _, o := range m.Ranges {
		if !o.Range.Overlaps(s.Range) {
			ranges = append(ranges, o)
			continue
		}
		if o.Range.Start < s.Range.Start {
			left := o
			left.Range.End = s.Range.Start
			ranges = append(ranges, left)
		}
		if s.Range.End != "" && (o.Range.End == "" || o.Range.End > s.Range.End) {
			right := o
			right.Range.Start = s.Range.End
			ranges = append(ranges, right)
		}
	}
	ranges = append(ranges, s)
	slices.SortFunc(ranges, func(a, b Span) int { return compareRanges(a.Range, b.Range) })
	m.Ranges = ranges
}
