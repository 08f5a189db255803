package cluster

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/api/observe/slow"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/api/resp"
	"github.com/edgehold/edgehold/api/wire"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/group"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/cluster/router"
	"github.com/edgehold/edgehold/cluster/traces"
	"github.com/edgehold/edgehold/cluster/txn"
	"github.com/edgehold/edgehold/cluster/watch"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
)

const (
	// MaxNameBytes bounds the name of a node and of a region. It is less than [placement.MaxNameBytes], which the map takes.
	MaxNameBytes = placement.MaxNewNameBytes
	// MaxGroupsPerRegion bounds Config.Groups.
	MaxGroupsPerRegion = placement.MaxGroupsPerRegion

	// idleWorkers bounds the workers that wait for calls, of 32 KiB each, which a node keeps once it has needed them. It is as
	// many as a share of a node's room has places.
	idleWorkers = admission.DefaultRequests
	// maxStreams bounds the streams of calls that clients have open at a node.
	maxStreams = 1024
	// calmOfNodes is how many requests of other nodes are let in even while the processors cannot keep up.
	calmOfNodes = 512

	defaultCacheBytes = 256 << 20
	// The leased cache has room for an entry for each bytesPerEntry of its memory, and for at most maxCacheEntries.
	bytesPerEntry   = 256
	maxCacheEntries = 4 << 20
)

// Limit is a row of the table of all limits.
type Limit struct {
	Of   string // one of "request", "cluster", "group" and "node"
	What string
	// Value is in Unit: "" for a number of things, "bytes", or "time" for nanoseconds.
	Value int64
	Unit  string
	After string // what happens to one over it
}

// What happens to one over a limit.
const (
	tooLarge    = "`too_large`"
	unavailable = "`unavailable`"
	atOwner     = "the key is read at its owner"
	noCommand   = "the command refuses it"
	closed      = "it is closed"
)

// Limits returns the table of all limits, as a node has them if its Config changes none. docs/limits.md is printed from it.
func Limits() []Limit {
	l := replica.DefaultLimits()
	return []Limit{
		{"request", "key of any bytes, at least one", api.MaxKeyBytes, "bytes", tooLarge},
		{"request", "value", api.MaxValueBytes, "bytes", tooLarge},
		{"request", "operations of a transaction", api.MaxTxnOps, "", tooLarge},
		{"request", "keys and values of a transaction", api.MaxTxnBytes, "bytes", tooLarge},
		{"request", "what a transaction's gets read and its functions make", api.MaxTxnWorkBytes, "bytes", tooLarge},
		{"request", "transaction in JSON", api.MaxTxnBodyBytes, "bytes", tooLarge},
		{"request", "keys of a read", api.MaxReadKeys, "", tooLarge},
		{"request", "values that one group returns to a read", api.MaxReadBytes, "bytes", tooLarge},
		{"request", "entries of a list page", api.MaxListLimit, "", "`invalid`"},
		{"request", "entries of a list page, if the request names no limit", api.DefaultListLimit, "", "the next page"},
		{"request", "list page", api.MaxListBytes, "bytes", "the next page"},
		{"request", "`Idempotency-Key`", api.MaxIdempotencyKeyBytes, "bytes", tooLarge},
		{"request", "cursor of a list or a watch", api.MaxCursorBytes, "bytes", "`invalid`"},
		{"request", "time for which the result of a write is kept", int64(fsm.DedupEpochs * group.DefaultDedupEpoch), "time", "it may be forgotten"},
		{"request", "values kept to answer it again", fsm.MaxRecordBytes, "bytes", "gets are answered `\"elided\":true`"},
		{"request", "arguments of a command of RESP", resp.MaxArgs, "", "`ERR`"},
		{"request", "argument of a command of RESP", resp.MaxArgBytes, "bytes", "`ERR`"},
		{"request", "all arguments of a command of RESP", resp.MaxCommandBytes, "bytes", "`ERR`"},
		{"request", "`?timeout=`", int64(api.MaxTimeout), "time", "`invalid`"},
		{"request", "time of a request that names no timeout", int64(api.DefaultTimeout), "time", "the request ends"},
		{"request", "attempts of a request, all retries together", admission.MaxTries, "", unavailable},
		{"request", "name of a lock", lock.MaxNameBytes, "bytes", tooLarge},
		{"request", "owner of a lock", lock.MaxOwnerBytes, "bytes", tooLarge},
		{"request", "requests for a lock, with that which holds it", lock.MaxContenders, "", unavailable},
		{"request", "time for which a request waits for a lock", int64(lock.MaxWait), "time", "`invalid`"},
		{"request", "time to live of a key or a lock, at least", int64(api.MinTTL), "time", "`invalid`"},
		{"request", "time to live of a key or a lock, at most", int64(api.MaxTTL), "time", "`invalid`"},
		{"request", "header of an HTTP request", httpd.DefaultMaxHeaderBytes, "bytes", "status 431"},
		{"request", "time for the header of an HTTP request", int64(httpd.DefaultHeaderTimeout), "time", "the connection is closed"},
		{"request", "call on a stream", httpd.MaxCallBytes, "bytes", "the stream is closed"},
		{"request", "message between nodes", wire.MaxMessageBytes, "bytes", tooLarge},
		{"request", "owners of the range of a watch", cursor.MaxPieces, "", tooLarge},
		{"request", "cursor of a watch or a list", api.MaxCursorBytes, "bytes", "`invalid`; `too_large` if the range needs more"},

		{"cluster", "name of a node, of a region", MaxNameBytes, "bytes", noCommand},
		{"cluster", "nodes", placement.MaxNodes, "", tooLarge},
		{"cluster", "groups", placement.MaxGroups, "", tooLarge},
		{"cluster", "groups of a region", MaxGroupsPerRegion, "", noCommand},
		{"cluster", "ranges", placement.MaxRanges, "", tooLarge},
		{"cluster", "host names and addresses for which the certificate of a node serves, beside the usual", placement.MaxNodeNames, "", "`invalid`"},
		{"cluster", "prefixes that an edge serves", placement.MaxScopePrefixes, "", "`invalid`"},
		{"cluster", "bytes of these prefixes", placement.MaxScopeBytes, "bytes", "`invalid`"},
		{"cluster", "root certificates", placement.MaxRoots, "", "`invalid`"},
		{"cluster", "request to join", httpd.MaxJoinBytes, "bytes", tooLarge},
		{"cluster", "requests to join that a server takes in a second", joinsPerSecond, "", "status 429"},
		{"cluster", "join tokens", placement.MaxJoinTokens, "", tooLarge},
		{"cluster", "access tokens", placement.MaxTokens, "", tooLarge},
		{"cluster", "access tokens and policies, all together", placement.MaxRollBytes, "bytes", tooLarge},
		{"cluster", "policies", placement.MaxPolicies, "", tooLarge},
		{"cluster", "rules of a policy", placement.MaxPolicyRules, "", "`invalid`"},
		{"cluster", "policies of an access token", placement.MaxTokenPolicies, "", "`invalid`"},
		{"cluster", "rules of an access token, all policies together", placement.MaxPrincipalRules, "", tooLarge},
		{"cluster", "regions and nodes at which an access token is valid, if it is not valid everywhere", placement.MaxTokenPlaces, "", "`invalid`"},

		{"group", "sessions", fsm.MaxSessions, "", unavailable},
		{"group", "leases of a session", fsm.MaxSessionLeases, "", atOwner},
		{"group", "lease holders of a key", fsm.MaxKeyHolders, "", atOwner},
		{"group", "results kept for at-most-once writes", fsm.MaxRecords, "", unavailable},
		{"group", "results that one client has not acknowledged", fsm.MaxClientRecords, "", unavailable},
		{"group", "transactions across groups that it has decided and remembers", fsm.MaxDecisions, "", unavailable},
		{"group", "transactions across groups that it has taken part in and remembers", fsm.MaxFinished, "", unavailable},
		{"group", "transactions that are prepared", fsm.MaxPrepared, "", unavailable},
		{"group", "transactions that share a lock on a key", fsm.MaxReaders, "", unavailable},
		{"group", "commands that wait for the log", int64(l.QueueCommands), "", unavailable},
		{"group", "bytes of commands that wait for the log", l.QueueBytes, "bytes", unavailable},
		{"group", "command of the log", replica.MaxCommandBytes, "bytes", tooLarge},
		{"group", "writes that wait for lease holders", group.DefaultMaxWaiting, "", unavailable},
		{"group", "history of what changed, until the leader has set what `history-max` says", fsm.DefaultHistory, "bytes", "the oldest changes leave"},
		{"group", "history that `history-max` may allow", fsm.MaxHistory, "bytes", "it counts as this"},
		{"group", "value in the history", fsm.MaxEventBytes, "bytes", "only the newest value of a key is delivered"},
		{"group", "feeds of what changes", group.MaxFeeds, "", unavailable},
		{"group", "bytes of changes that wait for one feed", group.FeedQueueBytes, "bytes", "the feed reads the history"},
		{"group", "feeds that read the history at once", group.FeedScans, "", "the next one waits"},
		{"group", "writes that wait for one lease holder", group.DefaultMaxPerHolder, "", unavailable},

		{"node", "reads of clients under way that a lease may answer", admission.DefaultLeased, "", unavailable},
		{"node", "other requests of clients under way", admission.DefaultRequests, "", unavailable},
		{"node", "requests of clients, while its processors cannot keep up", admission.DefaultCalm, "", unavailable},
		{"node", "requests of other nodes under way", admission.DefaultRequests, "", unavailable},
		{"node", "requests of other nodes, while its processors cannot keep up", calmOfNodes, "", unavailable},
		{"node", "time after which a request under way counts as slow instead", int64(admission.SlowAfter), "time", "it counts as slow"},
		{"node", "slow requests, of clients and of other nodes each", admission.DefaultSlow, "", "its place stays taken"},
		{"node", "slow requests for a key", admission.DefaultSlowPerKey, "", unavailable},
		{"node", "requests of HTTP that wait to be let in", admission.MaxWaiters, "", unavailable},
		{"node", "time for which such a request waits", int64(admission.MaxWait), "time", unavailable},
		{"node", "slow requests remembered, of each of the last minutes", slow.PerMinute, "", "the quickest are forgotten"},
		{"node", "requests and calls traced in a second", trace.PerSecond, "", "it is not traced"},
		{"node", "spans that wait for the collector", traces.MaxQueue, "", "they are dropped"},
		{"node", "requests that wait for locks", lock.DefaultMaxWaiting, "", unavailable},
		{"node", "calls about sessions and placement under way", admission.DefaultControl, "", unavailable},
		{"node", "requests under way to a group", router.MaxInside, "", unavailable},
		{"node", "the same, if the group's leader refuses them", router.MinInside, "", unavailable},
		{"node", "requests that wait because a leader asked for patience", router.DefaultMaxPaused, "", unavailable},
		{"node", "feeds of what changes that it follows at another node", remote.FeedsPerNode, "", unavailable},
		{"node", "watches", watch.MaxWatchers, "", unavailable},
		{"node", "live streams of what the cluster does", maxLiveStreams, "", unavailable},
		{"node", "feeds that its watches have open", watch.MaxUpstreams, "", "new ones are of whole directories, and shared"},
		{"node", "changes kept for the watchers of a range", watch.MaxRingBytes, "bytes", "a slow watcher reads the history"},
		{"node", "the same, of all ranges", watch.MaxRingsBytes, "bytes", "the least used ranges keep fewer"},
		{"node", "slow watchers that read the history at once", watch.MaxCatchUps, "", "the next one waits"},
		{"node", "time for which a watcher may take nothing", int64(watch.MaxWatchIdle), "time", "the watch is closed"},
		{"node", "keys of a watcher that collapses, at once", watch.MaxDirtyKeys, "", "the next batch"},
		{"node", "questions that wait for a message to another node", peer.MaxQuestions, "", unavailable},
		{"node", "transactions that are cleaned up at once", txn.DefaultMaxCleanups, "", "the next one at its keys does it"},
		{"node", "bodies of HTTP requests in memory", admission.DefaultBytes, "bytes", unavailable},
		{"node", "connections of HTTP", httpd.DefaultMaxConns, "", "the longest idle one is closed"},
		{"node", "connections of HTTP that are being refused", httpd.MaxRefusals, "", closed},
		{"node", "connections of HTTP, streams of calls and watches, together", transport.DefaultMaxHTTPConns, "", closed},
		{"node", "connections of RESP", resp.DefaultMaxConns, "", "the longest idle one is closed"},
		{"node", "large commands and open transactions of RESP", resp.DefaultMaxBytes, "bytes", "`TRYAGAIN`"},
		{"node", "large answers of RESP that clients have not accepted", resp.DefaultMaxAnswerBytes, "bytes", "the slowest client's is closed, or `TRYAGAIN`"},
		{"node", "streams of calls", maxStreams, "", unavailable},
		{"node", "calls of a stream under way", httpd.DefaultMaxStreamCalls, "", unavailable},
		{"node", "calls under way on the connection of another node", wire.DefaultMaxCalls, "", unavailable},
		{"node", "bytes of the calls on the connection of another node", wire.DefaultMaxRequestBytes, "bytes", unavailable},
		{"node", "time of an HTTP connection between two requests", int64(httpd.DefaultIdleTimeout), "time", closed},
		{"node", "connections of nodes", transport.DefaultMaxConns, "", closed},
		{"node", "connections of nodes for packed calls", transport.DefaultMaxConns, "", closed},
		{"node", "connections of each Raft lane", transport.DefaultMaxRaftConns, "", closed},
		{"node", "connections that have not said what they are", transport.DefaultMaxUnmatched, "", "one of the address with most is closed"},
		{"node", "time to say it", int64(transport.DefaultPreface), "time", closed},
		{"node", "lease streams of other nodes", remote.DefaultMaxStreams, "", unavailable},
		{"node", "lease streams of one other node", remote.StreamsPerNode, "", unavailable},
		{"node", "polls of one other node for the placement map", pollsPerNode, "", unavailable},
		{"node", "lines of its log that it keeps in memory for a debug bundle", maxLogLines, "", "the oldest ones leave"},
		{"node", "bytes of them", maxLogBytes, "bytes", "the oldest ones leave"},
		{"node", "debug bundles made at once", 1, "", unavailable},
		{"node", "file of its debug bundle", maxDebugPart, "bytes", "it is left out"},
		{"node", "leased cache", defaultCacheBytes, "bytes", "the least used entries leave"},
		{"node", "entries of the leased cache", min(defaultCacheBytes/bytesPerEntry, maxCacheEntries), "", "the least used entries leave"},
	}
}
