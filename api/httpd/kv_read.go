package httpd

import (
	"net/http"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// getKey answers GET and HEAD of a key.
func getKey(x *exchange) error {
	level, maxStale, err := x.consistency()
	if err != nil {
		return err
	}
	ifMatch, err := readTags(x.R.Header, "If-Match")
	if err != nil {
		return err
	}
	ifNoneMatch, err := readTags(x.R.Header, "If-None-Match")
	if err != nil {
		return err
	}
	x.keys[0] = x.key
	x.read = api.ReadRequest{Keys: x.keys[:], Consistency: level, MaxStale: maxStale}
	req := &x.read
	if ifNoneMatch.given {
		if known := ifNoneMatch.versions(true); len(known) > 0 {
			req.Known = known[len(known)-1:] // the newest: its value need not travel
		}
	}
	res, err := x.ask()
	if err != nil {
		return err
	}
	e := &res.Entries[0]
	x.readHeaders(res)
	x.timing(&res.Timing)
	switch {
	case ifMatch.given && !ifMatch.match(e, false):
		return x.conditionFailed(e, ifMatch)
	case !e.Exists:
		return &api.Error{Code: api.CodeNotFound, Key: x.key, Version: e.Version, Hint: "there is no such key"}
	}
	x.versionHeaders(e)
	if ifNoneMatch.given && ifNoneMatch.match(e, true) {
		x.Reply(http.StatusNotModified, 0)
		return nil
	}
	x.replyValue(e.Value)
	return nil
}

// ask asks the Store what x.read asks. The answer is in the exchange's own memory.
func (x *exchange) ask() (*api.ReadResult, error) {
	x.result.Entries = x.entries[:0]
	return &x.result, x.Store.Read(x.Ctx, &x.read, &x.result)
}

// versionHeaders sets the entry's version and, if the entry has a value, its entity tag and what is left of its time to live.
func (x *exchange) versionHeaders(e *api.Entry) {
	tag := etag(e.Version)
	x.set("Edgehold-Version", tag[1:len(tag)-1])
	if e.Exists {
		x.set("ETag", tag) // written as the RFC writes it
		x.ttlHeader(e.TTL)
	}
}

// readHeaders says which node answered, for which owner, and how old the answer is.
func (x *exchange) readHeaders(res *api.ReadResult) {
	x.ownerHeaders(res.ServedBy, res.Group)
	if res.ServedBy == api.ServedByStale {
		x.ageHeaders(res.Age)
	}
}

func (x *exchange) ageHeaders(age time.Duration) {
	x.set("Edgehold-Age", strconv.FormatFloat(age.Seconds(), 'f', 3, 64))
	x.set("Age", strconv.FormatInt(int64(age.Seconds()), 10))
}

func (x *exchange) ownerHeaders(by api.ServedBy, owner api.GroupID) {
	x.set("Edgehold-Served-By", by.String())
	if owner != "" {
		x.set("Edgehold-Owner", string(owner))
	}
}

// conditionFailed is 412 about the entry. It says so if a tag of If-Match could not match, whatever the version.
func (x *exchange) conditionFailed(now *api.Entry, ifMatch tags) error {
	x.versionHeaders(now)
	e := &api.Error{Code: api.CodePreconditionFailed, Key: x.key, Version: now.Version}
	switch {
	case now.Exists:
		e.Hint = "the key is at version " + now.Version.String()
	case now.Version.IsZero():
		e.Hint = "the key is absent: it was never written"
	default:
		e.Hint = "the key is absent, since version " + now.Version.String()
	}
	if ifMatch.hasWeak() {
		e.Hint += `; weak tags never match in If-Match: send "VERSION" without the W/, which a proxy may have added`
	}
	return e
}
