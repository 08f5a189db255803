// Package watch tells watchers at one node what changes in ranges of keys.
//
// A merge joins the feeds of all pieces of a range: it follows pieces to their new owners and says what is missing as gaps. A source
// is a merge that many watchers share, with a ring of what it told last. A watcher takes from the ring by its own position, and
// keeps nothing else. One whose position is no longer in the ring catches up by a merge of its own until it is.
package watch
