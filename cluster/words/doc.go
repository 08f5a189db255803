// Package words holds what nodes say to each other and applications never see: sessions and their keep-alives, revocations, the
// clocks by which leases are judged, and the age of a request.
package words
