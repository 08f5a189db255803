package contract_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api/httpd/contract"
)

const document = `{
"openapi":"3.1.0","info":{"title":"t","version":"1"},
"paths":{
 "/v1/things/{id}":{
  "put":{"operationId":"putThing","summary":"s",
   "parameters":[
    {"name":"id","in":"path","required":true,"schema":{"type":"string"},"examples":{"one":{"value":"a"}}},
    {"name":"timeout","in":"query","schema":{"type":"string"}},
    {"name":"count","in":"query","schema":{"type":"integer"},"examples":{"one":{"value":"3"}}},
    {"name":"If-Match","in":"header","schema":{"type":"string"}}],
   "requestBody":{"required":true,"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Ask"},"examples":{"one":{"value":{"name":"n"}}}}}},
   "responses":{
    "200":{"description":"d","headers":{"ETag":{"required":true,"schema":{"type":"string"}},"Age":{"schema":{"type":"integer"}}},
     "content":{"application/json":{"schema":{"$ref":"#/components/schemas/Thing"},"examples":{"one":{"value":{"id":"a","size":1}}}}}},
    "404":{"$ref":"#/components/responses/NotFound"}}},
  "get":{"operationId":"watchThing","summary":"s",
   "parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string"}}],
   "responses":{"200":{"description":"d","content":{"text/event-stream":{"schema":{"type":"string"}}}}}}}},
"components":{
 "responses":{"NotFound":{"description":"d","content":{"application/problem+json":{"schema":{"type":"object","properties":{"code":{"type":"string"}}}}}}},
 "schemas":{
  "Ask":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false},
  "PutEvent":{"type":"object","properties":{"key":{"type":"string"}},"required":["key"]},
  "Thing":{"type":"object","properties":{"id":{"type":"string"},"size":{"type":"integer"}},"required":["id"]}}}}`

// exchange is one that the document has. change changes it.
func exchange(change func(x *contract.Exchange)) *contract.Exchange {
	x := &contract.Exchange{
		Method: http.MethodPut, URL: &url.URL{Path: "/v1/things/a", RawQuery: "count=3"}, Header: http.Header{"If-Match": {`"1"`}}, Body: []byte(`{"name":"n"}`),
		Status: 200, AnswerHeader: http.Header{"Etag": {`"2"`}, "Age": {"1"}, "Content-Type": {"application/json"}, "Date": {"now"}}, Answer: []byte(`{"id":"a","size":1}`),
	}
	if change != nil {
		change(x)
	}
	return x
}

func parse(t *testing.T, text string) *contract.Document {
	t.Helper()
	d, err := contract.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCheckFinds: whatever an exchange has that the document lacks, and what the document demands and the exchange lacks, is an error.
func TestCheckFinds(t *testing.T) {
	d := parse(t, document)
	event := func(text string) func(x *contract.Exchange) {
		return func(x *contract.Exchange) {
			x.Method, x.Body, x.URL = http.MethodGet, nil, &url.URL{Path: "/v1/things/a"}
			x.AnswerHeader, x.Answer = http.Header{"Content-Type": {"text/event-stream"}}, []byte(text)
		}
	}
	answered := func(status int, media, body string) func(x *contract.Exchange) {
		return func(x *contract.Exchange) {
			x.Status, x.AnswerHeader, x.Answer = status, http.Header{"Content-Type": {media}}, []byte(body)
		}
	}
	for name, change := range map[string]func(x *contract.Exchange){
		"":                   nil,
		"an error":           answered(404, "application/problem+json", `{"code":"not_found"}`),
		"another path":       func(x *contract.Exchange) { x.URL.Path = "/v1/things" },
		"another method":     func(x *contract.Exchange) { x.Method = http.MethodDelete },
		"a status":           answered(409, "application/problem+json", `{"code":"conflict"}`),
		"a 404 of no path":   func(x *contract.Exchange) { x.URL.Path, x.Status = "/v2", 404 },
		"a 404 of a path":    func(x *contract.Exchange) { x.Method, x.Status = http.MethodDelete, 404 },
		"a parameter":        func(x *contract.Exchange) { x.URL.RawQuery = "force=true" },
		"a wrong parameter":  func(x *contract.Exchange) { x.URL.RawQuery = "count=many" },
		"a condition":        func(x *contract.Exchange) { x.Header.Set("If-None-Match", "*") },
		"a member asked":     func(x *contract.Exchange) { x.Body = []byte(`{"name":"n","more":1}`) },
		"a member not asked": func(x *contract.Exchange) { x.Body = []byte(`{}`) },
		"no body":            func(x *contract.Exchange) { x.Body = nil },
		"a header":           func(x *contract.Exchange) { x.AnswerHeader.Set("Edgehold-Owner", "g") },
		"a wrong header":     func(x *contract.Exchange) { x.AnswerHeader.Set("Age", "old") },
		"a missing header":   func(x *contract.Exchange) { x.AnswerHeader.Del("ETag") },
		"a type":             func(x *contract.Exchange) { x.AnswerHeader.Set("Content-Type", "text/plain") },
		"a member answered":  func(x *contract.Exchange) { x.Answer = []byte(`{"id":"a","color":"red"}`) },
		"a member missing":   func(x *contract.Exchange) { x.Answer = []byte(`{"size":1}`) },
		"a member of a type": func(x *contract.Exchange) { x.Answer = []byte(`{"id":"a","size":"1"}`) },
		"a member of errors": answered(404, "application/problem+json", `{"code":"not_found","instance":"x"}`),
		"Allow": func(x *contract.Exchange) {
			x.Method, x.Status, x.AnswerHeader = "POST", 405, http.Header{"Allow": {"GET, HEAD, PUT"}}
		},
		"Allow of too few": func(x *contract.Exchange) {
			x.Method, x.Status, x.AnswerHeader = "POST", 405, http.Header{"Allow": {"GET, HEAD"}}
		},
		"Allow of too many": func(x *contract.Exchange) {
			x.Method, x.Status, x.AnswerHeader = "POST", 405, http.Header{"Allow": {"GET, HEAD, PUT, DELETE"}}
		},
		"events":              event("retry: 1000\n\nevent: put\ndata: {\"key\":\"a\"}\nid: 1\n\n"),
		"an event":            event("event: other\ndata: {}\n\n"),
		"a member of events":  event("event: put\ndata: {\"key\":\"a\",\"more\":1}\n\n"),
		"a field of events":   event("event: put\ndata: {\"key\":\"a\"}\nname: x\n\n"),
		"HEAD, which GET has": func(x *contract.Exchange) { event("")(x); x.Method = http.MethodHead },
	} {
		wanted := map[string]bool{"": true, "an error": true, "a 404 of no path": true, "Allow": true, "events": true, "HEAD, which GET has": true}[name]
		if err := d.Check(exchange(change)); (err == nil) != wanted {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestCheckFindsWhatIsGone: for each part of the document without which the exchange is not described, a document without it has an error.
func TestCheckFindsWhatIsGone(t *testing.T) {
	for _, at := range []string{
		"paths//v1/things/{id}/put", "paths//v1/things/{id}/put/responses/200", "paths//v1/things/{id}/put/parameters", "paths//v1/things/{id}/put/responses/200/headers/ETag",
		"paths//v1/things/{id}/put/responses/200/content", "components/schemas/Thing/properties/size", "components/schemas/Thing", "components/schemas/Ask/properties/name",
	} {
		var root map[string]any
		if err := json.Unmarshal([]byte(document), &root); err != nil {
			t.Fatal(err)
		}
		at = strings.ReplaceAll(at, "/"+"/v1/things/{id}", "/PATH")
		parts := strings.Split(at, "/")
		o := root
		for _, p := range parts[:len(parts)-1] {
			o = o[strings.ReplaceAll(p, "PATH", "/v1/things/{id}")].(map[string]any)
		}
		delete(o, parts[len(parts)-1])
		text, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		d, err := contract.Parse(text)
		if err == nil {
			err = d.Check(exchange(nil))
		}
		if err == nil {
			t.Errorf("nothing is wrong without %s", at)
		}
	}
}

// TestParseRefuses: a text that is no document of OpenAPI, or one whose parts do not fit together.
func TestParseRefuses(t *testing.T) {
	for _, change := range [][2]string{
		{`{`, ``}, {`"openapi":"3.1.0",`, ``}, {`"title":"t",`, ``}, {`"3.1.0"`, `"3.0.0"`}, {`"watchThing"`, `"putThing"`}, {`{"name":"id","in":"path"`, `{"name":"other","in":"path"`},
		{`"value":{"id":"a","size":1}`, `"value":{"id":"a","size":"1"}`}, {`"#/components/responses/NotFound"`, `"#/components/responses/Gone"`},
		{`"#/components/schemas/Thing"`, `"#/components/schemas/Gone"`}, {`"in":"query"`, `"in":"body"`}, {`{"type":"integer"}`, `{"type":"whole"}`}, {`"description":"d",`, ``},
	} {
		text := strings.Replace(document, change[0], change[1], 1)
		if text == document {
			t.Fatalf("%q is not in the document", change[0])
		}
		if _, err := contract.Parse([]byte(text)); err == nil {
			t.Errorf("a document with %q for %q is taken", change[1], change[0])
		}
	}
}

// TestExamples: the parts of an example that have one name are one request and its answer.
func TestExamples(t *testing.T) {
	for _, o := range parse(t, document).Operations() {
		if o.ID != "putThing" {
			continue
		}
		all := o.Examples()
		if len(all) != 1 || all[0].Target != "/v1/things/a?count=3" || all[0].Body != `{"name":"n"}` || all[0].Status != 200 {
			t.Fatalf("%+v", all[0])
		}
		for body, like := range map[string]bool{`{"id":"b","size":7,"more":1}`: true, `{"id":"b"}`: false, `{"id":"b","size":"7"}`: false, `x`: false} {
			if err := all[0].Like(200, []byte(body)); (err == nil) != like {
				t.Errorf("%s: %v", body, err)
			}
		}
		if all[0].Like(404, []byte(`{"id":"b","size":7}`)) == nil {
			t.Error("another status is like the example")
		}
	}
}
