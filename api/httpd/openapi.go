package httpd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd/openapi"
)

// getOpenAPI answers with the document that describes the routes that this node has.
func getOpenAPI(x *exchange) error {
	x.replyBody(http.StatusOK, jsonType, x.document())
	return nil
}

// makeDocument returns the document in JSON.
func (h *handler) makeDocument() []byte {
	d := &describer{schemas: openapi.Schemas{Known: special(), Names: componentNames}}
	body, err := json.Marshal(d.document(h))
	if err != nil {
		panic(err) // an example is no JSON, which a test finds
	}
	return append(body, '\n')
}

// describer makes the document of OpenAPI out of the table of routes. It belongs to one goroutine.
type describer struct {
	schemas    openapi.Schemas
	parameters map[string]*openapi.Parameter
	headers    map[string]*openapi.Header
	responses  map[string]*openapi.Response
}

const (
	problemMedia = "application/problem+json"
	jsonMedia    = "application/json"
)

func (d *describer) document(h *handler) *openapi.Document {
	d.parameters, d.headers, d.responses = map[string]*openapi.Parameter{}, map[string]*openapi.Header{}, map[string]*openapi.Response{}
	paths := map[string]openapi.Path{}
	for i := range routes {
		r := &routes[i]
		if r.there != nil && !r.there(h) {
			continue
		}
		if paths[r.path] == nil {
			paths[r.path] = openapi.Path{}
		}
		paths[r.path][strings.ToLower(r.method)] = d.operation(r)
		if r.about.head {
			paths[r.path]["head"] = d.head(r)
		}
	}
	return &openapi.Document{
		OpenAPI: openapi.Version,
		Info: openapi.Info{
			Title: "Edgehold", Version: "v1", Description: introduction,
			License: &openapi.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"},
		},
		Servers: []openapi.Server{{URL: "/", Description: "This node. Any node serves any key."}},
		Tags:    sections,
		Paths:   paths,
		Components: openapi.Components{
			Schemas: d.schemas.Components, Responses: d.responses, Parameters: d.parameters, Headers: d.headers,
			SecuritySchemes: map[string]openapi.SecurityScheme{tokenScheme: {
				Type: "http", Scheme: "bearer", Description: "The token of a client: see GET /v1/access/self for what it allows.",
			}},
		},
	}
}

// tokenScheme names how clients prove who they are.
const tokenScheme = "token"

// security returns what a route asks of a client: a token, or none. Whether a client without one has any right is for its cluster's policy
// "anonymous" to say.
func security(r *route) *[]map[string][]string {
	all := []map[string][]string{{tokenScheme: {}}, {}}
	if r.kind == probe && r.right == front.None {
		all = []map[string][]string{}
	}
	return &all
}

func (d *describer) operation(r *route) *openapi.Operation {
	a := &r.about
	o := &openapi.Operation{
		ID: a.id, Tags: []string{a.tag}, Summary: a.summary, Description: describe(r), Security: security(r),
		Parameters: d.parametersOf(r), Responses: map[string]*openapi.Response{},
	}
	if r.body.limit > 0 {
		o.RequestBody = d.requestBody(r)
	}
	for _, status := range r.statuses {
		o.Responses[strconv.Itoa(status)] = d.success(r, status)
	}
	for _, status := range r.errorStatuses() {
		o.Responses[strconv.Itoa(status)] = d.failure(r, status)
	}
	return o
}

// head is the operation of HEAD beside a GET.
func (d *describer) head(r *route) *openapi.Operation {
	o := d.operation(r)
	o.ID, o.Summary, o.Description = "head"+strings.TrimPrefix(o.ID, "get"), "As GET, without the body", ""
	for status, x := range o.Responses {
		if x.Ref != "" {
			x = d.responses[strings.TrimPrefix(x.Ref, "#/components/responses/")]
		}
		o.Responses[status] = &openapi.Response{Description: x.Description, Headers: x.Headers}
	}
	return o
}

// describe returns what the document says of a route beside its summary.
func describe(r *route) string {
	text := r.about.text
	if r.right == front.None {
		return text
	}
	return strings.TrimSpace(fmt.Sprintf("%s It needs the right to %v.", text, r.right))
}

func (d *describer) parametersOf(r *route) (all []*openapi.Parameter) {
	for segment := range strings.SplitSeq(r.path, "/") {
		if name, isArg := strings.CutPrefix(segment, "{"); isArg {
			name = strings.TrimSuffix(name, "}")
			p := pathParameter(r, name)
			p.Examples = d.examplesOf(r, func(e *example) (string, bool) { return e.arg(r.path, name) })
			all = append(all, p)
		}
	}
	if r.kind == request {
		for _, name := range append(append([]string{}, r.params...), "timeout") {
			p := queryParameter(r, name)
			p.Examples = d.examplesOf(r, func(e *example) (string, bool) { return e.param(name) })
			all = append(all, p)
		}
	}
	for _, name := range r.about.takes {
		p := requestHeaders[name]
		p.Name, p.In = name, "header"
		p.Examples = d.examplesOf(r, func(e *example) (string, bool) { return e.line(name) })
		all = append(all, &p)
	}
	return all
}

// examplesOf returns the examples of one part of the route's requests.
func (d *describer) examplesOf(r *route, part func(e *example) (string, bool)) map[string]openapi.Example {
	var all map[string]openapi.Example
	for i := range r.about.examples {
		e := &r.about.examples[i]
		if text, ok := part(e); ok {
			if all == nil {
				all = map[string]openapi.Example{}
			}
			all[e.name] = openapi.Example{Summary: e.summary, Value: text}
		}
	}
	return all
}

// arg returns what stands in the example's path for a name in braces.
func (e *example) arg(path, name string) (string, bool) {
	u, err := url.Parse(e.target)
	if err != nil {
		return "", false
	}
	before, _, _ := strings.Cut(path, "{"+name+"}")
	if !strings.HasPrefix(u.Path, before) {
		return "", false
	}
	if path == keyPrefix+"{key}" || path == lockPrefix+"{name}" {
		return u.Path[len(before):], true
	}
	args := pattern{segments: strings.Split(path, "/")}.match(u.EscapedPath())
	text, ok := args[name]
	return text, ok
}

func (e *example) param(name string) (string, bool) {
	u, err := url.Parse(e.target)
	if err != nil || !u.Query().Has(name) {
		return "", false
	}
	return u.Query().Get(name), true
}

func (e *example) line(name string) (string, bool) {
	for _, l := range e.lines {
		if n, value, _ := strings.Cut(l, ": "); n == name {
			return value, true
		}
	}
	return "", false
}

func (d *describer) requestBody(r *route) *openapi.RequestBody {
	m := openapi.Media{Schema: &openapi.Schema{Type: "string", Format: "binary", MaxLength: int(r.body.limit)}}
	if r.about.in != nil {
		m.Schema = r.about.in(&d.schemas)
	}
	for i := range r.about.examples {
		if e := &r.about.examples[i]; e.body != "" {
			addExample(&m, e, e.body, r.body.media)
		}
	}
	return &openapi.RequestBody{
		Description: fmt.Sprintf("The %s, of at most %d bytes. Its Content-Type is not looked at; a Content-Encoding is refused.", r.body.what, r.body.limit),
		Required:    r.about.must, Content: map[string]openapi.Media{r.body.media: m},
	}
}

// addExample adds a body as an example: as it is, or as JSON.
func addExample(m *openapi.Media, e *example, body, media string) {
	var value any = body
	if media == jsonMedia || media == problemMedia {
		value = json.RawMessage(body)
	}
	if m.Examples == nil {
		m.Examples = map[string]openapi.Example{}
	}
	m.Examples[e.name] = openapi.Example{Summary: e.summary, Value: value}
}

// success is an answer that is no error.
func (d *describer) success(r *route, status int) *openapi.Response {
	x := &openapi.Response{Description: http.StatusText(status), Headers: d.headersOf(append(append([]string{}, alwaysGiven...), r.about.gives...))}
	if status == http.StatusSwitchingProtocols {
		x.Headers = d.headersOf([]string{"Upgrade", "Connection", "Edgehold-Node"})
	}
	media := r.about.media
	if media == "" && r.about.out != nil {
		media = jsonMedia
	}
	if status != http.StatusOK || media == "" {
		return x
	}
	m := openapi.Media{Schema: &openapi.Schema{Type: "string"}}
	switch {
	case r.about.out != nil:
		m.Schema = r.about.out(&d.schemas)
	case media == value.media:
		m.Schema.Format = "binary"
	}
	for i := range r.about.examples {
		if e := &r.about.examples[i]; e.status == status {
			addExample(&m, e, e.answer, media)
		}
	}
	x.Content = map[string]openapi.Media{media: m}
	return x
}

// failure is an error of a status. It is a component, unless the route has examples of it.
func (d *describer) failure(r *route, status int) *openapi.Response {
	name := strings.ReplaceAll(http.StatusText(status), " ", "")
	if d.responses[name] == nil {
		d.responses[name] = d.problem(status)
	}
	for i := range r.about.examples {
		if e := &r.about.examples[i]; e.status == status {
			own := d.problem(status)
			m := own.Content[problemMedia]
			addExample(&m, e, e.answer, problemMedia)
			own.Content[problemMedia] = m
			return own
		}
	}
	return &openapi.Response{Ref: "#/components/responses/" + name}
}

func (d *describer) problem(status int) *openapi.Response {
	text := http.StatusText(status)
	for _, code := range codesOf(status) {
		if code.HTTPStatus() == status {
			text = problemTitles[code]
		}
		applied := "It did not take effect."
		if code.Applied() != "no" {
			applied = "Whether it took effect is unknown."
		}
		text += fmt.Sprintf(": `%s`. %s", code, applied)
	}
	return &openapi.Response{
		Description: text, Headers: d.headersOf(append(append([]string{}, alwaysGiven...), errorHeaders[status]...)),
		Content: map[string]openapi.Media{problemMedia: {Schema: d.schemas.Answer(problem{})}},
	}
}

// headersOf returns references to headers, which become components.
func (d *describer) headersOf(names []string) map[string]*openapi.Header {
	all := map[string]*openapi.Header{}
	for _, name := range names {
		h, ok := answerHeaders[name]
		if !ok {
			panic("no header of answers is called " + name)
		}
		d.headers[name] = &h
		all[name] = &openapi.Header{Ref: "#/components/headers/" + name}
	}
	return all
}
