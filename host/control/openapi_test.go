package control

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/host/control/api"
)

var update = flag.Bool("update", false, "write golden files")

type schemaDoc struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name, In string
		}
		RequestBody *struct{ Content map[string]any }
		Responses   map[string]struct{ Content map[string]any }
		Right       string `json:"x-right"`
		Changes     string `json:"x-changes"`
	}
	Components struct {
		Schemas map[string]struct{ Properties map[string]json.RawMessage }
	}
}

func served(t *testing.T) (doc schemaDoc) {
	t.Helper()
	w := as(New(newWorld(), Options{}), "uid:0", api.Rights, "GET", "/v1/openapi.json", nil)
	return decodeTo[schemaDoc](t, w)
}

// The document is what the code is: each route, with its parameters, statuses and right, and each field of each type.
func TestOpenAPIIsComplete(t *testing.T) {
	doc := served(t)
	routes := 0
	for _, ops := range doc.Paths {
		routes += len(ops)
	}
	if routes != len(api.Table) {
		t.Errorf("%d routes of %d", routes, len(api.Table))
	}
	for _, spec := range api.Table {
		method, path, _ := strings.Cut(spec.Route, " ")
		op, ok := doc.Paths[strings.ReplaceAll(path, "...}", "}")][strings.ToLower(method)]
		if !ok {
			t.Errorf("%s is missing", spec.Route)
			continue
		}
		if op.Right != string(spec.Right) || op.Changes != spec.Changes || (op.RequestBody != nil) != (spec.Body != nil || spec.Form != nil || spec.Bytes) {
			t.Errorf("%s: %+v", spec.Route, op)
		}
		named := map[string]bool{}
		for _, p := range op.Parameters {
			named[p.In+" "+p.Name] = true
		}
		for _, p := range spec.Params {
			if !named["query "+p.Name] {
				t.Errorf("%s: parameter %s is missing", spec.Route, p.Name)
			}
		}
		if strings.Count(path, "{") != len(slices.DeleteFunc(slices.Collect(maps.Keys(named)), func(n string) bool { return !strings.HasPrefix(n, "path ") })) {
			t.Errorf("%s: %v", spec.Route, named)
		}
		status := "200"
		if spec.Status != 0 {
			status = "202"
		}
		if _, ok := op.Responses[status]; !ok || op.Responses["default"].Content == nil {
			t.Errorf("%s: %v", spec.Route, op.Responses)
		}
		if spec.Reply != nil {
			hasFields(t, doc, reflect.TypeOf(spec.Reply))
		}
		if spec.Body != nil {
			hasFields(t, doc, reflect.TypeOf(spec.Body))
		}
	}
}

func hasFields(t *testing.T, doc schemaDoc, typ reflect.Type) {
	t.Helper()
	name := typ.String()
	if outer, inner, ok := strings.Cut(name, "["); ok {
		name = outer + "." + strings.TrimSuffix(inner[strings.LastIndexByte(inner, '/')+1:], "]")
	}
	schema, ok := doc.Components.Schemas[name]
	if !ok {
		t.Errorf("%s has no schema", name)
		return
	}
	for _, f := range reflect.VisibleFields(typ) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if _, ok := schema.Properties[tag]; tag != "" && tag != "-" && !ok {
			t.Errorf("%s.%s is missing", name, tag)
		}
	}
}

// Within version 1 nothing that a client may use goes away: routes, parameters, fields. What is new is added to the golden file
// by -update.
func TestNothingGoesAway(t *testing.T) {
	doc := served(t)
	shape := map[string][]string{}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			key := strings.ToUpper(method) + " " + path
			shape[key] = []string{}
			for _, p := range op.Parameters {
				shape[key] = append(shape[key], p.In+" "+p.Name)
			}
			slices.Sort(shape[key])
		}
	}
	for name, s := range doc.Components.Schemas {
		shape[name] = slices.Sorted(maps.Keys(s.Properties))
	}
	file := filepath.Join("testdata", "golden", "shape.json")
	if *update {
		text, err := json.MarshalIndent(shape, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string][]string{}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for name, members := range golden {
		now, ok := shape[name]
		if !ok {
			t.Errorf("%s has gone away", name)
		}
		for _, m := range members {
			if ok && !slices.Contains(now, m) {
				t.Errorf("%s of %s has gone away", m, name)
			}
		}
	}
	for name, members := range shape {
		if len(golden[name]) < len(members) || golden[name] == nil {
			t.Errorf("%s is new, or has more than before: run with -update", name)
		}
	}
}

// Types of the API are searched by names that exist in them.
func TestQueriesFindTypesOfTheAPI(t *testing.T) {
	at := time.Now().Add(-time.Minute)
	for view, record := range map[string]any{
		"failures": &api.Failing{ID: "xx", Kind: "job", Blame: "guest", Code: "xx", Message: "xx", At: at, Retryable: true, RetryAt: at, Tenant: "xx"},
		"audit":    &api.Audit{Seq: 3, At: at, Caller: "xx", Origin: "xx", Route: "xx", Verb: "xx", Target: "xx", Plan: "xx", Reason: "xx", DryRun: true, Outcome: "done", Code: "xx"},
	} {
		for _, f := range query.Fields(view) {
			probe := map[query.Kind]string{query.Text: "~x", query.Enum: "!=", query.Bool: "=true", query.Number: ">0", query.Duration: ">0s", query.Time: ":20m"}[f.Kind]
			q, err := query.Parse(view, f.Name+probe, time.Now())
			if err != nil || !q.Match(record) {
				t.Errorf("%s.%s: %v", view, f.Name, err)
			}
		}
		if query.ID(view, record) == "" {
			t.Errorf("%s has no id", view)
		}
	}
	for _, view := range api.Views {
		if !slices.Contains(query.Views(), view) {
			t.Errorf("%s has no schema", view)
		}
	}
}
