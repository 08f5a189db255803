package httpd_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/httpd/contract"
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/api/wire"
)

// everything is what a node offers, all of it: it answers each call with err, or with something.
type everything struct {
	*storetest.Memory
	err error
}

func (e *everything) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	if e.err != nil {
		return e.err
	}
	return e.Memory.Read(ctx, r, out)
}
func (e *everything) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if e.err != nil {
		return nil, e.err
	}
	return e.Memory.Do(ctx, t)
}
func (e *everything) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	if e.err != nil {
		return nil, e.err
	}
	return e.Memory.List(ctx, r)
}
func (e *everything) Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	if e.err != nil {
		return nil, e.err
	}
	return e.Memory.Watch(ctx, r)
}
func (e *everything) Status(context.Context) (*api.Status, error) { return &api.Status{}, e.err }
func (e *everything) Ready(context.Context) error                 { return e.err }
func (e *everything) SetPlacement(context.Context, api.Key, api.RegionID) error {
	return e.err
}
func (e *everything) SetPlacementGroup(context.Context, api.Key, api.GroupID) error {
	return e.err
}
func (e *everything) progress() (*api.Progress, error) { return &api.Progress{Done: true}, e.err }
func (e *everything) Drain(context.Context, api.NodeID, time.Duration) (*api.Progress, error) {
	return e.progress()
}
func (e *everything) Undrain(context.Context, api.NodeID) (*api.Progress, error) {
	return e.progress()
}
func (e *everything) Leave(context.Context, api.NodeID, bool) (*api.Progress, error) {
	return e.progress()
}
func (e *everything) Remove(context.Context, api.NodeID, bool) (*api.Progress, error) {
	return e.progress()
}
func (e *everything) Replace(context.Context, api.NodeID, api.NodeID, bool) (*api.Progress, error) {
	return e.progress()
}
func (e *everything) Transfer(context.Context, api.GroupID, api.NodeID) (*api.Progress, error) {
	return e.progress()
}
func (e *everything) RemoveRegion(context.Context, api.RegionID) (*api.Progress, error) {
	return e.progress()
}
func (e *everything) CreateJoinToken(context.Context, api.JoinTokenSpec) (*api.NewJoinToken, error) {
	return &api.NewJoinToken{JoinToken: api.JoinToken{ID: "9c21", Role: api.RoleEdge, Region: "ap-south", Uses: 1, Expires: time.Now(), By: "root", Created: time.Now()}, Token: "ehj"}, e.err
}
func (e *everything) JoinTokens(context.Context) ([]api.JoinToken, error) {
	return []api.JoinToken{{ID: "9c21", Role: api.RoleEdge, Region: "ap-south", Uses: 1, Expires: time.Now(), By: "root", Created: time.Now()}}, e.err
}
func (e *everything) RevokeJoinToken(context.Context, string) error { return e.err }
func (e *everything) Join(context.Context, *api.JoinRequest) (*api.JoinAnswer, error) {
	return &api.JoinAnswer{ClusterID: "c", Certificate: []byte{1}, Roots: [][]byte{{1}}, Map: []byte{1}, Num: 9}, e.err
}
func (e *everything) Settings(context.Context) ([]api.Setting, error) {
	return []api.Setting{{Name: "level-hold"}}, e.err
}
func (e *everything) Setting(context.Context, string) (*api.Setting, error) {
	return &api.Setting{}, e.err
}
func (e *everything) SetSetting(context.Context, string, string, bool) (*api.Setting, error) {
	return &api.Setting{}, e.err
}
func (e *everything) UnsetSetting(context.Context, string) (*api.Setting, error) {
	return &api.Setting{}, e.err
}
func (e *everything) ClusterLevel(context.Context) (*api.ClusterLevel, error) {
	return &api.ClusterLevel{HeldBy: []api.LevelHolder{{Node: "n", Why: "old"}}}, e.err
}
func (e *everything) AccessTokens(context.Context, api.NodeID) ([]api.AccessToken, error) {
	return []api.AccessToken{{ID: "7f3a", Name: "web", Policies: []string{"all"}, By: "root", Created: time.Now()}}, e.err
}
func (e *everything) CreateAccessToken(context.Context, api.AccessTokenSpec, time.Duration) (*api.NewAccessToken, error) {
	return &api.NewAccessToken{AccessToken: api.AccessToken{ID: "7f3a", Name: "web"}, Token: "eh", Told: api.Told{NotTold: []api.NotTold{{Node: "n", Why: "late"}}}}, e.err
}
func (e *everything) RotateAccessToken(context.Context, string, time.Duration, time.Duration) (*api.NewAccessToken, error) {
	return &api.NewAccessToken{}, e.err
}
func (e *everything) RevokeAccessToken(context.Context, string, time.Duration) (*api.Told, error) {
	return &api.Told{}, e.err
}
func (e *everything) Policies(context.Context) ([]api.Policy, error) {
	return []api.Policy{{Name: "shop", Rules: []api.PolicyRule{{Prefix: "shop/", Read: true}, {Prefix: "\xff", Write: true}}}}, e.err
}
func (e *everything) SetPolicy(context.Context, api.Policy, time.Duration) (*api.Told, error) {
	return &api.Told{}, e.err
}
func (e *everything) DeletePolicy(context.Context, string, bool, time.Duration) (*api.Told, error) {
	return &api.Told{}, e.err
}
func (e *everything) SlowRequests(context.Context, api.NodeID) (*api.SlowReport, error) {
	return &api.SlowReport{Nodes: []api.SlowNode{{Node: "n", State: "up"}}}, e.err
}
func (e *everything) WriteDebug(_ context.Context, w io.Writer) error {
	if e.err != nil {
		return e.err
	}
	_, err := io.WriteString(w, "\x1f\x8b")
	return err
}
func (e *everything) Live(_ context.Context, tell func(*api.Live) error) error {
	if e.err != nil {
		return e.err
	}
	return tell(&api.Live{Status: &api.Status{}, Node: "n", Nodes: []api.NodeLive{}, Groups: []api.GroupLive{}, Alarms: []api.Alarm{}})
}
func (e *everything) dev() (*api.DevStatus, error) {
	return &api.DevStatus{Regions: []api.RegionID{"a"}, Cuts: []api.DevCut{{A: "a", B: "b"}}, Nodes: []api.DevNode{{Node: "n", Role: api.RoleServer, State: api.DevUp}}}, e.err
}
func (e *everything) DevStatus(context.Context) (*api.DevStatus, error) { return e.dev() }
func (e *everything) CutRegions(context.Context, api.RegionID, api.RegionID) (*api.DevStatus, error) {
	return e.dev()
}
func (e *everything) HealRegions(context.Context, api.RegionID, api.RegionID) (*api.DevStatus, error) {
	return e.dev()
}
func (e *everything) StopNode(context.Context, api.NodeID) (*api.DevStatus, error) { return e.dev() }
func (e *everything) StartNode(context.Context, api.NodeID) (*api.DevStatus, error) {
	return e.dev()
}

// refusing is an Access that refuses with err.
type refusing struct{ err error }

func (a refusing) Authenticate(string, string) (*front.Principal, error) {
	if api.CodeOf(a.err) == api.CodeUnauthenticated {
		return nil, a.err
	}
	return &front.Principal{Name: "ann"}, nil
}
func (a refusing) unlessLimited() error {
	if api.CodeOf(a.err) == api.CodeLimited {
		return nil
	}
	return a.err
}
func (a refusing) Check(*front.Principal) error        { return a.unlessLimited() }
func (a refusing) Enter(*front.Principal, int64) error { return a.err }
func (a refusing) Charge(*front.Principal, int64)      {}
func (a refusing) AllowKey(*front.Principal, string, front.Right, api.Key) error {
	return a.unlessLimited()
}
func (a refusing) Holds(*front.Principal, front.Right, api.Key) bool { return a.unlessLimited() == nil }
func (a refusing) AllowRange(*front.Principal, string, front.Right, api.Range) error {
	return a.unlessLimited()
}
func (a refusing) AllowCluster(*front.Principal, string, front.Right, string) error {
	return a.unlessLimited()
}
func (a refusing) Changes() uint64 { return 0 }
func (a refusing) Describe(*front.Principal) (*api.Self, error) {
	if a.err == nil || api.CodeOf(a.err) == api.CodeLimited {
		return &api.Self{}, nil
	}
	return nil, a.err
}

// whole returns the API of a node that offers everything. fails is what each call fails with, refused what each check of rights does.
func whole(t *testing.T, fails, refused error, room *admission.Room) http.Handler {
	t.Helper()
	e := &everything{Memory: storetest.NewMemory(), err: fails}
	c := front.Config{
		Store: e, Lister: e, Watcher: e, Admin: e, Members: e, JoinTokens: e, Joiner: e, Settings: e, Tokens: e, SlowRequests: e, Observer: e, Debugger: e, Dev: e, Node: "us-east-1", Room: room,
		Locks: lock.New(lock.Config{Store: e, Watcher: e}),
	}
	t.Cleanup(func() { _ = c.Locks.Close() })
	if refused != nil {
		c.Access = refusing{refused}
	}
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/plain") })
	h := httpd.New(front.New(c), httpd.Config{Metrics: metrics})
	wholeDocument.Do(func() { wholeDocument.document, wholeDocument.err = documentOf(h) })
	return around(checkedBy(h, func() (*contract.Document, error) { return wholeDocument.document, wholeDocument.err }))
}

// wholeDocument is the document of a node that offers everything.
var wholeDocument struct {
	sync.Once
	document *contract.Document
	err      error
}

// sendExample sends the request of an operation, as an example of it is, with a change.
func sendExample(t *testing.T, h http.Handler, x *contract.Example, change func(r *http.Request)) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), x.Method, "http://127.0.0.1:7400"+x.Target, strings.NewReader(x.Body))
	for name, value := range x.Header {
		r.Header.Set(name, value)
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// provoke has an operation answer with a status of an error.
func provoke(t *testing.T, x *contract.Example, status int) *http.Response {
	t.Helper()
	var change func(r *http.Request)
	var fails, refused error
	var room *admission.Room
	switch status {
	case http.StatusBadRequest:
		change = func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer a", "Bearer b"} }
	case http.StatusUnauthorized:
		refused = api.CodeUnauthenticated
	case http.StatusForbidden:
		refused = api.CodeDenied
		change = func(r *http.Request) { // for what needs no right
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			if r.Header.Get("Upgrade") != "" {
				r.Header.Set("Upgrade", wire.Protocol)
			}
		}
	case http.StatusTooManyRequests:
		refused = &api.Error{Code: api.CodeLimited, RetryAfter: time.Second}
	case http.StatusUnsupportedMediaType:
		change = func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }
	case http.StatusRequestEntityTooLarge:
		fails = api.CodeTooLarge
		if x.Body != "" {
			fails, change = nil, func(r *http.Request) { r.ContentLength = 1 << 30 }
		}
	case http.StatusUpgradeRequired:
	case http.StatusServiceUnavailable:
		fails = api.CodeUnavailable
		if x.Header["Upgrade"] != "" { // a stream has no place
			room = admission.New(admission.Config{Shares: admission.Shares{admission.Waiting: 1}})
			if _, refusal := room.Enter(admission.Ask{Class: admission.Waiting}); refusal != nil {
				t.Fatal(refusal)
			}
			change = func(r *http.Request) { r.Header.Set("Upgrade", wire.Protocol) }
		}
	default:
		for _, code := range []api.Code{api.CodeNotFound, api.CodeConflict, api.CodePreconditionFailed, api.CodeInternal, api.CodeAmbiguous} {
			if code.HTTPStatus() == status {
				fails = code
			}
		}
	}
	if x.Operation == "getSelf" && refused == nil { // of which only the rights can fail
		refused = fails
	}
	return sendExample(t, whole(t, fails, refused, room), x, change)
}

// TestEveryErrorOfEveryOperation: each error that the document has of an operation is one that the operation gives, in the form that the document
// says: its status, headers and problem.
func TestEveryErrorOfEveryOperation(t *testing.T) {
	d, err := documentOf(whole(t, nil, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range d.Operations() {
		examples := o.Examples()
		if len(examples) == 0 {
			t.Errorf("%s has no example", o.ID)
			continue
		}
		for _, status := range o.Statuses {
			if status < 400 {
				continue
			}
			synctest.Test(t, func(t *testing.T) { // some are sent again for a while
				if r := provoke(t, examples[0], status); r.StatusCode != status {
					t.Errorf("%s answers %d, not %d as the document has it: %.300s", o.ID, r.StatusCode, status, bodyOf(t, r))
				}
			})
		}
	}
}

// TestExamplesOfJoining: what a plain planet refuses is answered as the examples say by a node whose cluster has TLS. A planet answers the other
// examples: see cluster/local.
func TestExamplesOfJoining(t *testing.T) {
	h, sent := whole(t, nil, nil, nil), 0
	d, err := documentOf(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range d.Operations() {
		for _, x := range o.Examples() {
			if !strings.Contains(strings.ToLower(o.ID), "join") {
				continue
			}
			sent++
			r := sendExample(t, h, x, nil)
			if err := x.Like(r.StatusCode, []byte(bodyOf(t, r))); err != nil {
				t.Error(err)
			}
		}
	}
	if sent != 4 {
		t.Errorf("%d examples were sent", sent)
	}
}

// TestEveryOperationHasARow: the document has each row of the table, and nothing else.
func TestEveryOperationHasARow(t *testing.T) {
	h := whole(t, nil, nil, nil)
	d, err := documentOf(h)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range d.Operations() {
		if o.Method != http.MethodHead {
			got = append(got, o.Method+" "+o.Path)
		}
	}
	slices.Sort(got)
	want := httpd.Routes()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the document has %q\nthe table %q", got, want)
	}
}
