package contract

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Exchange is a request and its answer.
type Exchange struct {
	Method string
	URL    *url.URL
	Header http.Header
	Body   []byte

	Status       int
	AnswerHeader http.Header
	Answer       []byte
	// Part: the bodies are not whole, and are not looked at.
	Part bool
}

// Check returns an error unless the document has the exchange: its operation, the status, headers and body of the answer, and if the request
// was carried out, the parameters and the body of the request.
func (d *Document) Check(x *Exchange) error {
	o := d.find(x.Method, x.URL)
	if o == nil {
		return d.checkNone(x)
	}
	if err := d.checkAnswer(o, x); err != nil {
		return fmt.Errorf("%s (%s %s) answers %d: %w", o.ID, x.Method, x.URL, x.Status, err)
	}
	if x.Status < 400 {
		if err := d.checkRequest(o, x); err != nil {
			return fmt.Errorf("%s (%s %s) was carried out: %w", o.ID, x.Method, x.URL, err)
		}
	}
	return nil
}

// checkNone checks an answer at a path, or for a method, that the document lacks.
func (d *Document) checkNone(x *Exchange) error {
	switch {
	case x.Status == http.StatusNotFound:
		for _, o := range d.operations {
			if o.matches(x.URL.EscapedPath()) {
				return fmt.Errorf("%s %s answers 404, but the document has the path", x.Method, x.URL)
			}
		}
		return nil
	case x.Status == http.StatusMethodNotAllowed && x.AnswerHeader.Get("Allow") != "":
		return d.checkAllow(x)
	case x.Method == http.MethodOptions && x.Status == http.StatusNoContent: // a preflight of CORS
		return nil
	}
	return fmt.Errorf("%s %s answers %d, and the document has no such operation", x.Method, x.URL, x.Status)
}

// checkAllow checks that Allow names the methods that the document has, and HEAD beside GET.
func (d *Document) checkAllow(x *Exchange) error {
	allowed := strings.Split(x.AnswerHeader.Get("Allow"), ", ")
	for _, o := range d.operations {
		if o.matches(x.URL.EscapedPath()) && !slices.Contains(allowed, o.Method) {
			return fmt.Errorf("%s: Allow does not name %s", x.URL, o.Method)
		}
	}
	for _, m := range allowed {
		if d.find(m, x.URL) == nil {
			return fmt.Errorf("%s: Allow names %s, which the document lacks", x.URL, m)
		}
	}
	return nil
}

// ofHTTP are headers that belong to the connection, to the form of the message, or to CORS, and are in no document.
var ofHTTP = []string{"date", "content-length", "content-type", "transfer-encoding", "vary", "allow", "trailer"}

func (d *Document) checkAnswer(o *Operation, x *Exchange) error {
	status := strconv.Itoa(x.Status)
	response, at := d.resolve(object(o.object["responses"])[status], o.at+pointer("responses", status))
	if response == nil {
		return fmt.Errorf("the document lacks the status; the body is %.200s", x.Answer)
	}
	if err := d.checkHeaders(response, at, x.AnswerHeader); err != nil {
		return err
	}
	content := object(response["content"])
	if x.Method == http.MethodHead || x.Part {
		return nil
	}
	if content == nil {
		if len(x.Answer) > 0 {
			return fmt.Errorf("the document lacks a body, which is %.100q", x.Answer)
		}
		return nil
	}
	given := x.AnswerHeader.Get("Content-Type")
	for media := range content {
		if sameMedia(media, given) {
			return d.checkBody(media, at+pointer("content", media, "schema"), x.Answer)
		}
	}
	return fmt.Errorf("the document lacks the Content-Type %q", given)
}

func sameMedia(a, b string) bool {
	x, _, err := mime.ParseMediaType(a)
	y, _, err2 := mime.ParseMediaType(b)
	return err == nil && err2 == nil && x == y
}

func (d *Document) checkHeaders(response map[string]any, at string, given http.Header) error {
	documented := map[string]map[string]any{}
	for name, h := range object(response["headers"]) {
		resolved, at := d.resolve(h, at+pointer("headers", name))
		documented[strings.ToLower(name)] = map[string]any{"at": at + "/schema", "required": resolved["required"]}
	}
	found := map[string]bool{}
	for name, lines := range given {
		name = strings.ToLower(name)
		found[name] = true
		h := documented[name]
		switch {
		case h != nil:
			if err := d.valid(h["at"].(string), typed(d, h["at"].(string), lines[0])); err != nil {
				return fmt.Errorf("the header %s is %q: %w", name, lines[0], err)
			}
		case slices.Contains(ofHTTP, name), strings.HasPrefix(name, "access-control-"), name == "connection" && lines[0] == "close", name == "x-around":
		default:
			return fmt.Errorf("the document lacks the header %s: %q", name, lines)
		}
	}
	for name, h := range documented {
		if h["required"] == true && !found[name] {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	return nil
}

// typed returns the value that a text is to the schema at a place.
func typed(d *Document, at, text string) any {
	s, err := d.schema(at)
	if err != nil || s.Types == nil {
		return text
	}
	switch kind := s.Types.String(); {
	case strings.Contains(kind, "integer"), strings.Contains(kind, "number"):
		return raw(text)
	case strings.Contains(kind, "boolean"):
		if text == "" {
			return true
		}
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	}
	return text
}

func (d *Document) checkBody(media, at string, body []byte) error {
	switch {
	case isJSON(media):
		if err := d.validJSON(at, body); err != nil {
			return fmt.Errorf("%w; the body is %.300s", err, body)
		}
	case strings.HasPrefix(media, "text/event-stream"):
		return d.checkEvents(string(body))
	}
	return nil
}

// checkEvents holds each event against the component that has its name.
func (d *Document) checkEvents(text string) error {
	for event := range strings.SplitSeq(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		name, data := "message", ""
		for line := range strings.SplitSeq(event, "\n") {
			field, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch field {
			case "event":
				name = value
			case "data":
				data = value
			case "id", "retry", "":
			default:
				return fmt.Errorf("an event has the field %q", field)
			}
		}
		if data == "" {
			continue
		}
		component := strings.ToUpper(name[:1]) + name[1:] + "Event"
		if object(object(d.root["components"])["schemas"])[component] == nil {
			return fmt.Errorf("the document lacks the event %s", name)
		}
		if err := d.validJSON(pointer("components", "schemas", component), []byte(data)); err != nil {
			return fmt.Errorf("the event %s: %w; its data is %s", name, err, data)
		}
	}
	return nil
}

func (d *Document) checkRequest(o *Operation, x *Exchange) error {
	parameters := o.parameters
	for name, values := range x.URL.Query() {
		if parameters["query timeout"] == nil { // a probe, which ignores any query
			break
		}
		p := parameters["query "+name]
		if p == nil {
			return fmt.Errorf("the document lacks the query parameter %s", name)
		}
		at := p.at + "/schema"
		if err := d.valid(at, typed(d, at, values[0])); err != nil {
			return fmt.Errorf("%s=%s: %w", name, values[0], err)
		}
	}
	for name, p := range parameters {
		if in, header, _ := strings.Cut(name, " "); in == "header" && p.object["required"] == true && x.Header.Get(header) == "" {
			return fmt.Errorf("the header %s is missing", header)
		}
	}
	for _, name := range conditional {
		if x.Header.Get(name) != "" && parameters["header "+strings.ToLower(name)] == nil && x.Method != http.MethodGet && x.Method != http.MethodHead {
			return fmt.Errorf("the document lacks the header %s", name)
		}
	}
	return d.checkRequestBody(o, x)
}

// conditional are headers that no write may ignore.
var conditional = []string{"If-Match", "If-None-Match"}

func (d *Document) checkRequestBody(o *Operation, x *Exchange) error {
	body := object(o.object["requestBody"])
	switch {
	case x.Part:
		return nil
	case body == nil && len(x.Body) > 0:
		return nil // it is not read
	case len(x.Body) == 0 && body["required"] == true:
		return fmt.Errorf("the document demands a body")
	}
	for media := range object(body["content"]) {
		if isJSON(media) && len(x.Body) > 0 {
			text := []byte(strings.TrimPrefix(string(x.Body), "\ufeff"))
			if err := d.validJSON(o.at+pointer("requestBody", "content", media, "schema"), text); err != nil {
				return fmt.Errorf("%w; the body of the request is %.300s", err, text)
			}
		}
	}
	return nil
}
