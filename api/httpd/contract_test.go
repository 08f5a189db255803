package httpd_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api/httpd/contract"
)

// breaches are what the tests of this package have seen that the document of OpenAPI lacks.
var breaches struct {
	sync.Mutex
	texts     []string
	documents map[string]*contract.Document // by their text: there is one for each set of routes
}

// TestMain fails if a request or an answer of any test was not as the document says.
func TestMain(m *testing.M) {
	status := m.Run()
	for i, text := range breaches.texts {
		if i < 40 {
			fmt.Println("not as /openapi.json says:", text)
		}
		status = 1
	}
	os.Exit(status)
}

// documentOf returns the document that a handler answers with.
func documentOf(h http.Handler) (*contract.Document, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	breaches.Lock()
	defer breaches.Unlock()
	text := w.Body.String()
	if d := breaches.documents[text]; d != nil {
		return d, nil
	}
	d, err := contract.Parse(w.Body.Bytes())
	if err == nil {
		if breaches.documents == nil {
			breaches.documents = map[string]*contract.Document{}
		}
		breaches.documents[text] = d
	}
	return d, err
}

func breach(err error) {
	breaches.Lock()
	defer breaches.Unlock()
	text := err.Error()
	if text = text[:min(len(text), 600)]; !slices.Contains(breaches.texts, text) {
		breaches.texts = append(breaches.texts, text)
	}
}

// checked holds the exchanges of a handler against its document.
func checked(h http.Handler) http.Handler {
	return checkedBy(h, sync.OnceValues(func() (*contract.Document, error) { return documentOf(h) }))
}

// checkedBy is checked for a handler whose document is known.
func checkedBy(h http.Handler, document func() (*contract.Document, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, err := document()
		if err != nil {
			breach(err)
		}
		tee := &tee{ResponseWriter: w, status: http.StatusOK}
		body := &reading{ReadCloser: r.Body}
		if r.Body != nil {
			r.Body = body
		}
		h.ServeHTTP(tee, r)
		if d == nil || r.Header.Get("Upgrade") != "" && tee.status == http.StatusOK { // it was taken over
			return
		}
		x := &contract.Exchange{
			Method: r.Method, URL: r.URL, Header: r.Header, Body: body.got.Bytes(),
			Status: tee.status, AnswerHeader: tee.header, Answer: tee.got.Bytes(), Part: tee.cut || body.got.Len() > maxChecked,
		}
		if x.AnswerHeader == nil {
			x.AnswerHeader = canonicalNames(w.Header())
		}
		if err := d.Check(x); err != nil {
			breach(err)
		}
		if got := x.AnswerHeader["Cache-Control"]; len(got) != 1 || got[0] != "no-store" { // a lease ends, and no cache on the way knows
			breach(fmt.Errorf("%s %s: Cache-Control is %q", x.Method, x.URL.Path, got))
		}
	})
}

// maxChecked bounds the bodies that are looked at.
const maxChecked = 64 << 10

// tee keeps what is answered.
type tee struct {
	http.ResponseWriter
	status int
	header http.Header
	got    bytes.Buffer
	cut    bool
}

func (w *tee) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *tee) WriteHeader(status int) {
	w.status, w.header = status, canonicalNames(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

func (w *tee) Write(b []byte) (int, error) {
	if w.header == nil {
		w.header = canonicalNames(w.Header())
	}
	if w.got.Len()+len(b) > maxChecked {
		w.cut = true
	} else {
		w.got.Write(b)
	}
	n, err := w.ResponseWriter.Write(b)
	w.cut = w.cut || err != nil
	return n, err
}

// canonicalNames is a copy of h with names as net/http writes them: some are set as the RFC writes them.
func canonicalNames(h http.Header) http.Header {
	c := http.Header{}
	for name, lines := range h {
		c[http.CanonicalHeaderKey(name)] = lines
	}
	return c
}

// reading keeps what was read of a body.
type reading struct {
	io.ReadCloser
	got bytes.Buffer
}

func (r *reading) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if r.got.Len() <= maxChecked {
		r.got.Write(b[:n])
	}
	return n, err
}
