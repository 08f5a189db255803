package words

import "github.com/edgehold/edgehold/api"

// ListResult answers a ListRequest between nodes.
type ListResult struct {
	api.ListResult `cbor:"1,keyasint"`
	// At has an element for each answer of a group that the page was made of, in the order in which they came. It is empty if the
	// page may be stale.
	At []Listed `cbor:"2,keyasint,omitempty"`
}

// Listed says that a group listed the keys of a piece as they were at a position, read in the same view. The piece's Range is what
// the answer covers: the range that was asked for, up to and with the answer's last key if there is more. A page may have fewer of
// these keys.
type Listed struct {
	Piece `cbor:"1,keyasint"`
	At    Position `cbor:"2,keyasint"`
}
