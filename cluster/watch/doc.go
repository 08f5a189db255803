// Package watch delivers changes in ranges of keys to the watchers at one node.
//
// A merge joins the feeds of all pieces of a range: it follows pieces to their new owners and reports what is missing as gaps. A source
// is a merge that many watchers share, with a ring of its last events. A watcher takes from the ring by its own position, and
// keeps nothing else. One whose position is no longer in the ring catches up by a merge of its own until it is.
package watch
