package workerskv

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

// The limits of the protocol.
const (
	MaxKeyBytes      = 512
	MaxMetadataBytes = 1024
	MaxListKeys      = 1000
	MaxBulkKeys      = 100
)

const (
	// NamespaceHeader names the namespace of a request, whose whole path is then the protocol's.
	NamespaceHeader = "Edgehold-KV-Namespace"
	// PathPrefix begins the path of a request without the header: the namespace and the protocol's path follow.
	PathPrefix = "/workers-kv/"

	metadataHeader   = "CF-KV-Metadata"
	expirationHeader = "CF-Expiration"
	cacheHeader      = "CF-Cache-Status"

	bulkPath = "bulk/get"
)

// verb is what a request asks for.
type verb string

const (
	get    verb = "get"
	put    verb = "put"
	remove verb = "delete"
	list   verb = "list"
	bulk   verb = "bulk"
)

// request is what the head of a request asks for.
type request struct {
	verb      verb
	namespace namespace
	name      string // of the key
	// bounded allows a read that is at most maxStale old.
	bounded  bool
	maxStale time.Duration
	// ttl is how long the written key lives; 0 is for ever.
	ttl time.Duration
	// metadata is JSON; nil if there is none.
	metadata []byte
	// What a list asks for: at most limit keys that begin with prefix, after the one stored as after.
	// after is a stored name.
	limit         int
	prefix, after string
}

// Match reports whether a request is one of this front's.
func Match(r *http.Request) bool {
	return len(r.Header[headerKey]) > 0 || strings.HasPrefix(r.URL.Path, PathPrefix)
}

// headerKey is NamespaceHeader as net/http keeps it.
var headerKey = http.CanonicalHeaderKey(NamespaceHeader)

// parse reads the head of a request at the time now. An error is a *refusal.
func parse(r *http.Request, now time.Time) (request, error) {
	q, path, err := address(r)
	if err != nil {
		return q, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, refuse(http.StatusBadRequest, "The query of the URL is malformed.")
	}
	switch {
	case path == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return q, q.setList(query)
	case path == bulkPath && r.Method == http.MethodPost:
		q.verb = bulk
		return q, nil
	}
	if q.name, err = unescape(path); err != nil {
		return q, err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		q.verb = get
		err = q.cacheTTL(query.Has("cache_ttl"), query.Get("cache_ttl"))
	case http.MethodPut:
		q.verb = put
		if err = q.expiration(query, now); err == nil {
			err = q.setMetadata(r.Header.Values(metadataHeader))
		}
	case http.MethodDelete:
		q.verb = remove
	default:
		return q, refuse(http.StatusMethodNotAllowed, "Use GET, PUT or DELETE for a key, and POST for /"+bulkPath+".")
	}
	if err == nil {
		err = checkKey(q.name)
	}
	return q, err
}

// address returns the namespace of a request, and the protocol's path as it was sent, without its first slash.
func address(r *http.Request) (q request, path string, err error) {
	path = r.URL.EscapedPath()
	switch names := r.Header[headerKey]; len(names) {
	case 0:
		name, rest, _ := strings.Cut(strings.TrimPrefix(path, PathPrefix), "/")
		q.namespace, path = namespace(name), rest
	case 1:
		q.namespace, path = namespace(names[0]), strings.TrimPrefix(path, "/")
	default:
		return q, "", refuse(http.StatusBadRequest, NamespaceHeader+" is given more than once.")
	}
	if !q.namespace.valid() {
		return q, "", refuse(http.StatusBadRequest, "Invalid namespace "+strconv.Quote(string(q.namespace[:min(len(q.namespace), 2*MaxNamespaceBytes)]))+
			": 1 to "+strconv.Itoa(MaxNamespaceBytes)+" letters, digits, dots, hyphens and underscores, of which the first is no dot.")
	}
	return q, path, nil
}

// unescape decodes a key in a path, or a prefix.
func unescape(path string) (string, error) {
	name, err := url.PathUnescape(path)
	if err != nil || !utf8.ValidString(name) {
		return "", refuse(http.StatusBadRequest, "Could not URL-decode key name")
	}
	return name, nil
}

func checkKey(name string) error {
	switch name {
	case "":
		return refuse(http.StatusBadRequest, "Key names must not be empty")
	case ".", "..":
		return refuse(http.StatusBadRequest, `Illegal key name "`+name+`". Please use a different name.`)
	}
	return checkLength(name)
}

func checkLength(name string) error {
	if len(name) > MaxKeyBytes {
		return refuse(http.StatusRequestURITooLong, "UTF-8 encoded length of "+strconv.Itoa(len(name))+" exceeds key length limit of "+strconv.Itoa(MaxKeyBytes)+".")
	}
	return nil
}

// cacheTTL reads the age that a read accepts, in seconds. 0 accepts none.
func (q *request) cacheTTL(given bool, text string) error {
	if !given {
		return nil
	}
	seconds, err := strconv.ParseInt(text, 10, 32)
	if err != nil || seconds < 0 {
		return refuse(http.StatusBadRequest, "Invalid cache_ttl of "+short(text)+". Cache TTL must be at least 0.")
	}
	q.bounded, q.maxStale = seconds > 0, time.Duration(seconds)*time.Second
	return nil
}

// expiration reads how long a key is to live. A time to live goes before a time of expiration.
func (q *request) expiration(query url.Values, now time.Time) error {
	what, text := "expiration_ttl", query.Get("expiration_ttl")
	switch {
	case query.Has("expiration_ttl"):
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds <= 0 {
			return refuse(http.StatusBadRequest, "Invalid expiration_ttl of "+short(text)+". Please specify integer greater than 0.")
		}
		q.ttl = api.MaxTTL + time.Second
		if seconds <= int64(api.MaxTTL/time.Second) {
			q.ttl = time.Duration(seconds) * time.Second
		}
	case query.Has("expiration"):
		what, text = "expiration", query.Get("expiration")
		at, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !time.Unix(at, 0).After(now) {
			return refuse(http.StatusBadRequest, "Invalid expiration of "+short(text)+
				". Please specify integer greater than the current number of seconds since the UNIX epoch.")
		}
		q.ttl = max(time.Unix(at, 0).Sub(now), api.MinTTL)
	}
	if q.ttl > api.MaxTTL {
		return refuse(http.StatusBadRequest, "Invalid "+what+" of "+short(text)+". A key lives for at most 3650 days.")
	}
	return nil
}

func (q *request) setMetadata(values []string) error {
	switch {
	case len(values) == 0:
		return nil
	case len(values) > 1:
		return refuse(http.StatusBadRequest, metadataHeader+" is given more than once.")
	}
	text := values[0]
	if len(text) > MaxMetadataBytes {
		return refuse(http.StatusRequestEntityTooLarge, "Metadata length of "+strconv.Itoa(len(text))+" exceeds limit of "+strconv.Itoa(MaxMetadataBytes)+".")
	}
	if q.metadata = metadataOf([]byte(text)); q.metadata == nil && strings.TrimSpace(text) != "null" {
		return refuse(http.StatusBadRequest, "Metadata must be valid JSON.")
	}
	return nil
}

// setList reads what a list asks for.
func (q *request) setList(query url.Values) error {
	q.verb, q.limit, q.prefix = list, MaxListKeys, query.Get("prefix")
	if text := query.Get("key_count_limit"); query.Has("key_count_limit") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return refuse(http.StatusBadRequest, "Invalid key_count_limit of "+short(text)+". Please specify an integer greater than 0.")
		}
		if n > MaxListKeys {
			return refuse(http.StatusBadRequest, "Invalid key_count_limit of "+short(text)+". Please specify an integer of at most "+strconv.Itoa(MaxListKeys)+".")
		}
		q.limit = n
	}
	if !utf8.ValidString(q.prefix) {
		return refuse(http.StatusBadRequest, "Could not URL-decode the prefix")
	}
	if err := checkLength(q.prefix); err != nil {
		return err
	}
	return q.setCursor(query.Get("cursor"))
}

// cursorOf returns the cursor of a list that continues after a key: its stored name. So a cursor means the same at every node, for ever.
func cursorOf(n namespace, last api.Key) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.TrimPrefix(string(last), n.dir())))
}

func (q *request) setCursor(text string) error {
	after, err := base64.RawURLEncoding.Strict().DecodeString(text)
	q.after = string(after)
	if err != nil || text != "" && (len(q.after) > api.MaxKeyBytes-len(q.namespace.dir()) || !strings.HasPrefix(q.after, stored(q.prefix))) {
		return refuse(http.StatusBadRequest, "Invalid cursor. Please use the cursor of the page before, with the same prefix.")
	}
	return nil
}

// metadataOf returns the JSON that b is, on one line; nil if b is null, or no JSON.
func metadataOf(b []byte) []byte {
	if len(b) == 0 || !utf8.Valid(b) {
		return nil
	}
	var line bytes.Buffer
	if err := json.Compact(&line, b); err != nil || line.String() == "null" {
		return nil
	}
	return line.Bytes()
}

// short is the text, cut so that it fits a line.
func short(text string) string {
	const most = 32
	if len(text) > most {
		return text[:most] + ".."
	}
	return text
}
