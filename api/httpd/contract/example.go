package contract

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Example is a request that the document has as an example of an operation, and its answer.
type Example struct {
	Operation, Name string
	Method, Target  string
	Header          map[string]string
	Body            string
	// Status and Answer are those of the answer; Status is 0 if the document has no answer of this name.
	Status int
	Answer string
	// Media is the content type of the answer.
	Media string
}

// Examples returns the examples of the operation, in the order of their names. Parts of one example have one name everywhere. Without any, it is
// a request without parameters, if the operation needs none.
func (o *Operation) Examples() (all []*Example) {
	named := map[string]*Example{}
	at := func(name string) *Example {
		if named[name] == nil {
			named[name] = &Example{Operation: o.ID, Name: name, Method: o.Method, Target: o.Path, Header: map[string]string{}}
		}
		return named[name]
	}
	query := map[string]url.Values{}
	for _, p := range o.parameters {
		name, _ := p.object["name"].(string)
		for example, x := range object(p.object["examples"]) {
			text := fmt.Sprint(object(x)["value"])
			e := at(example)
			switch p.object["in"] {
			case "path":
				e.Target = strings.ReplaceAll(e.Target, "{"+name+"}", text)
			case "query":
				if query[example] == nil {
					query[example] = url.Values{}
				}
				query[example].Set(name, text)
			case "header":
				e.Header[name] = text
			}
		}
	}
	for media, m := range object(object(o.object["requestBody"])["content"]) {
		for example, x := range object(object(m)["examples"]) {
			at(example).Body = textOf(media, object(x)["value"])
		}
	}
	for status, r := range object(o.object["responses"]) {
		for media, m := range object(object(r)["content"]) {
			for example, x := range object(object(m)["examples"]) {
				e := at(example)
				e.Status, _ = strconv.Atoi(status)
				e.Media = media
				e.Answer = textOf(media, object(x)["value"])
			}
		}
	}
	for name, e := range named {
		if q := query[name]; q != nil {
			e.Target += "?" + q.Encode()
		}
		all = append(all, e)
	}
	if len(all) == 0 && !strings.Contains(o.Path, "{") {
		all = append(all, &Example{Operation: o.ID, Method: o.Method, Target: o.Path})
	}
	slices.SortFunc(all, func(a, b *Example) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Like returns an error unless an answer is like that of the example: it has the status, and each member of the example is there with a value of
// the same kind. A value of a key is the same. Bodies of other types, such as streams of events, are for [Document.Check] alone.
func (e *Example) Like(status int, body []byte) error {
	if status != e.Status && (e.Status != 0 || status >= 400) {
		return fmt.Errorf("the example %s of %s is answered %d, not %d: %.300s", e.Name, e.Operation, status, e.Status, body)
	}
	if !isJSON(e.Media) {
		if e.Media == "application/octet-stream" && string(body) != e.Answer {
			return fmt.Errorf("the example %s of %s is answered %.300q, not %q", e.Name, e.Operation, body, e.Answer)
		}
		return nil
	}
	var example, got any
	if err := json.Unmarshal([]byte(e.Answer), &example); err != nil {
		return fmt.Errorf("the example %s of %s: %w", e.Name, e.Operation, err)
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return fmt.Errorf("the example %s of %s: %w", e.Name, e.Operation, err)
	}
	if path := unlike(example, got, ""); path != "" {
		return fmt.Errorf("the example %s of %s: the answer is not like it at %s: %.400s", e.Name, e.Operation, path, body)
	}
	return nil
}

// unlike returns the place at which a value differs from another one, or "" if it does not.
func unlike(example, got any, at string) string {
	switch x := example.(type) {
	case map[string]any:
		y, ok := got.(map[string]any)
		if !ok {
			return at + " "
		}
		for name, member := range x {
			if _, ok := y[name]; !ok {
				return at + "/" + name
			}
			if path := unlike(member, y[name], at+"/"+name); path != "" {
				return path
			}
		}
	case []any:
		y, ok := got.([]any)
		if !ok || len(x) > 0 && len(y) == 0 {
			return at + " "
		}
		if len(x) > 0 {
			return unlike(x[0], y[0], at+"/0")
		}
	case nil:
		if got != nil {
			return at + " "
		}
	default:
		if fmt.Sprintf("%T", example) != fmt.Sprintf("%T", got) {
			return at + " "
		}
	}
	return ""
}

func textOf(media string, value any) string {
	if !isJSON(media) {
		return fmt.Sprint(value)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(text)
}
