package openapi

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Schema is a JSON schema.
type Schema struct {
	Ref                  string             `json:"$ref,omitempty"`
	Type                 string             `json:"type,omitempty"`
	Description          string             `json:"description,omitempty"`
	Format               string             `json:"format,omitempty"`
	ContentEncoding      string             `json:"contentEncoding,omitempty"`
	Pattern              string             `json:"pattern,omitempty"`
	Enum                 []string           `json:"enum,omitempty"`
	Const                any                `json:"const,omitempty"`
	Default              any                `json:"default,omitempty"`
	Minimum              *int64             `json:"minimum,omitempty"`
	Maximum              *int64             `json:"maximum,omitempty"`
	MinLength            int                `json:"minLength,omitempty"`
	MaxLength            int                `json:"maxLength,omitempty"`
	MinProperties        int                `json:"minProperties,omitempty"`
	MaxProperties        int                `json:"maxProperties,omitempty"`
	Items                *Schema            `json:"items,omitempty"`
	Properties           map[string]*Schema `json:"properties,omitempty"`
	Required             []string           `json:"required,omitempty"`
	AdditionalProperties *Additional        `json:"additionalProperties,omitempty"`
	OneOf                []*Schema          `json:"oneOf,omitempty"`
}

// Additional is what members an object may have beside its properties.
type Additional struct {
	// Schema is that of their values; nil: there must be none.
	Schema *Schema
}

// MarshalJSON implements json.Marshaler.
func (a *Additional) MarshalJSON() ([]byte, error) {
	if a.Schema == nil {
		return []byte("false"), nil
	}
	return json.Marshal(a.Schema)
}

// Schemas makes schemas of Go types, as encoding/json encodes and decodes them. A struct with a name is a component, to which others
// refer. It belongs to one goroutine.
type Schemas struct {
	// Known has the schemas of types that reflection cannot see into, or says too little about.
	Known map[reflect.Type]*Schema
	// Names has the names of components whose types have none that is exported.
	Names map[reflect.Type]string
	// Components are those that were needed.
	Components map[string]*Schema

	types map[string]reflect.Type
}

// Ref returns the schema that stands for the component of that name.
func Ref(name string) *Schema { return &Schema{Ref: "#/components/schemas/" + name} }

// Answer returns the schema of what encoding v gives. It panics if the type of v has no schema.
func (s *Schemas) Answer(v any) *Schema { return s.of(reflect.TypeOf(v), false) }

// Request returns the schema of what is decoded into v if unknown members are refused. The members named must be there.
func (s *Schemas) Request(name string, v any, required ...string) *Schema {
	t := reflect.TypeOf(v)
	schema := s.object(t, true)
	schema.Required = required
	for _, member := range required {
		if schema.Properties[member] == nil {
			panic(fmt.Sprintf("%v has no member %s", t, member))
		}
	}
	s.add(name, t, schema)
	return Ref(name)
}

// Own adds the schema of what encoding v gives as a component of that name.
func (s *Schemas) Own(name string, v any) *Schema {
	t := reflect.TypeOf(v)
	s.add(name, t, s.object(t, false))
	return Ref(name)
}

// Add adds a schema as a component.
func (s *Schemas) Add(name string, schema *Schema) { s.add(name, nil, schema) }

// add adds a component. One of another type that has its name is a fault of the program.
func (s *Schemas) add(name string, t reflect.Type, schema *Schema) {
	if s.Components == nil {
		s.Components, s.types = map[string]*Schema{}, map[string]reflect.Type{}
	}
	if before, ok := s.types[name]; ok && before != t {
		panic(fmt.Sprintf("two types are the component %s: %v and %v", name, before, t))
	}
	s.Components[name], s.types[name] = schema, t
}

var (
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
)

func (s *Schemas) of(t reflect.Type, request bool) *Schema {
	if known := s.Known[t]; known != nil {
		return known
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return &Schema{Type: "string", Format: "date-time"}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem(), request)
	case t.Implements(jsonMarshaler):
		panic(fmt.Sprintf("the schema of %v is not known", t))
	case t.Implements(textMarshaler):
		return &Schema{Type: "string"}
	}
	zero := int64(0)
	switch t.Kind() {
	case reflect.Bool:
		return &Schema{Type: "boolean"}
	case reflect.String:
		return &Schema{Type: "string"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &Schema{Type: "integer", Format: "int64"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &Schema{Type: "integer", Minimum: &zero}
	case reflect.Float32, reflect.Float64:
		return &Schema{Type: "number"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return &Schema{Type: "string", ContentEncoding: "base64"}
		}
		return &Schema{Type: "array", Items: s.of(t.Elem(), request)}
	case reflect.Map:
		return &Schema{Type: "object", AdditionalProperties: &Additional{s.of(t.Elem(), request)}}
	case reflect.Struct:
		return s.component(t, request)
	}
	panic(fmt.Sprintf("%v has no schema", t))
}

// component returns the schema of a struct, which is a reference if the struct has a name.
func (s *Schemas) component(t reflect.Type, request bool) *Schema {
	name := s.Names[t]
	if name == "" && t.Name() != "" && t.Name()[0] >= 'A' && t.Name()[0] <= 'Z' {
		name = t.Name()
	}
	if name == "" {
		return s.object(t, request)
	}
	if request {
		name += "Request"
	}
	if s.types[name] != t {
		s.add(name, t, &Schema{}) // a type may contain itself
		s.add(name, t, s.object(t, request))
	}
	return Ref(name)
}

// object returns the schema of a struct with its members.
func (s *Schemas) object(t reflect.Type, request bool) *Schema {
	o := &Schema{Type: "object", Properties: map[string]*Schema{}}
	if request {
		o.AdditionalProperties = &Additional{}
	}
	for name, f := range members(t) {
		_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		schema := s.of(f.Type, request)
		switch optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero"); {
		case request:
		case optional:
		case f.Type.Kind() == reflect.Pointer:
			schema = &Schema{OneOf: []*Schema{schema, {Type: "null"}}}
			fallthrough
		default:
			o.Required = append(o.Required, name)
		}
		o.Properties[name] = schema
	}
	slices.Sort(o.Required)
	return o
}

// members returns the fields of a struct by the names that they have in JSON. Those of an embedded struct are the struct's own; of two of one
// name the one that is less deep counts.
func members(t reflect.Type) map[string]reflect.StructField {
	all := map[string]reflect.StructField{}
	level := []reflect.Type{t}
	for len(level) > 0 {
		var next []reflect.Type
		found := map[string]reflect.StructField{}
		for _, t := range level {
			for f := range t.Fields() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				switch {
				case name == "-":
				case f.Anonymous && name == "":
					next = append(next, f.Type)
				case !f.IsExported():
				case name == "":
					found[f.Name] = f
				default:
					found[name] = f
				}
			}
		}
		for name, f := range found {
			if _, hidden := all[name]; !hidden {
				all[name] = f
			}
		}
		level = next
	}
	return all
}
