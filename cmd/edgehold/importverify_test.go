package main

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// isGet reports whether r reads a key.
func isGet(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v1/kv/")
}

func TestImportVerifies(t *testing.T) {
	p := newPlanet(t)
	// If the file has several records of a key, the last one counts.
	text := sample(600) + strings.Repeat(`{"key":"twice","value":"1"}`+"\n", 3) + "\n" + `{"key":"twice","value":"2"}` + "\n"
	file := writeFile(t, "in.jsonl", text)
	counts := readCounts(t, p.must(t, "", "import", file, "--verify", "-o", "json"))
	if counts.Lines != 605 || counts.Records != 604 || counts.Verified == nil || *counts.Verified != 604 || *counts.Different != 0 || exists(file+".progress") {
		t.Errorf("%+v", counts)
	}
	if out := p.must(t, "", "import", file, "--verify"); !strings.Contains(out, "604 read back, 0 keys are different") {
		t.Errorf("it printed %q", out)
	}
	if i := p.on(t, text, "import", "-", "--verify"); i.status != 2 || !strings.Contains(i.err, "name a file") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
}

// TestVerifyNoticesAnotherValue lets another client write at the end of the import.
func TestVerifyNoticesAnotherValue(t *testing.T) {
	for _, command := range []string{"put", "del"} {
		p := newPlanet(t)
		file := writeFile(t, "in.jsonl", sample(300))
		var once sync.Once
		p.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
			if isGet(r) {
				once.Do(func() {
					p.setFault(nil)
					if command == "put" {
						p.must(t, "other", "kv", "put", "r1/298", "-")
					} else {
						p.must(t, "", "kv", "del", "r1/298")
					}
				})
			}
			return false
		})
		i := p.on(t, "", "import", file, "--verify", "--concurrency", "1", "-o", "json")
		counts := readCounts(t, i.out)
		if i.status != 1 || !strings.Contains(i.err, "1 keys do not have the value of ") || !strings.Contains(i.err, "line 299") ||
			*counts.Verified != 300 || *counts.Different != 1 || exists(file+".progress") {
			t.Errorf("%s: exit %d, %+v, %s", command, i.status, counts, i.err)
		}
		p.must(t, "", "import", file, "--verify") // puts them again
	}
}

// TestVerifyGoesOn interrupts a verification: the command only verifies when it is run again.
func TestVerifyGoesOn(t *testing.T) {
	p := newPlanet(t)
	file := writeFile(t, "in.jsonl", sample(300))
	ctx, cancel := context.WithCancel(context.Background())
	p.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
		if isGet(r) {
			cancel()
		}
		return false
	})
	i := &invocation{ctx: ctx, env: map[string]string{"EDGEHOLD_ADDR": p.URL}}
	if i.run("import", file, "--verify"); i.status != 1 || !strings.Contains(i.err, "interrupted") || !exists(file+".progress") {
		t.Fatalf("exit %d, %s", i.status, i.err)
	}
	p.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			problem(w, api.CodeDenied)
		}
		return r.Method == http.MethodPut
	})
	counts := readCounts(t, p.must(t, "", "import", file, "--verify", "-o", "json"))
	if counts.Records != 0 || counts.SkippedLines != 300 || *counts.Verified != 300 || exists(file+".progress") {
		t.Errorf("%+v", counts)
	}
}

func TestVerifyStopsWhereItIsRefused(t *testing.T) {
	p := newPlanet(t)
	file := writeFile(t, "in.jsonl", sample(300))
	p.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if isGet(r) {
			problem(w, api.CodeDenied)
		}
		return isGet(r)
	})
	if i := p.on(t, "", "import", file, "--verify"); i.status != 1 || !strings.Contains(i.err, "check --token") || !exists(file+".progress") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
}

// TestVerifyNoticesAChangedFile changes the file between the import and the verification.
func TestVerifyNoticesAChangedFile(t *testing.T) {
	for text, says := range map[string]string{sample(299): "300 lines were imported, and now it has 299", sample(299) + "x\n": "line 300"} {
		p := newPlanet(t)
		file := writeFile(t, "in.jsonl", sample(300))
		var once sync.Once
		p.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut { // the file has been read: it is shorter than what is read at once
				once.Do(func() {
					other := writeFile(t, "other.jsonl", text)
					if err := os.Rename(other, file); err != nil {
						t.Error(err)
					}
				})
			}
			return false
		})
		if i := p.on(t, "", "import", file, "--verify"); i.status != 1 || !strings.Contains(i.err, "has changed") || !strings.Contains(i.err, says) {
			t.Errorf("exit %d, %s", i.status, i.err)
		}
	}
}
