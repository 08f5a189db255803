// Package words holds the messages between nodes that applications never see: sessions and their keep-alives,
// revocations, the clocks by which leases are judged, and the age of a request.
package words
