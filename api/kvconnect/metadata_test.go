package kvconnect

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// TestExchange: a client gets the newest version that both speak, and the fields of the schema, no more; clients refuse others.
func TestExchange(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	for body, want := range map[string]struct {
		version int
		url     string
	}{
		`{"supportedVersions":[1,2,3]}`:   {3, "./app/strong"},
		`{"supportedVersions":[3, 9, 2]}`: {3, "./app/strong"},
		`{"supportedVersions":[2,1]}`:     {2, "./app/strong"},
		`{"supportedVersions":[1]}`:       {1, "https://edge:7400/kvconnect/app/strong"},
		``:                                {1, "https://edge:7400/kvconnect/app/strong"},
	} {
		c := newClient(t, func(c *front.Config) { c.URL = "https://n1:7400" })
		r := c.post("http://edge:7400/kvconnect/app", []byte(body), "Authorization: Bearer secret")
		text, _ := io.ReadAll(r.Body)
		if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v %s", body, r.StatusCode, r.Header, text)
			continue
		}
		var m metadata
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.DisallowUnknownFields()
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		expires, err := time.Parse(time.RFC3339, m.ExpiresAt)
		if err != nil || !strings.HasSuffix(m.ExpiresAt, "Z") || time.Until(expires) < metadataLife-time.Minute {
			t.Errorf("%s: it expires at %s, %v", body, m.ExpiresAt, err)
		}
		if m.Version != want.version || m.Token != "secret" || !uuid.MatchString(m.DatabaseID) || len(m.Endpoints) != 2 ||
			m.Endpoints[0] != (endpoint{want.url, "strong"}) || m.Endpoints[1].Consistency != "eventual" {
			t.Errorf("%s: %s", body, text)
		}
	}
}

// TestExchangeRefused: what is no exchange is refused for good, in plain text.
func TestExchangeRefused(t *testing.T) {
	c := newClient(t)
	for _, q := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/kvconnect/app", `{"supportedVersions":[4]}`, 400, "1, 2 and 3"},
		{"/kvconnect/app", `{"supportedVersions":`, 400, "supportedVersions"},
		{"/kvconnect/app", `[]`, 400, "supportedVersions"},
		{"/kvconnect/app/", ``, 404, "without a slash at its end"},
		{"/kvconnect/app/strong", ``, 404, "without a slash"},
		{"/kvconnect/app/weak/snapshot_read", ``, 404, "nothing at this path"},
		{"/kvconnect/", ``, 400, "names no database"},
		{"/kvconnect/.app", ``, 400, "names no database"},
		{"/kvconnect/a%20b", ``, 400, "names no database"},
		{"/kvconnect/" + strings.Repeat("x", 65), ``, 400, "names no database"},
	} {
		r := c.post(q.path, []byte(q.body))
		text, _ := io.ReadAll(r.Body)
		if r.StatusCode != q.status || !strings.Contains(string(text), q.says) || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s with %s: %d %s", q.path, q.body, r.StatusCode, text)
		}
	}
	w := httptest.NewRecorder()
	if c.h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/kvconnect/app", nil)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

// severalGroups is a store whose keys have several owners.
type severalGroups struct{ api.Lister }

func (severalGroups) List(context.Context, *api.ListRequest) (*api.ListResult, error) {
	return nil, api.Errorf(api.CodeInvalid, "several groups")
}

// TestDatabaseOfSeveralGroups: its versions would not rise, so it is refused, with the reason.
func TestDatabaseOfSeveralGroups(t *testing.T) {
	c := newClient(t, func(c *front.Config) { c.Lister = severalGroups{} })
	r := c.post("/kvconnect/app", nil)
	if text, _ := io.ReadAll(r.Body); r.StatusCode != 400 || !strings.Contains(string(text), "deno/app/") || !strings.Contains(string(text), "several groups") {
		t.Errorf("%d %s", r.StatusCode, text)
	}
}

// TestHeaders: a request of the data path names its version and the database that it means.
func TestHeaders(t *testing.T) {
	c := newClient(t)
	id, other := c.db.id(), database{"other"}.id()
	for _, q := range []struct {
		status int
		lines  []string
	}{
		{200, []string{"X-Denokv-Version: 3", "X-Denokv-Database-Id: " + id}},
		{200, []string{"X-Denokv-Version: 2", "X-Denokv-Database-Id: " + strings.ToUpper(id)}},
		{200, []string{"X-Transaction-Domain-Id: " + id}},
		{400, nil},
		{400, []string{"X-Denokv-Database-Id: " + id}},
		{400, []string{"X-Denokv-Version: 3", "X-Denokv-Database-Id: " + other}},
		{400, []string{"X-Denokv-Version: 3", "X-Transaction-Domain-Id: " + id}},
		{400, []string{"X-Denokv-Version: 4", "X-Denokv-Database-Id: " + id}},
		{400, []string{"X-Denokv-Version: 1", "X-Denokv-Database-Id: " + id}},
	} {
		for _, endpoint := range []string{strong, eventual} {
			if r := c.post("/kvconnect/app/"+endpoint+"/snapshot_read", readMessage(rng{start: "\x02a\x00"}), q.lines...); r.StatusCode != q.status {
				t.Errorf("%q at %s: %d, want %d", q.lines, endpoint, r.StatusCode, q.status)
			}
		}
	}
}

// TestStatuses: a client repeats only what may pass and certainly had no effect.
func TestStatuses(t *testing.T) {
	unknown := &api.Error{Code: api.CodeUnavailable, Unknown: true}
	for _, c := range []struct {
		e           *api.Error
		read, write int
	}{
		{&api.Error{Code: api.CodeInvalid}, 400, 400},
		{&api.Error{Code: api.CodeTooLarge}, 400, 400},
		{&api.Error{Code: api.CodePreconditionFailed}, 400, 400},
		{&api.Error{Code: api.CodeConflict}, 400, 400},
		{&api.Error{Code: api.CodeUnauthenticated}, 401, 401},
		{&api.Error{Code: api.CodeDenied}, 403, 403},
		{&api.Error{Code: api.CodeLimited}, 503, 503},
		{&api.Error{Code: api.CodeUnavailable}, 503, 503},
		{&api.Error{Code: api.CodeUnavailable, Err: api.ErrLevel}, 400, 400},
		{unknown, 503, 409},
		{&api.Error{Code: api.CodeAmbiguous}, 500, 409},
		{&api.Error{Code: api.CodeInternal}, 500, 409},
	} {
		read, write := statusFor(c.e.Code.HTTPStatus(), c.e, false), statusFor(c.e.Code.HTTPStatus(), c.e, true)
		if read != c.read || write != c.write {
			t.Errorf("%v: %d and %d, want %d and %d", c.e, read, write, c.read, c.write)
		}
		if write >= 500 && c.e.Applied() != "no" {
			t.Errorf("%v: a client would repeat a write that may have been applied", c.e)
		}
	}
}
