package api

import (
	"fmt"
	"strconv"
	"strings"
)

// Key names a value. It is 1 to [MaxKeyBytes] arbitrary bytes. Keys are ordered bytewise.
type Key string

// Range is the keys from Start (included) to End (excluded). An empty End means no upper bound.
type Range struct {
	Start Key `cbor:"1,keyasint,omitempty"`
	End   Key `cbor:"2,keyasint,omitempty"`
}

// Contains reports whether k is in r.
func (r Range) Contains(k Key) bool { return k >= r.Start && (r.End == "" || k < r.End) }

// ContainsRange reports whether every key of o is in r.
func (r Range) ContainsRange(o Range) bool {
	return o.Start >= r.Start && (r.End == "" || (o.End != "" && o.End <= r.End))
}

// Overlaps reports whether some key is in both ranges.
func (r Range) Overlaps(o Range) bool {
	return (r.End == "" || o.Start < r.End) && (o.End == "" || r.Start < o.End)
}

// Intersect returns the keys that are in both ranges. ok is false if there are none.
func (r Range) Intersect(o Range) (_ Range, ok bool) {
	if !r.Overlaps(o) {
		return Range{}, false
	}
	x := Range{Start: max(r.Start, o.Start), End: r.End}
	if x.End == "" || (o.End != "" && o.End < x.End) {
		x.End = o.End
	}
	return x, true
}

func (r Range) String() string { return fmt.Sprintf("[%q,%q)", string(r.Start), string(r.End)) }

// PrefixRange returns the range of the keys that begin with p. PrefixRange("") contains every key.
func PrefixRange(p Key) Range {
	b := []byte(p)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return Range{Start: p, End: Key(b[:i+1])}
		}
	}
	return Range{Start: p}
}

// Version orders the states of one key over its whole life, across all its owners: first by the epoch of the range that held it,
// then by the owner's command counter. The zero Version is the version of a key that was never written.
type Version struct {
	Epoch uint64 `cbor:"1,keyasint,omitempty"`
	Index uint64 `cbor:"2,keyasint,omitempty"`
}

// Compare returns -1 if v is older than o, 0 if they are equal, and 1 if v is newer.
func (v Version) Compare(o Version) int {
	switch {
	case v.Epoch != o.Epoch && v.Epoch < o.Epoch, v.Epoch == o.Epoch && v.Index < o.Index:
		return -1
	case v == o:
		return 0
	}
	return 1
}

// IsZero reports whether v is the version of a key that was never written.
func (v Version) IsZero() bool { return v == Version{} }

// integerBits is where the epoch stands in the integer of a version.
const integerBits = 40

// Integer returns the version as one integer, which rises as versions do: an owner with more than 2^40 commands is followed by one
// with an epoch that is higher by as much. A JSON number holds it exactly up to epoch 8191.
func (v Version) Integer() uint64 { return v.Epoch<<integerBits + v.Index }

// VersionOf returns the version whose Integer is n, if its owner had carried out fewer than 2^40 commands.
func VersionOf(n uint64) Version {
	return Version{Epoch: n >> integerBits, Index: n & (1<<integerBits - 1)}
}

// String returns the version as ETag and Edgehold-Version have it: "epoch.index" in decimal.
func (v Version) String() string {
	return strconv.FormatUint(v.Epoch, 10) + "." + strconv.FormatUint(v.Index, 10)
}

// ParseVersion parses the text that [Version.String] returns. It returns CodeInvalid for any other text.
func ParseVersion(s string) (Version, error) {
	e, i, ok := strings.Cut(s, ".")
	epoch, err1 := strconv.ParseUint(e, 10, 64)
	index, err2 := strconv.ParseUint(i, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return Version{}, Errorf(CodeInvalid, "version %q is not of the form EPOCH.INDEX", s)
	}
	return Version{epoch, index}, nil
}
