package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

func TestNearestFirst(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, _ http.Handler) {
		for range 3 {
			if _, err := c.Put(t.Context(), "k", nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.took(); got != "near near near" {
			t.Errorf("asked %s", got)
		}
	})
}

// TestFailsOverAndReturns checks that a call goes on to the next node at once, that later calls skip the broken node, and that
// calls return to it when it works again.
func TestFailsOverAndReturns(t *testing.T) {
	for name, broken := range map[string]node{
		"refused": refused, "resets": func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"proxy": of(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })),
	} {
		onPlanet(t, func(t *testing.T, c *Client, p *planet, h http.Handler) {
			p.set("near", broken)
			begin := time.Now()
			for range 4 {
				if _, err := c.Put(t.Context(), "k", nil); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if took := time.Since(begin); took != 0 {
				t.Errorf("%s: failing over took %v", name, took)
			}
			if got := p.took(); name != "proxy" && got != "near mid mid mid mid" {
				t.Errorf("%s: asked %s", name, got)
			}
			p.set("near", of(h))
			time.Sleep(restMost)
			for range 2 {
				if _, err := c.Get(t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
			}
			if got := p.took(); got != "near near" {
				t.Errorf("%s: afterwards asked %s", name, got)
			}
		})
	}
}

// TestRestsGrow checks that a node that stays broken is tried less and less often, but never given up.
func TestRestsGrow(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, _ http.Handler) {
		p.set("near", refused)
		_, _ = c.Put(t.Context(), "k", nil)
		for range 600 { // one minute
			time.Sleep(100 * time.Millisecond)
			if _, err := c.Get(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(p.took(), "near"); n < 5 || n > 12 {
			t.Errorf("the broken node was asked %d times in a minute", n)
		}
	})
}

func TestSilentNode(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, _ http.Handler) {
		p.set("near", silent)
		begin := time.Now()
		if _, err := c.Put(t.Context(), "k", nil, IfAbsent()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != api.DefaultTimeout/2 {
			t.Errorf("failing over took %v", took)
		}
		if got := p.took(); got != "near mid" {
			t.Errorf("asked %s", got)
		}
	})
}

// TestOnceOverLostAnswers checks that a write whose answer was lost is sent again under the same id and has one effect.
func TestOnceOverLostAnswers(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, h http.Handler) {
		p.set("near", losesAnswers(h))
		p.set("mid", losesAnswers(h))
		v, err := c.Put(t.Context(), "k", []byte("x"), IfAbsent())
		if err != nil || v.Index != 1 {
			t.Fatalf("%v, %v: the retry did not find its first attempt", v, err)
		}
		if got := p.took(); got != "near mid far" || p.ids[0] == "" || p.ids[0] != p.ids[1] || p.ids[1] != p.ids[2] {
			t.Errorf("asked %s with ids %q", got, p.ids)
		}
		if w, err := c.Get(t.Context(), "k"); err != nil || w.Version != v {
			t.Errorf("%+v, %v, want version %v", w, err, v)
		}
		// A failed condition on the version is found again too, because a version never comes again. But the key may be absent
		// again when the attempt whose answer was lost is carried out.
		p.set("near", losesAnswers(h))
		time.Sleep(time.Minute)
		if _, err := c.Put(t.Context(), "k", []byte("y"), IfVersion(api.Version{Epoch: 9})); !errors.Is(err, api.CodePreconditionFailed) || api.AsError(err).Version != v {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Minute)
		if _, err := c.Put(t.Context(), "k", []byte("y"), IfAbsent()); !errors.Is(err, api.CodeAmbiguous) {
			t.Errorf("%v", err)
		}
	})
}

// TestOutcomeUnderAGivenKey checks that the outcome of a write under a key from the caller is unknown if nothing was found out
// about earlier calls, because any process may have sent it before. A final refusal stays a refusal.
func TestOutcomeUnderAGivenKey(t *testing.T) {
	for _, c := range []struct {
		node  node
		waits bool
		want  api.Code
	}{
		{refused, true, api.CodeAmbiguous},
		{says(api.CodeUnavailable), true, api.CodeAmbiguous},
		{says(api.CodeInvalid), false, api.CodeInvalid},
		{says(api.CodeConflict), false, api.CodeConflict},
	} {
		onPlanet(t, func(t *testing.T, cl *Client, p *planet, _ http.Handler) {
			for _, n := range []string{"near", "mid", "far"} {
				p.set(n, c.node)
			}
			begin := time.Now()
			_, err := cl.Put(t.Context(), "k", nil, IdempotencyKey("order-17"))
			if api.CodeOf(err) != c.want || (time.Since(begin) == api.DefaultTimeout) != c.waits {
				t.Errorf("put gave %v after %v, want %s", err, time.Since(begin), c.want)
			}
		})
	}
}

// TestOutcome checks what a write returns if no attempt succeeds.
func TestOutcome(t *testing.T) {
	lost := node(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
	proxy := of(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) }))
	html := of(http.NotFoundHandler())
	for _, c := range []struct {
		name           string
		near, mid, far node
		write, read    api.Code
		waits          bool // until the time is up
	}{
		{"all refuse connections", refused, refused, refused, api.CodeUnavailable, api.CodeUnavailable, true},
		{"all unavailable", says(api.CodeUnavailable), says(api.CodeUnavailable), says(api.CodeUnavailable), api.CodeUnavailable, api.CodeUnavailable, true},
		{"all silent", silent, silent, silent, api.CodeAmbiguous, api.CodeUnavailable, true},
		{"one lost, then unavailable", lost, says(api.CodeUnavailable), refused, api.CodeAmbiguous, api.CodeUnavailable, true},
		{"all ambiguous", says(api.CodeAmbiguous), says(api.CodeAmbiguous), says(api.CodeAmbiguous), api.CodeAmbiguous, api.CodeUnavailable, true},
		{"a gateway that failed", proxy, proxy, proxy, api.CodeAmbiguous, api.CodeUnavailable, true},
		{"a fault everywhere", says(api.CodeInternal), says(api.CodeInternal), says(api.CodeInternal), api.CodeAmbiguous, api.CodeInternal, false},
		{"a fault, then a refusal", says(api.CodeInternal), says(api.CodeDenied), refused, api.CodeAmbiguous, api.CodeDenied, false},
		{"lost, then a refusal", lost, says(api.CodeDenied), refused, api.CodeAmbiguous, api.CodeDenied, false},
		{"lost, then an expired id", lost, says(api.CodeConflict), refused, api.CodeAmbiguous, api.CodeConflict, false},
		{"refused, then a refusal", refused, says(api.CodeDenied), refused, api.CodeDenied, api.CodeDenied, false},
		{"another server", html, html, html, api.CodeInvalid, api.CodeInvalid, false},
	} {
		onPlanet(t, func(t *testing.T, cl *Client, p *planet, _ http.Handler) {
			p.set("near", c.near)
			p.set("mid", c.mid)
			p.set("far", c.far)
			begin := time.Now()
			_, err := cl.Put(t.Context(), "k", nil)
			took := time.Since(begin)
			if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != c.write || e.Op != "put" || e.Key != "k" {
				t.Errorf("%s: put gave %v, want %s", c.name, err, c.write)
			}
			if (took == api.DefaultTimeout) != c.waits || errors.Is(err, context.DeadlineExceeded) != c.waits {
				t.Errorf("%s: put took %v and gave %v", c.name, took, err)
			}
			if n := len(p.asked); n > 80 {
				t.Errorf("%s: %d attempts in %v", c.name, n, took)
			}
			time.Sleep(time.Hour) // no node is skipped any more
			if _, err = cl.Get(t.Context(), "k"); api.CodeOf(err) != c.read {
				t.Errorf("%s: get gave %v, want %s", c.name, err, c.read)
			}
		})
	}
}

// TestComesBack checks that a write is retried through an election and succeeds after it.
func TestComesBack(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, h http.Handler) {
		for _, n := range []string{"near", "mid", "far"} {
			p.set(n, says(api.CodeUnavailable))
		}
		time.AfterFunc(3*time.Second, func() { p.set("near", of(h)); p.set("mid", of(h)) })
		begin := time.Now()
		if _, err := c.Put(t.Context(), "k", nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestContextBounds(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, _ http.Handler) {
		for _, n := range []string{"near", "mid", "far"} {
			p.set(n, refused)
		}
		for _, d := range []time.Duration{time.Millisecond, 300 * time.Millisecond, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			begin := time.Now()
			if _, err := c.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, api.CodeUnavailable) {
				t.Errorf("%v", err)
			}
			if took := time.Since(begin); took != d {
				t.Errorf("a call with %v took %v", d, took)
			}
			cancel()
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := c.Put(ctx, "k", nil); !errors.Is(err, context.Canceled) || !errors.Is(err, api.CodeUnavailable) {
			t.Errorf("%v", err)
		}
	})
}

// TestPlacementIsNotRepeated checks that an unknown outcome is returned at once, because the request has no id.
func TestPlacementIsNotRepeated(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, _ http.Handler) {
		p.set("near", refused)
		p.set("mid", func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
		if err := c.SetPlacement(t.Context(), "k", "r"); !errors.Is(err, api.CodeAmbiguous) {
			t.Errorf("%v", err)
		}
		if got := p.took(); got != "near mid" {
			t.Errorf("asked %s", got)
		}
	})
}

// TestDialFailsBeforeAnything checks that, with a real transport, a failed dial means that nothing was sent.
func TestDialFailsBeforeAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		defer close(ended)
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			<-ended
			return nil, errors.New("something that says nothing")
		}}
		c, err := Open(t.Context(), Config{Endpoints: []string{"http://a"}, HTTPClient: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Put(t.Context(), "k", nil); !errors.Is(err, api.CodeUnavailable) {
			t.Errorf("%v", err)
		}
	})
}

// TestValueIsCopied checks that the caller may change a value once Put has returned, though an abandoned attempt may still send
// it.
func TestValueIsCopied(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, _ http.Handler) {
		var kept io.Reader
		p.set("near", func(r *http.Request) (*http.Response, error) {
			kept = r.Body
			return nil, io.ErrUnexpectedEOF
		})
		value := []byte("before")
		if _, err := c.Put(t.Context(), "k", value); err != nil {
			t.Fatal(err)
		}
		copy(value, "after!")
		if got, err := io.ReadAll(kept); err != nil || string(got) != "before" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestGivingUpSaysWhatTheLastNodeSaid checks that the error is one line, and that it wraps both the context's error and the last
// node's.
func TestGivingUpSaysWhatTheLastNodeSaid(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, _ http.Handler) {
		for _, n := range []string{"near", "mid", "far"} {
			p.set(n, refused)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Put(ctx, "k", nil)
		said := err.Error()
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, api.CodeUnavailable) || api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("got %v", err)
		}
		if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" {
			t.Errorf("the last cause is lost: %v", err)
		}
		if strings.Contains(said, "\n") || !strings.Contains(said, "deadline exceeded; the last one: unavailable: no answer from") {
			t.Errorf("it says %q", said)
		}
	})
}

// TestWriteEndsBeforeItsIdDoes checks that a write is not retried for longer than its id is known, even if its context allows it.
func TestWriteEndsBeforeItsIdDoes(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, _ http.Handler) {
		for _, n := range []string{"near", "mid", "far"} {
			p.set(n, refused)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 48*time.Hour)
		defer cancel()
		start := time.Now()
		if _, err := c.Put(ctx, "k", nil); !errors.Is(err, api.CodeUnavailable) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(start); d > maxWrite+time.Minute {
			t.Errorf("it went on for %v", d)
		}
	})
}
