package httpd

// What the document says of the routes on keys.
var (
	conditions = []string{"If-Match", "If-None-Match"}
	writeTakes = []string{"If-Match", "If-None-Match", "Idempotency-Key"}
	readGives  = []string{"ETag", "Edgehold-Version", "Edgehold-Served-By", "Edgehold-Owner", "Edgehold-TTL", "Edgehold-Age", "Age", "Server-Timing"}
	writeGives = []string{"ETag", "Edgehold-Version", "Edgehold-Served-By", "Edgehold-Owner", "Edgehold-TTL", "Edgehold-Replayed", "Server-Timing"}
	listGives  = []string{"Edgehold-Served-By", "Edgehold-Age", "Age"}
	txnGives   = []string{"Edgehold-Version", "Edgehold-Served-By", "Edgehold-Owner", "Edgehold-Replayed", "Server-Timing"}
	watchGives = []string{"X-Accel-Buffering"}
)

// problemStart begins the examples of errors.
const problemStart = `{"type":"urn:edgehold:error:`

var aboutGetKey = about{
	id: "getKey", tag: "keys", summary: "Read a key", head: true,
	text:  "The answer is the value. It is linearizable: under a lease of the node if it has one, else by the owner of the key.",
	media: "application/octet-stream", takes: conditions, gives: readGives, errors: []int{404, 412},
	examples: []example{
		{name: "read", summary: "Read a key", target: "/v1/kv/us-east/alice", status: 200, answer: "hello"},
		{name: "stale", summary: "Take what is near", target: "/v1/kv/us-east/alice?consistency=stale", status: 200, answer: "hello"},
		{name: "bounded", summary: "Take what is at most 5 s old", target: "/v1/kv/us-east/alice?consistency=bounded&max_stale=5s&timeout=2s", status: 200, answer: "hello"},
		{name: "changed", summary: "Read a key unless it is still at a version", target: "/v1/kv/us-east/alice", lines: []string{`If-None-Match: "1.1"`}, status: 200, answer: "hello"},
		{name: "absent", summary: "A key that is absent", target: "/v1/kv/us-east/nobody", status: 404,
			answer: problemStart + `not_found","title":"Not found","status":404,"detail":"there is no such key","code":"not_found","applied":"no","key":"us-east/nobody","version":"0.0"}`},
		{name: "other", summary: "A key that has another version", target: "/v1/kv/us-east/alice", lines: []string{`If-Match: "1.1"`}, status: 412,
			answer: problemStart + `precondition_failed","title":"A condition did not hold","status":412,"detail":"the key is at version 1.18","code":"precondition_failed","applied":"no","key":"us-east/alice","version":"1.18"}`},
	},
}

var aboutPutKey = about{
	id: "putKey", tag: "keys", summary: "Write a key", text: "The body is the value. The answer has the new version.",
	must: false, out: answers(writeBody{}), takes: writeTakes, gives: writeGives, errors: []int{409, 412},
	examples: []example{
		{name: "write", summary: "Write a key", target: "/v1/kv/us-east/alice", body: "hello", status: 200, answer: `{"key":"us-east/alice","version":"1.18"}`},
		{name: "new", summary: "Write a key that must be absent", target: "/v1/kv/us-east/new", lines: []string{"If-None-Match: *"}, body: "1", status: 200, answer: `{"key":"us-east/new","version":"1.19"}`},
		{name: "expires", summary: "Write a key that expires", target: "/v1/kv/us-east/brief?ttl=30s", body: "1", status: 200, answer: `{"key":"us-east/brief","version":"1.20"}`},
		{name: "keeps", summary: "Write a key that expires when it would have before", target: "/v1/kv/us-east/brief?keep_ttl=true", body: "2", status: 200, answer: `{"key":"us-east/brief","version":"1.21"}`},
		{name: "once", summary: "Write a key once, however often the request is sent", target: "/v1/kv/us-east/once", lines: []string{"Idempotency-Key: order-77"}, body: "5", status: 200, answer: `{"key":"us-east/once","version":"1.22"}`},
		{name: "other", summary: "Write a key that has another version", target: "/v1/kv/us-east/alice", lines: []string{`If-Match: "1.1"`}, body: "bye", status: 412,
			answer: problemStart + `precondition_failed","title":"A condition did not hold","status":412,"detail":"the key is at version 1.18","code":"precondition_failed","applied":"no","key":"us-east/alice","version":"1.18"}`},
	},
}

var aboutDeleteKey = about{
	id: "deleteKey", tag: "keys", summary: "Delete a key", text: "It is no error if the key is absent already.",
	out: answers(writeBody{}), takes: writeTakes, gives: writeGives, errors: []int{409, 412},
	examples: []example{
		{name: "delete", summary: "Delete a key", target: "/v1/kv/us-east/brief", status: 200, answer: `{"key":"us-east/brief","version":"1.23"}`},
	},
}

var aboutGetList = about{
	id: "listKeys", tag: "keys", summary: "List keys",
	text: "prefix, or start and end, choose the keys; all keys without them. If there is more, the answer has next: send it as page. The last page has a cursor, from which a watch goes on. " +
		"Each page is linearizable for each group that it covers; several pages are no snapshot.",
	out: answers(listBody{}), gives: listGives,
	examples: []example{
		{name: "prefix", summary: "List the keys with a prefix", target: "/v1/kv?prefix=us-east/a&limit=10", status: 200, answer: `{"entries":[{"key":"us-east/alice","value":"hello","version":"1.18"}],"cursor":"AQ"}`},
		{name: "range", summary: "List keys without values, backwards", target: "/v1/kv?start=us-east/a&end=us-east/b&keys_only=true&reverse=true", status: 200, answer: `{"entries":[{"key":"us-east/alice","version":"1.18"}],"cursor":"AQ"}`},
	},
}

var aboutGetWatch = about{
	id: "watchKeys", tag: "watch", summary: "Watch keys",
	text: "Server-Sent Events: put and delete for each change; ready when a list has ended; progress while nothing changes; reset and gap if what the client has is not whole any more; " +
		"end, with a problem, before the connection ends for another reason than the client's. An event with an id is a place from which any node goes on.",
	out: eventsOf("put", "delete", "ready", "progress", "reset", "gap", "end"), media: "text/event-stream", takes: []string{"Last-Event-ID"}, gives: watchGives,
	examples: []example{
		{name: "list", summary: "What there is under a prefix, and then what changes, for a moment", target: "/v1/watch?prefix=us-east/a&list=true&timeout=500ms", status: 200,
			answer: "retry: 1000\n\nevent: reset\ndata: {}\n\nevent: put\ndata: {\"key\":\"us-east/alice\",\"value\":\"hello\",\"version\":\"1.18\"}\n\nevent: ready\ndata: {}\nid: AQ\n\n"},
	},
}

var aboutPostTxn = about{
	id: "transact", tag: "transactions", summary: "Read and write several keys at once",
	text: "If every condition of if holds, the steps of then are carried out, else those of else, all or none of them. committed reports whether if held. " +
		"A result stands for each step that ran. Steps without if and else that are all get read one snapshot.",
	in: txnShape, must: true, out: answers(txnBody{}), takes: []string{"Idempotency-Key"}, gives: txnGives, errors: []int{409, 412},
	examples: []example{
		{name: "move", summary: "Take from one key and give to another, of any regions", target: "/v1/txn",
			body:   `{"if":[{"key":"us-east/gone","exists":false}],"then":[{"add":{"key":"us-east/stock","delta":-1}},{"put":{"key":"us-east/order","value":"1"}}]}`,
			status: 200, answer: `{"committed":true,"results":[{"key":"us-east/stock","value":"-1","version":"1.24"},{"key":"us-east/order","version":"1.24"}],"version":"1.24"}`},
		{name: "snapshot", summary: "Read two keys as of one instant", target: "/v1/txn",
			body:   `{"then":[{"get":{"key":"us-east/alice"}},{"get":{"key":"us-east/nobody"}}]}`,
			status: 200, answer: `{"committed":true,"results":[{"key":"us-east/alice","value":"hello","version":"1.18"},{"key":"us-east/nobody","exists":false,"version":"0.0"}]}`},
	},
}

var aboutPostLock = about{
	id: "acquireLock", tag: "locks", summary: "Take a lock", text: "It waits for as long as wait says; without it, it does not. The fence rises with each holder. The lock ends after ttl unless it is renewed.",
	in: lockShape("AcquireLock", 1, takeMembers...), must: true, out: answers(heldBody{}), takes: []string{"Idempotency-Key"}, errors: []int{409},
	examples: []example{
		{name: "take", summary: "Take a lock for 30 s", target: "/v1/locks/nightly", lines: []string{"Idempotency-Key: worker-1"}, body: `{"ttl":"30s","wait":"1s","owner":"worker-1"}`,
			status: 200, answer: `{"id":"0123456789abcdef0123456789abcdef","fence":4294967297,"version":"1.25","ttl":"30s"}`},
	},
}

var aboutPutLock = about{
	id: "renewLock", tag: "locks", summary: "Renew a lock", text: "The lock lasts for ttl from now; without ttl, for as long as it was taken for.",
	in: lockShape("RenewLock", 2, renewMembers...), must: true, out: answers(heldBody{}), errors: []int{409, 412},
	examples: []example{{name: "lost", summary: "Renew a lock that is not held any more", target: "/v1/locks/weekly", body: `{"id":"0123456789abcdef0123456789abcdef","fence":4294967297,"ttl":"30s"}`, status: 412,
		answer: problemStart + `precondition_failed","title":"A condition did not hold","status":412,"detail":"the lock is not held under this id and fence: it was released, or its ttl has passed","code":"precondition_failed","applied":"no","key":"weekly","version":"0.0"}`}},
}

var aboutDeleteLock = about{
	id: "releaseLock", tag: "locks", summary: "Give a lock back", text: "released reports whether the lock was held by this id and fence.",
	in: lockShape("ReleaseLock", 2, releaseMembers...), must: true, out: answers(releasedBody{}),
	examples: []example{{name: "release", summary: "Give a lock back that is not held any more", target: "/v1/locks/weekly", body: `{"id":"0123456789abcdef0123456789abcdef","fence":4294967297}`, status: 200, answer: `{"released":false}`}},
}

var aboutGetLock = about{
	id: "getLock", tag: "locks", summary: "Show who holds a lock, and who waits for it", out: answers(shownBody{}),
	examples: []example{{name: "show", summary: "A lock that is free", target: "/v1/locks/weekly", status: 200, answer: `{"holder":null,"queue":[]}`}},
}

var aboutGetCalls = about{
	id: "openCalls", tag: "node", summary: "Turn the connection into a stream of calls", text: "It is for the SDKs, which speak the protocol of package api/wire over it. Other clients use the other operations.",
	takes: []string{"Upgrade"}, errors: []int{426},
	examples: []example{{name: "refused", summary: "A protocol that there is not", target: "/v1/calls", lines: []string{"Upgrade: none"}, status: 426,
		answer: problemStart + `invalid","title":"The request makes no sense","status":426,"detail":"this path takes an Upgrade","code":"invalid","applied":"no"}`}},
}
