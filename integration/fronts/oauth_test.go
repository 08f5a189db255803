package fronts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/local"
)

// The edges of the demonstration are 200 ms from each other. The namespace's keys belong to usEast.
const (
	usEast  api.RegionID = "us-east"
	apSouth api.RegionID = "ap-south"
)

var oauthPicture = flag.String("oauth-picture", "", "write what TestOAuth has seen to this SVG file")

// site is the application's name to its users: both places serve it.
const site = "https://app.example"

// session is a client of the application and what it has been given.
type session struct {
	t                *testing.T
	client, redirect string
	access, refresh  string
	began            time.Time // of the step, or of its last request if it has many
}

// send sends a request to the application at a place.
func (s *session) send(p *place, method, path string, form url.Values, bearer string) (*http.Response, []byte) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, p.app+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = strings.TrimPrefix(site, "https://")
	r.Header.Set("X-Forwarded-Proto", "https")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	return s.do(r)
}

func (s *session) do(r *http.Request) (*http.Response, []byte) {
	s.t.Helper()
	res, err := http.DefaultTransport.RoundTrip(r) // a redirect is an answer
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // it has been read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, body
}

// login registers a client, has alice agree, and gets the tokens.
func (s *session) login(p *place) int {
	s.t.Helper()
	s.redirect = "https://client.example/back"
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, p.app+"/oauth/register",
		strings.NewReader(`{"client_name":"client","redirect_uris":["`+s.redirect+`"],"token_endpoint_auth_method":"none"}`))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = strings.TrimPrefix(site, "https://")
	r.Header = http.Header{"X-Forwarded-Proto": {"https"}, "Content-Type": {"application/json"}}
	res, body := s.do(r)
	var registered struct {
		ID string `json:"client_id"`
	}
	if err := json.Unmarshal(body, &registered); err != nil || registered.ID == "" {
		s.t.Fatalf("register: %s %s", res.Status, body)
	}
	s.client = registered.ID
	verifier := rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	res, body = s.send(p, http.MethodGet, "/authorize?"+url.Values{
		"response_type": {"code"}, "client_id": {s.client}, "redirect_uri": {s.redirect}, "scope": {"read"}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode(), nil, "")
	back, err := url.Parse(res.Header.Get("Location"))
	if err != nil || back.Query().Get("code") == "" {
		s.t.Fatalf("authorize: %s %s", res.Status, body)
	}
	return s.tokens(p, url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {s.redirect}, "code_verifier": {verifier}})
}

// tokens asks for tokens, and returns the status.
func (s *session) tokens(p *place, form url.Values) int {
	s.t.Helper()
	form.Set("client_id", s.client)
	res, body := s.send(p, http.MethodPost, "/oauth/token", form, "")
	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		s.t.Fatalf("token: %s %s", res.Status, body)
	}
	if got.Access != "" {
		s.access, s.refresh = got.Access, got.Refresh
	}
	return res.StatusCode
}

func (s *session) renew(p *place) int {
	return s.tokens(p, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.refresh}})
}

// use asks the application for what is alice's alone.
func (s *session) use(p *place) int {
	res, _ := s.send(p, http.MethodGet, "/api/me", nil, s.access)
	return res.StatusCode
}

// useOften uses the token ten times. The last answer counts.
func (s *session) useOften(p *place) (status int) {
	for range 10 {
		s.began = time.Now()
		if status = s.use(p); status != http.StatusOK {
			return status
		}
	}
	return status
}

// logout revokes the refresh token, and with it all tokens of the login.
func (s *session) logout(p *place) int {
	res, _ := s.send(p, http.MethodPost, "/oauth/token", url.Values{"token": {s.refresh}, "token_type_hint": {"refresh_token"}, "client_id": {s.client}}, "")
	return res.StatusCode
}

// oauthStep is a step of the script, which knows nothing of how far the places are behind each other.
type oauthStep struct {
	what string
	at   api.RegionID
	do   func(*session, *place) int
	want int // the status
	// behind is the status if the other place sees writes a minute late. later: a minute passes before the step.
	behind int
	later  bool
}

var oauthScript = []oauthStep{
	{"log in", usEast, (*session).login, 200, 200, false},
	{"use the token at once", apSouth, (*session).use, 200, 401, false},
	{"use it ten times more", apSouth, (*session).useOften, 200, 200, true},
	{"renew the token", apSouth, (*session).renew, 200, 200, false},
	{"use the new one at once", usEast, (*session).use, 200, 401, false},
	{"log out", usEast, (*session).logout, 200, 200, false},
	{"use the token", apSouth, (*session).use, 401, 200, false},
	{"use it a minute later", apSouth, (*session).use, 401, 200, true},
	{"use it there as well", usEast, (*session).use, 401, 200, false},
}

// oauthSeen is how a step ended.
type oauthSeen struct {
	status   int
	took     time.Duration
	servedBy string
}

// play plays the script. behind: each place has a copy of its own.
func play(t *testing.T, places map[api.RegionID]*place, behind bool) (seen []oauthSeen) {
	t.Helper()
	s := &session{t: t}
	for _, step := range oauthScript {
		if behind && step.later {
			for _, p := range places {
				p.arrive(t)
			}
		}
		want := step.want
		if behind {
			want = step.behind
		}
		p := places[step.at]
		s.began = time.Now()
		got := oauthSeen{status: step.do(s, p), servedBy: p.servedBy()}
		got.took = time.Since(s.began)
		if got.status != want {
			t.Errorf("with copies: %v: %s at %s is answered %d, want %d", behind, step.what, step.at, got.status, want)
		}
		t.Logf("with copies: %v: %s at %s: %d in %v, by %s", behind, step.what, step.at, got.status, got.took, got.servedBy)
		seen = append(seen, got)
	}
	return seen
}

// TestOAuth: Cloudflare's OAuth provider, unmodified, in two runtimes at edges 200 ms from each other. A login is valid everywhere at once, a
// renewed token too, and what is revoked is refused everywhere at once. The same script where each place has a copy, which sees the other
// place's writes a minute later as Workers KV may: a login that is not known, a token that is not known, and a logout that revokes nothing.
func TestOAuth(t *testing.T) {
	if testing.Short() {
		t.Skip("real clients say nothing about races")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	planet, err := local.Start(ctx, local.Config{Regions: []api.RegionID{usEast, apSouth}, Replicas: 1, Port: -1, Fronts: []string{"workers-kv"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = planet.Close() }) // it has nothing to keep
	places := map[api.RegionID]*place{}
	for _, n := range planet.Nodes() {
		if n.Role == api.RoleEdge {
			places[n.Region] = newPlace(t, n.Region, n.URL)
		}
	}
	places[usEast].other, places[apSouth].other = places[apSouth], places[usEast]
	edgehold := play(t, places, false)
	leased(t, places[apSouth])
	for _, p := range places {
		p.keepCopies()
	}
	copies := play(t, places, true)
	if *oauthPicture != "" {
		if err := os.WriteFile(*oauthPicture, []byte(drawOAuth(edgehold, copies)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// leased: soon the far edge answers for a token without asking anywhere.
func leased(t *testing.T, p *place) {
	t.Helper()
	s := &session{t: t}
	s.login(p)
	for until := time.Now().Add(30 * time.Second); p.servedBy() != api.ServedByLease.String(); {
		if status := s.use(p); status != http.StatusOK || time.Now().After(until) {
			t.Fatalf("the token is answered %d, by %s", status, p.servedBy())
		}
	}
}
