package httpd

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/httpd/openapi"
)

// introduction is what the document says of the whole API.
const introduction = `Any node serves any key. GET is also answered as HEAD, but for streams. A path is taken as it was sent: keys in it are percent-encoded bytes, ` +
	`and nothing is cleaned or redirected. A query parameter that an operation does not know is refused.

Errors are application/problem+json (RFC 9457): "code" is for programs, and "applied" says whether the request took effect: "no", or "unknown". ` +
	`A write with an Idempotency-Key may be sent again through any node, and takes effect once.

A method that a path does not have is answered 405 with Allow, and a path that is none with 404.`

// parameter is a part of the query or of the path.
type parameter struct {
	text   string
	schema openapi.Schema
}

func duration() openapi.Schema { return openapi.Schema{Type: "string"} }

var boolean = openapi.Schema{Type: "boolean"}

// queryParameters are those of all routes. A name means the same everywhere.
var queryParameters = map[string]parameter{
	"timeout":     {"Bounds the request: a duration such as 5s, or seconds. 10 s if it is not given, 10 minutes at most. A watch ends then; without it, a watch goes on.", duration()},
	"consistency": {"How new the answer must be. Writes take no parameter of this name.", openapi.Schema{Type: "string", Enum: []string{"linearizable", "quorum", "bounded", "stale"}, Default: "linearizable"}},
	"max_stale":   {"With consistency=bounded: how old the answer may be, such as 5s.", duration()},
	"ttl":         {"How long the key lives, such as 30s. Without it and without keep_ttl the key does not expire.", duration()},
	"keep_ttl":    {"The key expires when it would have before.", boolean},
	"prefix":      {"The keys that begin with this. It does not go with start or end.", openapi.Schema{Type: "string", MaxLength: api.MaxKeyBytes}},
	"start":       {"The first key.", openapi.Schema{Type: "string", MaxLength: api.MaxKeyBytes}},
	"end":         {"The key before which the range ends.", openapi.Schema{Type: "string", MaxLength: api.MaxKeyBytes}},
	"limit":       {"The most entries of a page.", openapi.Schema{Type: "integer", Minimum: new(int64(1)), Maximum: new(int64(api.MaxListLimit)), Default: api.DefaultListLimit}},
	"reverse":     {"From the last key to the first.", boolean},
	"keys_only":   {"Without the values.", boolean},
	"page":        {"The page to go on with: next of the page before.", openapi.Schema{Type: "string"}},
	"from":        {"The cursor to go on from: cursor of a list, or the id of an event. oldest begins with the oldest change that is kept. Without it, from now.", openapi.Schema{Type: "string", MaxLength: api.MaxCursorBytes}},
	"list":        {"Begin with what there is.", boolean},
	"collapse":    {"Several changes of a key that wait may become the last one.", boolean},
	"values":      {"Whether events have the values.", openapi.Schema{Type: "boolean", Default: true}},
	"wait":        {"How long the change waits until every node judges by it: 10 s if it is not given.", duration()},
	"seen_at":     {"Only the tokens that were shown to this node since it started.", openapi.Schema{Type: "string"}},
	"force":       {"Take the policy from the tokens that have it.", boolean},
	"node":        {"Only of this node.", openapi.Schema{Type: "string"}},
}

// pathParameters are the names in braces.
var pathParameters = map[string]parameter{
	"key":    {"The key, 1 to 4096 bytes, percent-encoded. A slash may stand as it is.", openapi.Schema{Type: "string", MinLength: 1}},
	"name":   {"The name of the setting.", openapi.Schema{Type: "string", MinLength: 1}},
	"node":   {"The name of the node.", openapi.Schema{Type: "string", MinLength: 1}},
	"group":  {"The name of the group.", openapi.Schema{Type: "string", MinLength: 1}},
	"region": {"The name of the region.", openapi.Schema{Type: "string", MinLength: 1}},
	"id":     {"The id of the join token.", openapi.Schema{Type: "string", MinLength: 1}},
	"token":  {"The name or the id of the token.", openapi.Schema{Type: "string", MinLength: 1}},
	"policy": {"The name of the policy.", openapi.Schema{Type: "string", MinLength: 1}},
}

func queryParameter(_ *route, name string) *openapi.Parameter {
	p, ok := queryParameters[name]
	if !ok {
		panic("no query parameter is called " + name)
	}
	return &openapi.Parameter{Name: name, In: "query", Description: p.text, Schema: &p.schema}
}

func pathParameter(r *route, name string) *openapi.Parameter {
	p, ok := pathParameters[name]
	if !ok {
		panic("no part of a path is called " + name)
	}
	if strings.HasPrefix(r.path, lockPrefix) {
		p.text = "The name of the lock, percent-encoded."
	}
	return &openapi.Parameter{Name: name, In: "path", Description: p.text, Required: true, Schema: &p.schema}
}

// requestHeaders are what operations look at, beside Authorization.
var requestHeaders = map[string]openapi.Parameter{
	"If-Match": {Description: `Versions in quotes, of which the key must have one, or * for any: else 412.`,
		Schema: &openapi.Schema{Type: "string"}},
	"If-None-Match": {Description: `On a read: versions in quotes that the client has: 304 if the key has one of them. On a write: versions in quotes that the key must not have, or *: the key must be absent; else 412.`,
		Schema: &openapi.Schema{Type: "string"}},
	"Idempotency-Key": {Description: "Makes the request safe to repeat, through any node, for at least 24 hours. The same key with another request is a conflict.",
		Schema: &openapi.Schema{Type: "string", MinLength: 1}},
	"Last-Event-ID": {Description: "The id of the last event: the watch goes on after it. It wins over from.",
		Schema: &openapi.Schema{Type: "string", MaxLength: api.MaxCursorBytes}},
	"Upgrade": {Description: "The protocol of package api/wire.", Required: true, Schema: &openapi.Schema{Type: "string"}},
}

// alwaysGiven are the headers of every answer.
var alwaysGiven = []string{"Cache-Control", "Edgehold-Node", "X-Content-Type-Options"}

// errorHeaders are those of errors, by status.
var errorHeaders = map[int][]string{
	http.StatusUnauthorized:         {"WWW-Authenticate"},
	http.StatusNotFound:             {"Edgehold-Version", "Edgehold-Served-By", "Edgehold-Owner", "Edgehold-Age", "Age", "Server-Timing"},
	http.StatusPreconditionFailed:   {"ETag", "Edgehold-Version", "Edgehold-Served-By", "Edgehold-Owner", "Edgehold-TTL", "Edgehold-Age", "Age", "Edgehold-Replayed", "Server-Timing"},
	http.StatusUnsupportedMediaType: {"Accept-Encoding"},
	http.StatusTooManyRequests:      {"Retry-After"},
	http.StatusServiceUnavailable:   {"Retry-After"},
	http.StatusUpgradeRequired:      {"Upgrade", "Connection"},
}

var text = &openapi.Schema{Type: "string"}

// answerHeaders are those of answers.
var answerHeaders = map[string]openapi.Header{
	"Accept-Encoding":        {Description: "identity: the only coding of a body that is taken.", Schema: text},
	"Age":                    {Description: "Edgehold-Age in whole seconds.", Schema: &openapi.Schema{Type: "integer"}},
	"Cache-Control":          {Description: "no-store: answers are kept by leases, not by proxies.", Schema: text},
	"Connection":             {Description: "upgrade.", Schema: text},
	"ETag":                   {Description: "The version in quotes, for If-Match and If-None-Match.", Schema: text},
	"Edgehold-Age":           {Description: "How old the answer is at most, in seconds, if it may be stale.", Schema: &openapi.Schema{Type: "number"}},
	"Edgehold-Fence":         {Description: "The fence of a lock.", Schema: &openapi.Schema{Type: "integer"}},
	"Edgehold-Node":          {Description: "The node that answers.", Schema: text},
	"Edgehold-Owner":         {Description: "The group that owns the key.", Schema: text},
	"Edgehold-Replayed":      {Description: "true: an earlier request with the same Idempotency-Key has had this effect.", Schema: text},
	"Edgehold-Served-By":     {Description: "Who answers: the node under a lease, the owner, or a cache that may be stale.", Schema: &openapi.Schema{Type: "string", Enum: []string{"lease", "owner", "stale"}}},
	"Edgehold-TTL":           {Description: "How long the key still lives, in seconds, if it expires.", Schema: &openapi.Schema{Type: "number"}},
	"Edgehold-Version":       {Description: "The version of the key, or of the write: EPOCH.INDEX.", Schema: &openapi.Schema{Type: "string", Pattern: versionPattern}},
	"Retry-After":            {Description: "How long to wait before the next try, in whole seconds.", Schema: &openapi.Schema{Type: "integer"}, Required: true},
	"Server-Timing":          {Description: "Where the time went: route, revoke, commit, and how a transaction was carried out.", Schema: text},
	"Upgrade":                {Description: "The protocol of package api/wire.", Schema: text},
	"WWW-Authenticate":       {Description: "Bearer: a token is needed.", Schema: text, Required: true},
	"X-Accel-Buffering":      {Description: "no: a proxy is to pass events on at once.", Schema: text},
	"X-Content-Type-Options": {Description: "nosniff.", Schema: text},
}

// versionPattern matches versions as text.
const versionPattern = `^[0-9]+\.[0-9]+$`

// componentNames are the names of components whose types are not exported.
var componentNames = map[reflect.Type]string{
	reflect.TypeFor[problem]():       "Problem",
	reflect.TypeFor[contenderBody](): "LockHolder",
	reflect.TypeFor[rangeBody]():     "RangeStatus",
	reflect.TypeFor[statusBody]():    "Status",
	reflect.TypeFor[slowRow]():       "SlowRequest",
	reflect.TypeFor[hotRow]():        "HotKey",
	reflect.TypeFor[entryBody]():     "Entry",
	reflect.TypeFor[resultBody]():    "TxnResult",
}

// entryBody is an entry of a list as appendEntry writes it.
type entryBody struct {
	keyText
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
	Version     string  `json:"version"`
	TTL         string  `json:"ttl,omitempty"`
}

// listBody is a page as sendPage writes it.
type listBody struct {
	Entries []entryBody `json:"entries"`
	Next    string      `json:"next,omitempty"`
	Cursor  string      `json:"cursor,omitempty"`
}

// txnBody is the answer to a transaction as replyTxn writes it, and resultBody what appendResult and appendListed write.
type txnBody struct {
	Committed bool         `json:"committed"`
	Results   []resultBody `json:"results"`
	Version   string       `json:"version,omitempty"`
	Replayed  bool         `json:"replayed,omitempty"`
}

type resultBody struct {
	keyText
	Prefix       *string     `json:"prefix,omitempty"`
	PrefixBase64 []byte      `json:"prefix_base64,omitempty"`
	Exists       *bool       `json:"exists,omitempty"`
	Elided       bool        `json:"elided,omitempty"`
	Value        *string     `json:"value,omitempty"`
	ValueBase64  []byte      `json:"value_base64,omitempty"`
	Version      string      `json:"version,omitempty"`
	TTL          string      `json:"ttl,omitempty"`
	Entries      []entryBody `json:"entries,omitempty"`
}

// The data of the events of a watch, as appendEvent and its like write them.
type (
	putEvent struct {
		keyText
		Value       *string `json:"value,omitempty"`
		ValueBase64 []byte  `json:"value_base64,omitempty"`
		Version     string  `json:"version"`
		TTL         string  `json:"ttl,omitempty"`
		Txn         string  `json:"txn,omitempty"`
		Elided      bool    `json:"elided,omitempty"`
	}
	deleteEvent struct {
		keyText
		Version string `json:"version"`
		Expired bool   `json:"expired,omitempty"`
		Txn     string `json:"txn,omitempty"`
		Elided  bool   `json:"elided,omitempty"`
	}
	gapEvent struct {
		Start       *string       `json:"start,omitempty"`
		StartBase64 []byte        `json:"start_base64,omitempty"`
		End         *string       `json:"end,omitempty"`
		EndBase64   []byte        `json:"end_base64,omitempty"`
		Reason      api.GapReason `json:"reason"`
	}
	progressEvent struct {
		Age float64 `json:"age"`
	}
	plainEvent struct{}
)

// eventData is the data of events, by the name of the event.
var eventData = map[string]any{
	"put": putEvent{}, "delete": deleteEvent{}, "gap": gapEvent{}, "progress": progressEvent{}, "reset": plainEvent{}, "ready": plainEvent{},
	"live": liveBody{}, "end": problem{},
}

// eventsOf is the shape of a stream of these events. The stream itself is text; the data of each event is a component.
func eventsOf(events ...string) shape {
	return func(s *openapi.Schemas) *openapi.Schema {
		var parts []string
		for _, name := range events {
			component := strings.ToUpper(name[:1]) + name[1:] + "Event"
			s.Own(component, eventData[name])
			parts = append(parts, fmt.Sprintf("of %s the component %s", name, component))
		}
		return &openapi.Schema{Type: "string", Description: "Server-Sent Events. The data of an event is JSON: " + strings.Join(parts, ", ") + "."}
	}
}

// txnShape is the body of a transaction, made from the table of operations that the parser uses.
func txnShape(s *openapi.Schemas) *openapi.Schema {
	none := &openapi.Additional{}
	steps := &openapi.Schema{Type: "object", MinProperties: 1, MaxProperties: 1, Properties: map[string]*openapi.Schema{}, AdditionalProperties: none}
	for name, k := range kinds {
		steps.Properties[name] = &openapi.Schema{Type: "object", Properties: txnMembers(k.members), AdditionalProperties: none}
	}
	s.Add("TxnStep", steps)
	s.Add("TxnCondition", &openapi.Schema{Type: "object", Properties: txnMembers(condMembers), AdditionalProperties: none})
	of := func(name string) *openapi.Schema { return &openapi.Schema{Type: "array", Items: openapi.Ref(name)} }
	s.Add("Txn", &openapi.Schema{Type: "object", AdditionalProperties: none, Properties: map[string]*openapi.Schema{
		"if": of("TxnCondition"), "then": of("TxnStep"), "else": of("TxnStep"), "age": wholeNumber(),
	}})
	return openapi.Ref("Txn")
}

// wholeNumber is an integer of 64 bits, as a number or as decimal text.
func wholeNumber() *openapi.Schema {
	return &openapi.Schema{OneOf: []*openapi.Schema{{Type: "integer"}, {Type: "string", Pattern: `^-?[0-9]+$`}}}
}

// txnMembers are the schemas of members of operations and conditions.
func txnMembers(names []string) map[string]*openapi.Schema {
	all := map[string]*openapi.Schema{}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, "_base64"):
			all[name] = &openapi.Schema{Type: "string", ContentEncoding: "base64"}
		case name == "delta":
			all[name] = wholeNumber()
		case name == "limit":
			all[name] = &openapi.Schema{OneOf: []*openapi.Schema{
				{Type: "integer", Minimum: new(int64(1)), Maximum: new(int64(api.MaxListLimit))}, {Type: "string", Pattern: `^[0-9]+$`}}}
		case name == "exists" || name == "keep_ttl":
			all[name] = &openapi.Schema{Type: "boolean"}
		case name == "version":
			all[name] = &openapi.Schema{Type: "string", Pattern: versionPattern}
		default:
			all[name] = &openapi.Schema{Type: "string"}
		}
	}
	return all
}

// lockShape is the body of a request about a lock, of the members that its handler takes.
func lockShape(name string, must int, members ...string) shape {
	return func(s *openapi.Schemas) *openapi.Schema {
		o := &openapi.Schema{Type: "object", Properties: map[string]*openapi.Schema{}, AdditionalProperties: &openapi.Additional{}, Required: members[:must]}
		for _, m := range members {
			o.Properties[m] = &openapi.Schema{Type: "string"}
			if m == "fence" {
				o.Properties[m] = wholeNumber()
			}
		}
		s.Add(name, o)
		return openapi.Ref(name)
	}
}
