package api

import (
	"encoding"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// OpenAPI returns the description of the API in OpenAPI 3.1, made of Table and of the types that it names.
func OpenAPI(version string) []byte {
	d := &document{schemas: map[string]any{}}
	paths := map[string]map[string]any{}
	for _, spec := range Table {
		method, path, _ := strings.Cut(spec.Route, " ")
		path = strings.ReplaceAll(path, "...}", "}")
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(method)] = d.operation(spec, path)
	}
	text, err := json.MarshalIndent(map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": "Troupe control API", "version": version},
		"servers": []any{map[string]any{"url": "http://" + HostName, "description": "over the Unix socket of the host"}},
		"paths":   paths,
		"components": map[string]any{"schemas": d.schemas, "securitySchemes": map[string]any{
			"socket": map[string]any{"type": "http", "scheme": "bearer", "description": "none is needed over the Unix socket, where the kernel says who calls"},
			"token":  map[string]any{"type": "http", "scheme": "bearer", "description": "over TLS"},
			"cert":   map[string]any{"type": "mutualTLS"},
		}},
	}, "", " ")
	if err != nil {
		panic(err) // it is made of maps and strings
	}
	return text
}

type document struct{ schemas map[string]any }

func (d *document) operation(s Spec, path string) map[string]any {
	op := map[string]any{"summary": s.About, "operationId": operationID(s.Route), "x-right": s.Right}
	if s.And != "" {
		op["x-right-too"] = s.And
	}
	if s.Changes != "" {
		op["x-changes"] = s.Changes
	}
	params := []any{}
	add := func(in, name, about string, schema any) {
		params = append(params, map[string]any{"name": name, "in": in, "required": in == "path" || name == HeaderReason && s.Grave(), "description": about, "schema": schema})
	}
	kind := func(k string) any { return map[string]any{"type": k} }
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			add("path", strings.TrimSuffix(name, "}"), "", kind("string"))
		}
	}
	for _, p := range s.Params {
		if p.Kind == "strings" {
			add("query", p.Name, p.About, map[string]any{"type": "array", "items": kind("string")})
			continue
		}
		add("query", p.Name, p.About, kind(p.Kind))
	}
	if s.Changes != "" {
		add("header", HeaderReason, "why", kind("string"))
		add("header", HeaderDryRun, "true: nothing is changed, and what would be is said", kind("string"))
		add("header", HeaderOrigin, "which face it came through", kind("string"))
	}
	if s.Again {
		add("header", HeaderIdempotency, "the same key within an hour gives the same answer", kind("string"))
	}
	if s.Gen {
		add("header", HeaderIfMatch, "the generation that the target must have", kind("string"))
	}
	if s.Stream() {
		add("header", "Last-Event-ID", "where to go on", kind("string"))
	}
	if len(params) > 0 {
		op["parameters"] = params
	}
	if body := d.body(s); body != nil {
		op["requestBody"] = body
	}
	ok := map[string]any{"description": "success", "content": d.reply(s)}
	responses := map[string]any{"default": map[string]any{"description": "failure", "content": map[string]any{TypeJSON: map[string]any{"schema": d.schema(reflect.TypeFor[Failure]())}}}}
	for _, status := range []int{max(s.Status, http.StatusOK), s.Or} {
		if status != 0 {
			responses[strconv.Itoa(status)] = ok
		}
	}
	op["responses"] = responses
	return op
}

func operationID(route string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(strings.ToLower(route), func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_') }) {
		if b.Len() > 0 {
			b.WriteByte('-')
		}
		b.WriteString(word)
	}
	return b.String()
}

func (d *document) body(s Spec) any {
	content := map[string]any{}
	switch {
	case s.Body != nil:
		content[TypeJSON] = map[string]any{"schema": d.schema(reflect.TypeOf(s.Body))}
	case s.Form != nil:
		parts := map[string]any{}
		for _, p := range s.Form {
			parts[p] = map[string]any{"type": "string", "contentMediaType": TypeBytes}
		}
		parts[PartRequest] = d.schema(formOf(s.Route))
		content["multipart/form-data"] = map[string]any{"schema": map[string]any{"type": "object", "properties": parts, "required": []string{PartRequest}}}
	case s.Bytes:
		content[TypeBytes] = map[string]any{"schema": map[string]any{"type": "string", "contentMediaType": TypeBytes}}
	default:
		return nil
	}
	return map[string]any{"content": content}
}

// formOf is the type of the first part of a form.
func formOf(route string) reflect.Type {
	switch route {
	case RouteExecute:
		return reflect.TypeFor[Execute]()
	case RouteSubmit:
		return reflect.TypeFor[Submit]()
	case RouteDeploy, RouteAnnounce:
		return reflect.TypeFor[Deploy]()
	}
	return reflect.TypeFor[Code]()
}

func (d *document) reply(s Spec) map[string]any {
	switch {
	case s.Reply != nil:
		return map[string]any{TypeJSON: map[string]any{"schema": d.schema(reflect.TypeOf(s.Reply))}}
	case s.Events != nil:
		return map[string]any{s.Type: map[string]any{"schema": d.schema(reflect.TypeOf(s.Events))}}
	}
	return map[string]any{s.Type: map[string]any{}}
}

// schema describes a type; structs are described once, and referred to.
func (d *document) schema(t reflect.Type) any {
	switch t {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return map[string]any{}
	}
	switch {
	case t.Kind() == reflect.Pointer:
		return d.schema(t.Elem())
	case t.Implements(reflect.TypeFor[json.Marshaler]()):
		return map[string]any{"description": "text, or an object with the member base64"}
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string", "contentEncoding": "base64"}
		}
		return map[string]any{"type": []string{"array", "null"}, "items": d.schema(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": []string{"object", "null"}, "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		name := schemaName(t)
		if _, known := d.schemas[name]; !known {
			d.schemas[name] = nil // for a type that holds itself
			properties := map[string]any{}
			d.properties(t, properties)
			d.schemas[name] = map[string]any{"type": "object", "properties": properties}
		}
		return map[string]any{"$ref": "#/components/schemas/" + name}
	case reflect.Interface:
		return map[string]any{}
	}
	return map[string]any{"type": "integer"}
}

// properties are the members of a struct, with those of structs that are embedded in it.
func (d *document) properties(t reflect.Type, out map[string]any) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			d.properties(f.Type, out)
		case name == "":
			out[f.Name] = d.schema(f.Type)
		default:
			out[name] = d.schema(f.Type)
		}
	}
}

// schemaName is package and type; of a page, the type of its rows.
func schemaName(t reflect.Type) string {
	name := t.String()
	if outer, inner, ok := strings.Cut(name, "["); ok {
		inner = strings.TrimSuffix(inner, "]")
		return outer + "." + inner[strings.LastIndexByte(inner, '/')+1:]
	}
	return name
}
