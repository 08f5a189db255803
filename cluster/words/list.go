package words

import "github.com/edgehold/edgehold/api"

// ListResult answers a ListRequest between nodes. On the wire it is an [api.ListResult] with one more field.
type ListResult struct {
	api.ListResult
	// At has an element for each answer of a group that the page was made of, in the order in which they came. Of the range that
	// the page covers, each part is in one of them, and nothing else is. At is empty if the page may be stale.
	At []Listed `cbor:"20,keyasint,omitempty"`
}

// Listed says that a group listed the keys of a piece as they were at a position, read in the same view. The piece's Range is what
// the page has of the answer: the range that was asked for, up to and with the page's last key if there is more.
type Listed struct {
	Piece `cbor:"1,keyasint"`
	At    Position `cbor:"2,keyasint"`
}
