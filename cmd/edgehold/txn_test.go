package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestTxnPrints compares the table of operations, and the body of the HTTP API.
func TestTxnPrints(t *testing.T) {
	p := newPlanet(t)
	p.must(t, "hello", "kv", "put", "eu/a", "-") // 1.1
	for _, c := range []struct {
		name, body, out, err string
		status               int
	}{
		{"writes", `{"then":[{"put":{"key":"us/b","value":"x"}},{"add":{"key":"n","delta":"42"}},{"get":{"key":"eu/a"}},{"get":{"key":"none"}},{"delete":{"key_base64":"/w=="}},{"put":{"key":"e","value":""}},{"get":{"key":"e"}}]}`,
			"committed at version 1.2\n" +
				"OPERATION  KEY     VERSION  VALUE\n" +
				"put        us/b    1.2\n" +
				"add        n       1.2      42\n" +
				"get        eu/a    1.1      hello\n" +
				"get        none    0.0      (absent)\n" +
				"delete     \"\\xff\"  1.2\n" +
				"put        e       1.2\n" +
				"get        e       1.2      \"\"\n", "", 0},
		{"a byte order mark", "\ufeff" + `{"then":[{"get":{"key":"e"}}]}`, "committed\nOPERATION  KEY  VERSION  VALUE\nget        e    1.2      \"\"\n", "", 0},
		{"a snapshot", `{"then":[{"get":{"key":"n"}}]}`, "committed\nOPERATION  KEY  VERSION  VALUE\nget        n    1.2      42\n", "", 0},
		{"nothing to do", `{"if":[{"key":"n","exists":true}]}`, "committed at version 1.3\n", "", 0},
		{"condition false", `{"if":[{"key":"n","value":"41"}],"then":[{"delete":{"key":"n"}}]}`, "not committed: a condition is false\n",
			"edgehold: txn: precondition_failed: a condition is false, nothing was written\n", 3},
		{"else", `{"if":[{"key":"n","version":"0.0"}],"else":[{"append_if_absent":{"key":"s","value":"<1>"}}]}`,
			"not committed: a condition is false, else was executed\n" +
				"OPERATION         KEY  VERSION  VALUE\n" +
				"append_if_absent  s    1.5\n", "edgehold: txn: precondition_failed: a condition is false, else was executed\n", 3},
	} {
		i := p.on(t, c.body, "txn", "-")
		if i.status != c.status || i.out != c.out || i.err != c.err {
			t.Errorf("%s: exit %d\n%s%s\nwant\n%s%s", c.name, i.status, i.out, i.err, c.out, c.err)
		}
	}
	file := writeFile(t, "txn.json", `{"then":[{"get":{"key":"n"}}]}`)
	if got := p.must(t, "", "txn", file, "-o", "json"); got != `{"committed":true,"results":[{"key":"n","value":"42","version":"1.2"}]}`+"\n" {
		t.Errorf("got %s", got)
	}
	i := p.on(t, `{"if":[{"key":"n","exists":false}]}`, "txn", "-", "-o", "json")
	if i.status != 3 || !strings.HasPrefix(i.out, `{"committed":false,"results":[]`) {
		t.Errorf("exit %d, %s", i.status, i.out)
	}
}

// TestTxnFails compares the exit status and the one line that says what to do.
func TestTxnFails(t *testing.T) {
	t.Parallel()
	p := newPlanet(t)
	p.must(t, "word", "kv", "put", "word", "-")
	for name, c := range map[string]struct {
		stdin  string
		args   []string
		status int
		says   string
	}{
		"no file named":    {"", []string{"txn"}, 2, "FILE is missing"},
		"two files":        {"", []string{"txn", "a", "b"}, 2, "unexpected argument"},
		"no such file":     {"", []string{"txn", "/nothing/here"}, 1, "no such file"},
		"no JSON":          {"x", []string{"txn", "-"}, 1, "an object should stand at byte 0"},
		"refused":          {`{"then":[{"get":{"key":"a"}},{"put":{"key":"a"}}]}`, []string{"txn", "-"}, 1, "then[1].put: value or value_base64 is missing"},
		"too large":        {strings.Repeat(" ", api.MaxTxnBodyBytes+1), []string{"txn", "-"}, 1, "over the limit of"},
		"a word is no sum": {`{"then":[{"add":{"key":"word","delta":1}}]}`, []string{"txn", "-"}, 3, "integer"},
		"unknown output":   {`{}`, []string{"txn", "-", "-o", "xml"}, 2, "choose table or json"},
		"unknown flag":     {`{}`, []string{"txn", "-", "--if", "x"}, 2, "unknown flag"},
		"no node answers":  {`{"then":[{"get":{"key":"a"}}]}`, []string{"txn", "-", "--addr", "http://" + freeAddress(t), "--timeout", "2s"}, 1, "connection refused"},
	} {
		if i := p.on(t, c.stdin, c.args...); i.status != c.status || !strings.Contains(i.err, c.says) || strings.Count(i.err, "\n") != 1 || i.out != "" {
			t.Errorf("%s: exit %d, %q, %q", name, i.status, i.err, i.out)
		}
	}
	p.setFault(func(w http.ResponseWriter, _ *http.Request) bool { problem(w, api.CodeAmbiguous); return true })
	if i := p.on(t, `{"then":[{"delete":{"key":"a"}}]}`, "txn", "-", "--timeout", "2s"); i.status != 4 || !strings.Contains(i.err, "read") {
		t.Errorf("unknown: exit %d, %q", i.status, i.err)
	}
}

// TestTxnOnce loses an answer: the transaction is sent again and takes effect once.
func TestTxnOnce(t *testing.T) {
	p := newPlanet(t)
	var lost atomic.Bool
	p.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || lost.Swap(true) {
			return false
		}
		p.Config.Handler.ServeHTTP(discard{http.Header{}}, r) // it is executed
		panic(http.ErrAbortHandler)
	})
	got := p.must(t, `{"then":[{"add":{"key":"n","delta":1}}]}`, "txn", "-")
	if !strings.HasPrefix(got, "committed at version 1.1 (by an earlier attempt)\n") || p.must(t, "", "kv", "get", "n") != "1" {
		t.Errorf("got %s", got)
	}
}

// discard drops an answer.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
