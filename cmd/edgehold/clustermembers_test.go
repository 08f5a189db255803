package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// leavers are two servers, of which a is asked to leave and stops before it can say that it was removed. Only b knows then.
func leavers(t *testing.T, others bool) *httptest.Server {
	t.Helper()
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"done":true,"note":"a has left"}`)
	}))
	t.Cleanup(b.Close)
	var a *httptest.Server
	a = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodGet {
			url := b.URL
			if !others {
				url = ""
			}
			_, _ = fmt.Fprintf(w, `{"cluster_id":"c","nodes":[{"node":"b","region":"r","role":"server","url":%q,"state":"up"}]}`, url)
			return
		}
		w.Header().Set("Connection", "close")
		_ = a.Listener.Close()
		_, _ = fmt.Fprint(w, `{"done":false,"waits":["a is removed"]}`)
	}))
	a.Start()
	t.Cleanup(a.Close)
	return a
}

// TestLeaveOfTheNodeAsked: the node at --addr leaves and ends. Another server says that it has left; if none can be asked, the exit
// status says that the outcome is not known.
func TestLeaveOfTheNodeAsked(t *testing.T) {
	for _, x := range []struct {
		others       bool
		status       int
		says, logged string
	}{
		{true, exitDone, "a has left\n", "it waits: a is removed"},
		{false, exitUnknown, "", "a does not answer any more; its removal was all that was left"},
	} {
		var i invocation
		i.run("--addr", leavers(t, x.others).URL, "--timeout", "1s", "cluster", "leave", "a", "--wait", "20s")
		if i.status != x.status || i.out != x.says || !strings.Contains(i.err, x.logged) {
			t.Errorf("exit %d, %q, %q", i.status, i.out, i.err)
		}
	}
}
