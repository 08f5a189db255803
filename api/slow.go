package api

import (
	"context"
	"time"
)

// Slow is what operators ask about the requests that took longest, and about the keys that are asked for most. Every node answers it.
type Slow interface {
	// SlowRequests returns what the nodes remember: this node if node is "", every node if it is [EveryNode], else the node of that
	// name. It waits a second for other nodes. CodeNotFound if there is no node of that name.
	SlowRequests(ctx context.Context, node NodeID) (*SlowReport, error)
}

// EveryNode stands for all nodes in [Slow].
const EveryNode NodeID = "*"

// SlowReport is what some nodes remember of the last minutes: the answer of GET /v1/cluster/slow.
type SlowReport struct {
	// Nodes has a row for each node that was asked.
	Nodes []SlowNode `json:"nodes"`
	// Slow has the slowest requests of the last five minutes, the slowest first.
	Slow []SlowRequest `json:"slow"`
	// Hot has the keys that were asked for most in about the last minute, at most 20 of a node, the hottest first.
	Hot []HotKey `json:"hot"`
}

// SlowNode is a node that was asked for a [SlowReport].
type SlowNode struct {
	Node NodeID `json:"node"`
	// State is "up"; "unreachable" if the node did not answer; or "older" if it runs a version that does not remember slow requests.
	// The report has nothing of a node that is not up.
	State string `json:"state"`
}

// SlowRequest is a request of a client that took long. Node is where the client sent it.
type SlowRequest struct {
	Front string `json:"front"` // as in the metrics: "http", "calls", "resp" ..
	Route string `json:"route"` // likewise: "kv", "list", "read" ..
	// Key is the key that the request named first, or the start of the range that it lists. Hidden means that the caller may not list
	// the key: it is left out.
	Key    Key  `json:"-" cbor:"key"` // rendered as key or key_base64
	Hidden bool `json:"hidden,omitempty"`
	// Keys is how many keys it named, if it named several.
	Keys    int       `json:"keys,omitempty"`
	Node    NodeID    `json:"node"`
	Started time.Time `json:"started" cbor:"-"`
	TookMS  float64   `json:"took_ms"`
	// Source is what answered: "lease", "owner" or "stale"; "" after an error, and then Error is its code.
	Source string     `json:"source,omitempty"`
	Error  Code       `json:"error,omitempty"`
	Group  GroupID    `json:"group,omitempty"` // the owner, if there is one
	Parts  []SlowPart `json:"parts"`           // where the time went
	// TraceID is that of the request's trace, if it has one.
	TraceID string `json:"trace_id,omitempty"`
}

// SlowPart is a part of the time of a [SlowRequest].
type SlowPart struct {
	// What is "route", "revoke" or "commit", as in [Timing], or "node": the rest, at the node itself, such as waiting to be let in
	// and reading the body. A part "holder" is one lease holder that the write waited for: such waits go on at the same time, and are
	// inside "revoke".
	What string `json:"what"`
	// Node is the node that took the time; "" if it is not known.
	Node NodeID  `json:"node,omitempty"`
	MS   float64 `json:"ms"`
}

// HotKey is a key that is asked for often at a node. The rates are estimates from a sample of the requests.
type HotKey struct {
	Key    Key     `json:"-" cbor:"key"` // rendered as key or key_base64
	Hidden bool    `json:"hidden,omitempty"`
	Node   NodeID  `json:"node"`
	Reads  float64 `json:"reads_per_second"`
	Writes float64 `json:"writes_per_second"`
}
