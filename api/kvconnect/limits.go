package kvconnect

import "time"

// The limits of the protocol. A request over one of them is refused, and nothing is done.
const (
	maxKeyBytes   = 2048
	maxValueBytes = 64 << 10
	maxRanges     = 10
	maxEntries    = 1000 // of all ranges of a read
	maxChecks     = 100
	maxMutations  = 1000
	maxWriteBytes = 800 << 10 // of all keys and values of a write
	maxWatched    = 10
)

// maxBodyBytes bounds the bodies of the data path: a whole write, its checks, and what the encoding adds.
const maxBodyBytes = 2 << 20

const (
	// metadataLife is how long clients may use what the metadata exchange says.
	metadataLife = time.Hour
	// pingInterval is how often a watch without messages sends a ping.
	pingInterval = 5 * time.Second
)
