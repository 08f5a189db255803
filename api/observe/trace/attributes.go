package trace

// The attributes of spans. Those without the prefix "edgehold." are of OpenTelemetry's semantic conventions.
const (
	ErrorType = "error.type"

	HTTPMethod = "http.request.method"
	HTTPRoute  = "http.route"
	HTTPStatus = "http.response.status_code"

	DBSystem    = "db.system.name"
	DBOperation = "db.operation.name"

	RPCSystem = "rpc.system.name"
	RPCMethod = "rpc.method"

	// Front is the protocol that a request came by, as in the metrics.
	Front = "edgehold.front"
	// Node is the node that a call goes to or comes from, or that is waited for.
	Node = "edgehold.node"
	// Group is the group whose log, keys or leases the span is about.
	Group = "edgehold.group"
	// ServedBy is what answered a read: lease, owner or stale.
	ServedBy = "edgehold.served_by"
	// Mode is how a transaction was carried out: m0, m1, m2 or m3.
	Mode = "edgehold.txn.mode"
	// Holders is how many leases a write waited for.
	Holders = "edgehold.lease.count"
)

// System is the name of this product in attributes.
const System = "edgehold"
