package fsm

import "github.com/edgehold/edgehold/api"

// Limits of a machine. A command over a limit is refused with [api.CodeUnavailable], which names the limit; a lease over a limit
// is not granted. All replicas of a group must have the same limits.
const (
	MaxSessions      = 100_000
	MaxSessionLeases = 100_000
	MaxKeyHolders    = 64
	MaxClientRecords = 65_536
	MaxRecords       = 8_000_000
	// MaxRecordBytes bounds the values that the record of one request keeps.
	MaxRecordBytes = 64 << 10
	// MaxPrepared bounds the transactions that have prepared in a group and are not resolved, MaxFinished those together with
	// the ones that are remembered as resolved; MaxDecisions what a decision group remembers.
	MaxPrepared  = 10_000
	MaxFinished  = 8_000_000
	MaxDecisions = 8_000_000
	// MaxReaders bounds the transactions with a shared intent on one key.
	MaxReaders = 256
	// MaxNamedIntents bounds the intents that one refusal names.
	MaxNamedIntents = 1000
	// MaxReceiptRecords, MaxReceiptBytes and MaxReceiptClients bound what the receipts of all groups that share a range carry
	// together; each group may carry its part of it.
	MaxReceiptRecords = 100_000
	MaxReceiptBytes   = 8 << 20 // of records
	MaxReceiptClients = 100_000
	// DedupEpochs is for how many whole dedup epochs the results of idle clients are kept.
	DedupEpochs = 24
	// AttemptEpochs is the same for attempts of requests with opaque ids that were aborted. A commit that is older is refused.
	AttemptEpochs = 2
	// DefaultHistory is how many bytes the history of a group takes until a HistoryMax says something else.
	DefaultHistory = 32 << 20
	// MaxHistory is the highest bound of the history that a HistoryMax may set, in bytes.
	MaxHistory = 1 << 40
	// MaxEventBytes bounds the value that an event in the history keeps. An event with a longer value has none, and says so.
	MaxEventBytes = 64 << 10
	// MaxSweep bounds the rows that one TrimTombstones or ExpireDedup looks at.
	MaxSweep = 10_000
)

// Limits of the codec: what no honest command exceeds.
const (
	maxShards  = 1 << 16
	maxDropped = api.MaxTxnOps * MaxKeyHolders
	maxGroups  = 1 << 10
	maxItems   = 1 << 12
	// maxReceiptRecords leaves room for the receipts of many groups joined.
	maxReceiptRecords = 1 << 20
	// maxSum is the length of the longest sum of an add.
	maxSum = 20
	// maxSweepBytes is room for the key at which an ExpireDedup goes on.
	maxSweepBytes = 512
)

// limits are those that tests make smaller.
type limits struct {
	sessions, sessionLeases, keyHolders int
	clientRecords, records              int
	prepared, finished, decisions       int
	readers                             int // of a key
	work                                int // bytes that the steps of one branch read and make
	receiptRecords, receiptClients      int // in all receipts of one move

	cedeHolders int // named in one refusal of a Cede
	killChunk   int // leases read at a time while a session ends
}

var defaultLimits = limits{
	sessions: MaxSessions, sessionLeases: MaxSessionLeases, keyHolders: MaxKeyHolders,
	clientRecords: MaxClientRecords, records: MaxRecords,
	prepared: MaxPrepared, finished: MaxFinished, decisions: MaxDecisions, readers: MaxReaders, work: api.MaxTxnWorkBytes,
	receiptRecords: MaxReceiptRecords, receiptClients: MaxReceiptClients,
	cedeHolders: 1024, killChunk: 1024,
}
