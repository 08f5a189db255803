//go:build !mutants

package watch

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardMovedSince  = true // a new owner is asked from where it took the piece over, not from now
	guardOneFeed     = true // the pieces of one group have one feed, and begin at one position
	guardEarliest    = true // they begin at the earliest position that the group has said, which no piece was given up before
	guardOldest      = true // a watch from the oldest change reports that those of an earlier owner are missing
	guardOwners      = true // a cursor that names an owner which there never was begins behind a gap
	guardAnotherLife = true // so does one that is ahead of the map and of which its owner does not know
	guardGap         = true // a gap is reported
	guardWhole       = true // an id stands behind whole commands only
	guardFirstPage   = true // the cursor of a list has the position of the first contact with each piece
	guardPageRepeats = true // what a page has already is not delivered again
)
