// Package contract holds requests and answers against a document of OpenAPI 3.1. It is for tests: what a handler takes or answers and the
// document lacks is an error.
package contract

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// oas31 is the schema of OpenAPI 3.1 documents that the OpenAPI Initiative publishes (https://spec.openapis.org/oas/3.1, Apache License 2.0).
//
//go:embed oas31.json
var oas31 []byte

// Document is a document of OpenAPI. It is safe for concurrent use.
type Document struct {
	root       map[string]any
	operations []*Operation

	mu       sync.Mutex
	compiler *jsonschema.Compiler          // guarded by mu
	compiled map[string]*jsonschema.Schema // guarded by mu
}

// Operation is what a method does at a path.
type Operation struct {
	ID, Method, Path string
	// Statuses of its answers, sorted.
	Statuses []int
	object   map[string]any
	at       string // JSON pointer
	segments []string
	// parameters by where they are and their name, with their places.
	parameters map[string]*parameter
}

// parameter is a part of the path, of the query, or a header.
type parameter struct {
	object map[string]any
	at     string
}

// Parse reads a document, and returns an error unless it is one of OpenAPI 3.1 whose parts fit together.
func Parse(text []byte) (*Document, error) {
	root, err := decode(text)
	if err != nil {
		return nil, err
	}
	if err := validate(root); err != nil {
		return nil, err
	}
	d := &Document{root: strict(root).(map[string]any), compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	if err := d.compiler.AddResource(resource, d.root); err != nil {
		return nil, err
	}
	for path, item := range object(d.root["paths"]) {
		for method, op := range object(item) {
			o := object(op)
			x := &Operation{Method: strings.ToUpper(method), Path: path, object: o, at: pointer("paths", path, method), segments: strings.Split(path, "/")}
			x.ID, _ = o["operationId"].(string)
			for status := range object(o["responses"]) {
				n, err := strconv.Atoi(status)
				if err != nil {
					return nil, fmt.Errorf("%s answers with the status %q", x.ID, status)
				}
				x.Statuses = append(x.Statuses, n)
			}
			slices.Sort(x.Statuses)
			x.parameters = d.parametersOf(x)
			d.operations = append(d.operations, x)
		}
	}
	slices.SortFunc(d.operations, func(a, b *Operation) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Method, b.Method))
	})
	return d, d.whole()
}

// resource is the name of the document among schemas.
const resource = "urn:document"

func decode(text []byte) (map[string]any, error) {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("the document is not an object")
	}
	return root, nil
}

// metaschema is the schema of documents.
var metaschema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	meta, err := decode(oas31)
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	const name = "urn:oas31"
	if err := c.AddResource(name, meta); err != nil {
		return nil, err
	}
	return c.Compile(name)
})

// validate holds the document against the schema of OpenAPI.
func validate(root map[string]any) error {
	s, err := metaschema()
	if err != nil {
		return err
	}
	return s.Validate(root)
}

// strict returns a copy in which no object has members that its schema does not name, unless it says that it may.
func strict(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x)+1)
		for k, member := range x {
			if k == "example" || k == "examples" {
				out[k] = member
				continue
			}
			out[k] = strict(member)
		}
		if _, isObject := x["properties"].(map[string]any); isObject && x["type"] == "object" && x["additionalProperties"] == nil {
			out["additionalProperties"] = false
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = strict(x[i])
		}
		return out
	}
	return v
}

func object(v any) map[string]any { o, _ := v.(map[string]any); return o }

func pointer(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	return b.String()
}

// resolve follows a reference, and returns the object with its place.
func (d *Document) resolve(v any, at string) (map[string]any, string) {
	o := object(v)
	if ref, ok := o["$ref"].(string); ok {
		at = strings.TrimPrefix(ref, "#")
		var found any = d.root
		for _, p := range strings.Split(at, "/")[1:] {
			found = object(found)[strings.NewReplacer("~1", "/", "~0", "~").Replace(p)]
		}
		return object(found), at
	}
	return o, at
}

// schema returns the schema at a place.
func (d *Document) schema(at string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.compiled[at]; s != nil {
		return s, nil
	}
	u := url.URL{Fragment: at}
	s, err := d.compiler.Compile(resource + u.String())
	if err == nil {
		d.compiled[at] = s
	}
	return s, err
}

// valid holds a value against the schema at a place.
func (d *Document) valid(at string, v any) error {
	s, err := d.schema(at)
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// validJSON holds a text in JSON against the schema at a place.
func (d *Document) validJSON(at string, text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return d.valid(at, v)
}

// Operations returns the operations in the order of their paths.
func (d *Document) Operations() []*Operation { return d.operations }

// find returns the operation of a request; nil if the document has none. A HEAD that it does not name is a GET.
func (d *Document) find(method string, u *url.URL) *Operation {
	var get *Operation
	for _, o := range d.operations {
		if !o.matches(u.EscapedPath()) {
			continue
		}
		if o.Method == method {
			return o
		}
		if o.Method == http.MethodGet && method == http.MethodHead && !slices.Contains(o.Statuses, http.StatusSwitchingProtocols) {
			get = o
		}
	}
	return get
}

// greedy are the paths whose last part may contain slashes.
var greedy = map[string]bool{"/v1/kv/{key}": true, "/v1/locks/{name}": true}

func (o *Operation) matches(path string) bool {
	if greedy[o.Path] {
		before, _, _ := strings.Cut(o.Path, "{")
		return strings.HasPrefix(path, before)
	}
	segments := strings.Split(path, "/")
	if len(segments) != len(o.segments) {
		return false
	}
	for i, want := range o.segments {
		if segments[i] != want && (!strings.HasPrefix(want, "{") || segments[i] == "") {
			return false
		}
	}
	return true
}

// parametersOf returns those of the operation, by where they are and their name.
func (d *Document) parametersOf(o *Operation) map[string]*parameter {
	all := map[string]*parameter{}
	list, _ := o.object["parameters"].([]any)
	for i, p := range list {
		x, at := d.resolve(p, o.at+pointer("parameters", strconv.Itoa(i)))
		name := fmt.Sprint(x["name"])
		if x["in"] == "header" {
			name = strings.ToLower(name)
		}
		all[fmt.Sprint(x["in"])+" "+name] = &parameter{x, at}
	}
	return all
}

// Takes reports whether the document has the header of the operation's requests.
func (o *Operation) Takes(header string) bool {
	return o.parameters["header "+strings.ToLower(header)] != nil
}

// whole checks what a schema cannot: ids that are there once, parts of paths that are described, references that lead somewhere, and
// examples that are valid.
func (d *Document) whole() error {
	seen := map[string]bool{}
	for _, o := range d.operations {
		if seen[o.ID] || o.ID == "" {
			return fmt.Errorf("%s %s has the id %q, which is not its own", o.Method, o.Path, o.ID)
		}
		seen[o.ID] = true
		inPath := 0
		for name, p := range o.parameters {
			if _, err := d.schema(p.at + "/schema"); err != nil {
				return fmt.Errorf("%s: the parameter %s: %w", o.ID, name, err)
			}
			if in, part, _ := strings.Cut(name, " "); in == "path" {
				inPath++
				if !strings.Contains(o.Path, "{"+part+"}") {
					return fmt.Errorf("%s describes {%s}, which is not in its path", o.ID, part)
				}
			}
		}
		if inPath != strings.Count(o.Path, "{") {
			return fmt.Errorf("%s does not describe every part of its path", o.ID)
		}
		if err := d.wholeBodies(o); err != nil {
			return fmt.Errorf("%s: %w", o.ID, err)
		}
	}
	return nil
}

func (d *Document) wholeBodies(o *Operation) error {
	if body := object(o.object["requestBody"]); body != nil {
		if err := d.wholeContent(body, o.at+pointer("requestBody")); err != nil {
			return err
		}
	}
	for status, x := range object(o.object["responses"]) {
		r, at := d.resolve(x, o.at+pointer("responses", status))
		if r == nil {
			return fmt.Errorf("the answer %s leads nowhere", status)
		}
		for name, h := range object(r["headers"]) {
			x, place := d.resolve(h, at+pointer("headers", name))
			if x == nil {
				return fmt.Errorf("the header %s leads nowhere", name)
			}
			if _, err := d.schema(place + "/schema"); err != nil {
				return fmt.Errorf("the header %s: %w", name, err)
			}
		}
		if err := d.wholeContent(r, at); err != nil {
			return fmt.Errorf("%s: %w", status, err)
		}
	}
	return nil
}

// wholeContent compiles the schemas of bodies and holds their examples against them.
func (d *Document) wholeContent(body map[string]any, at string) error {
	for media, m := range object(body["content"]) {
		place := at + pointer("content", media)
		if _, err := d.schema(place + "/schema"); err != nil {
			return err
		}
		for name, x := range object(object(m)["examples"]) {
			if !isJSON(media) {
				continue
			}
			if err := d.valid(place+"/schema", object(x)["value"]); err != nil {
				return fmt.Errorf("the example %s: %w", name, err)
			}
		}
	}
	return nil
}

func isJSON(media string) bool {
	base, _, err := mime.ParseMediaType(media)
	return err == nil && (base == "application/json" || strings.HasSuffix(base, "+json"))
}

// raw is a number as it stands.
func raw(text string) any { return json.Number(text) }
