package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
)

// The JSON form of the original, to the byte: its file is content-addressed, too.
func TestJSONOfVersion1(t *testing.T) {
	m := second()
	m.Args = []string{"a", "<&>\"\\\u2028\x01\t\x7f"}
	const want = `{
  "version": 1,
  "code_hash": "sha256:0000000000000000000000000000000000000000000000000000000000000000",
  "args": [
    "a",
    "<&>\"\\` + "\u2028" + `\u0001\t` + "\x7f" + `"
  ],
  "env_vars": [
    [
      "K",
      "V"
    ]
  ],
  "on_demand": true,
  "resizable": false,
  "max_query_size": 1024,
  "label": "x",
  "required_blobs": [
    [
      "sha256:0000000000000000000000000000000000000000000000000000000000000000",
      "QmA"
    ]
  ]
}`
	got, err := m.JSON()
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Error(err, diff)
	}
	var back Manifest
	if err := json.Unmarshal(got, &back); err != nil || back.Address() != m.Address() {
		t.Error(err, back)
	}
	got, _ = first().JSON()
	if !bytes.Contains(got, []byte(`"args": [],`)) || !bytes.HasSuffix(got, []byte("\"required_blobs\": []\n}")) {
		t.Errorf("empty lists: %s", got)
	}
}

func TestJSONOfVersion2(t *testing.T) {
	got, err := full().JSON()
	if err != nil {
		t.Fatal(err)
	}
	_, terms, _ := strings.Cut(string(got), `"terms": `)
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(strings.TrimSuffix(terms, "}"))); err != nil {
		t.Fatal(err)
	}
	const want = `{"limits":{"gas":1099511627776,"init_gas":7,"cpu":"1s","wall":"1m0s","memory_bytes":16777216,"output_bytes":1048576,` +
		`"stack_values":2048},"entry":"service","reuse":"keep","restart":{"policy":"on_failure","min_run":"1s","backoff_min":"1ms",` +
		`"backoff_max":"1m0s","max":3},"schedule":{"start":"1s","period":"1h0m0s","repeats":9,"duration":"1m0s"},"weight":200,` +
		`"query_timeout":"5s","queue":4,"idle_timeout":"1m0s","deterministic":true,"canonical_nans":true,"init_once":true,"grants":{"http":true,` +
		`"names":["app.example.org"],"egress":["*.example.org:443","[fd00::/8]:1-65535"],"listen":[[8000,8010]],"kv_bytes":1048576,` +
		`"channels":[{"name":"jobs","rights":["send","recv"]}],"topics":[{"name":"news","rights":["recv"]}]}}`
	if diff := cmp.Diff(want, compact.String()); diff != "" {
		t.Error(diff)
	}
}

func TestJSONRefuses(t *testing.T) {
	whole, _ := full().JSON()
	for name, c := range map[string]struct{ old, new, says string }{
		"an unknown key":           {`"label"`, `"lable"`, "lable"},
		"an unknown key in terms":  {`"queue"`, `"cue"`, "terms.cue"},
		"one in a list":            {`"name": "jobs"`, `"named": "jobs"`, "terms.grants.channels[0].named"},
		"another case":             {`"label"`, `"Label"`, "Label"},
		"a key twice":              {`"label"`, `"version": 2, "label"`, "version"},
		"a pair of three":          {`"V"`, `"V", "W"`, "env_vars[0]"},
		"a pair of one":            {"\"K\",", "", "env_vars[0]"},
		"three ports":              {`8010`, `8010, 1`, "terms.grants.listen[0]"},
		"a port above all":         {`8010`, `65536`, "16 bits"},
		"a number as text":         {`"max_query_size": 1024`, `"max_query_size": "1024"`, "max_query_size"},
		"a fraction":               {`"max_query_size": 1024`, `"max_query_size": 1.5`, "max_query_size"},
		"a number below zero":      {`"max_query_size": 1024`, `"max_query_size": -1`, "max_query_size"},
		"a number as duration":     {`"query_timeout": "5s"`, `"query_timeout": 5`, "text"},
		"no unit":                  {`"query_timeout": "5s"`, `"query_timeout": "5"`, "duration"},
		"an unknown entry":         {`"entry": "service"`, `"entry": "server"`, "server"},
		"an unknown right":         {`"recv"`, `"receive"`, "receive"},
		"no list of rights":        {`"rights": [`, `"rights": {}, "x": [`, "x"},
		"text that is not UTF-8":   {`"label": "x"`, "\"label\": \"\xff\"", "UTF-8"},
		"a list that is an object": {`"args": [`, `"args": {"a": 1}, "deps": [`, "deps"},
		"no object at all":         {string(whole), `[]`, "object"},
		"nothing":                  {string(whole), ``, ""},
		"half":                     {`"required_blobs"`, "\x00", ""},
		"more behind":              {"\n}", "\n}}", ""},
	} {
		text := strings.Replace(string(whole), c.old, c.new, 1)
		if text == string(whole) {
			t.Fatal(name, "changes nothing")
		}
		m := *first()
		err := m.UnmarshalJSON([]byte(text))
		if fault.CodeOf(err) != fault.CallerManifest || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(first(), &m); diff != "" {
			t.Errorf("%s: changed all the same: %s", name, diff)
		}
	}
	var m Manifest
	if err := m.UnmarshalJSON(make([]byte, MaxTextBytes+1)); fault.CodeOf(err) != fault.CallerManifestTooLarge {
		t.Error(err)
	}
	if err := m.UnmarshalJSON([]byte(strings.Repeat("[", 1<<19))); fault.CodeOf(err) != fault.CallerManifest {
		t.Error(err)
	}
}

var files = map[string][]byte{
	"app.wasm":  []byte("\x00asm\x01\x00\x00\x00"),
	"model.bin": []byte("hello world"),
	"same.bin":  []byte("hello world"),
	"dep.txt":   []byte("hello world\n"),
}

func readFile(path string) ([]byte, error) {
	if b, ok := files[path]; ok {
		return b, nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

const description = `{
	"wasm_code": "app.wasm", "args": ["--model", "sha256-of-file:model.bin"], "env_vars": {"B": "2", "A": "1"},
	"on_demand": true, "resizable": false, "max_query_size": 4096, "label": "demo", "deps": ["dep.txt", "same.bin"], "output_dir": "out"
}`

const descriptionTOML = `
wasm_code = "app.wasm"
args = ["--model", "sha256-of-file:model.bin"]
on_demand = true
resizable = false
max_query_size = 4096
label = "demo"
deps = ["dep.txt", "same.bin"]
output_dir = "out"
[env_vars]
B = "2"
A = "1"
`

func build(t *testing.T, text string, inTOML bool) *Built {
	t.Helper()
	d, err := ParseDescription([]byte(text), inTOML)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Build(d, readFile)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuild(t *testing.T) {
	got := build(t, description, false)
	const (
		code = "sha256:93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"
		text = "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
		line = "sha256:a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447"
	)
	cid := CID(files["app.wasm"])
	want := &Manifest{
		Version: 1, CodeHash: code, Args: []string{"--model", text}, Env: []Pair{{"A", "1"}, {"B", "2"}}, OnDemand: true, MaxQueryBytes: 4096,
		Label: "demo", Blobs: []Pair{
			{code, cid}, {line, "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"}, {text, "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"},
		},
	}
	if diff := cmp.Diff(want, got.Manifest); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(got.Encoded, want.Encode()) || got.CID != CID(got.JSON) {
		t.Error("encoding or CID of another manifest")
	}
	if diff := cmp.Diff([]BuiltBlob{{code, cid, files["app.wasm"]}, {line, want.Blobs[1].Value, files["dep.txt"]}, {text, want.Blobs[2].Value, files["same.bin"]}}, got.Blobs); diff != "" {
		t.Error(diff)
	}
	for range 20 { // maps have no order
		if diff := cmp.Diff(got, build(t, description, false)); diff != "" {
			t.Fatal("again", diff)
		}
	}
	if diff := cmp.Diff(got, build(t, descriptionTOML, true)); diff != "" {
		t.Error("in TOML", diff)
	}
}

func TestBuildOfVersion2(t *testing.T) {
	inJSON := build(t, `{"wasm_code": "app.wasm", "label": "<2>", "terms": {"limits": {"cpu": "2s", "memory_bytes": 1048576}, "entry": "handler",
		"grants": {"egress": ["example.org:443"], "listen": [[80, 81]], "channels": [{"name": "c", "rights": ["close", "send"]}]}}}`, false)
	inTOML := build(t, `
		wasm_code = "app.wasm"
		label = "<2>"
		version = 2
		[terms]
		entry = "handler"
		limits = { cpu = "2000ms", memory_bytes = 0x100000 }
		[terms.grants]
		egress = ["example.org:443"]
		listen = [[80, 81]]
		[[terms.grants.channels]]
		name = "c"
		rights = ["send", "close"]`, true)
	if diff := cmp.Diff(inJSON, inTOML); diff != "" {
		t.Error(diff)
	}
	m := inJSON.Manifest
	if m.Version != 2 || m.Terms.Entry != Handler || m.Terms.Grants.Channels[0].Rights != 5 {
		t.Errorf("%+v", m)
	}
	if m := build(t, `{"wasm_code": "app.wasm", "version": 2}`, false).Manifest; m.Version != 2 || m.Terms == nil {
		t.Errorf("%+v", m)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text, says string
		code       fault.Code
	}{
		"no code":              {`{}`, "wasm_code", fault.CallerManifest},
		"code that is missing": {`{"wasm_code": "x"}`, "x", fault.CallerNotFound},
		"an argument's file":   {`{"wasm_code": "app.wasm", "args": ["sha256-of-file:y"]}`, "y", fault.CallerNotFound},
		"an argument of none":  {`{"wasm_code": "app.wasm", "args": ["sha256-of-file:"]}`, "args[0]", fault.CallerManifest},
		"a dependency":         {`{"wasm_code": "app.wasm", "deps": ["z"]}`, "z", fault.CallerNotFound},
		"two modes":            {`{"wasm_code": "app.wasm", "on_demand": true, "resizable": true}`, "resizable", fault.CallerManifestConflict},
		"terms of version 1":   {`{"wasm_code": "app.wasm", "version": 1, "terms": {}}`, "terms", fault.CallerManifestConflict},
		"version 3":            {`{"wasm_code": "app.wasm", "version": 3}`, "3", fault.CallerManifestVersion},
		"a label":              {`{"wasm_code": "app.wasm", "label": "a\u0007"}`, "", fault.CallerManifestLabel},
	} {
		d, err := ParseDescription([]byte(c.text), false)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := Build(d, readFile); fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := func(err error) error {
		_, err = Build(&Description{WasmCode: "a"}, func(string) ([]byte, error) { return nil, err })
		return err
	}
	if err := other(fs.ErrPermission); !errors.Is(err, fault.CallerInvalid) || !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	if err := other(fmt.Errorf("x: %w", fault.New(fault.CallerBlobTooLarge, "", "", nil))); fault.CodeOf(err) != fault.CallerBlobTooLarge {
		t.Error(err)
	}
}

func TestDescriptionsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		inTOML bool
		says   string
	}{
		"an unknown key":         {`{"wasm-code": "x"}`, false, "wasm-code"},
		"an unknown key in TOML": {"[terms.limits]\nmem = 1", true, "terms.limits.mem"},
		"a key twice":            {`{"label": "a", "label": "b"}`, false, "label"},
		"a variable twice":       {`{"env_vars": {"A": "a", "A": "b"}}`, false, "env_vars.A"},
		"a key twice in TOML":    {"label = 'a'\nlabel = 'b'", true, "line 2"},
		"broken TOML":            {"\nlabel = ", true, "line 2"},
		"variables as pairs":     {`{"env_vars": [["A", "a"]]}`, false, "env_vars"},
		"a number as a variable": {"[env_vars]\nA = 1", true, "env_vars"},
		"a date":                 {"max_query_size = 1979-05-27", true, "max_query_size"},
		"not a number":           {"max_query_size = nan", true, ""},
		"a capital in TOML":      {"Label = 'a'", true, "Label"},
		"no such entry":          {`{"terms": {"entry": "web"}}`, false, `terms.entry: the manifest cannot be read: "web" is none of`},
		"a time without unit":    {"[terms]\nrestart = { min_run = '10' }", true, "terms.restart.min_run"},
		"two ports and a half":   {`{"terms": {"grants": {"listen": [[1, 2, 3]]}}}`, false, "listen[0]"},
		"an escape in a key":     {`{"\u001b[2J": 1}`, false, "\uFFFD[2J"},
	} {
		_, err := ParseDescription([]byte(c.text), c.inTOML)
		if fault.CodeOf(err) != fault.CallerManifest || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseDescription(make([]byte, MaxTextBytes+1), true); fault.CodeOf(err) != fault.CallerManifestTooLarge {
		t.Error(err)
	}
}

// FuzzDescription: hostile text is refused by a fault of the caller, or builds the same twice.
func FuzzDescription(f *testing.F) {
	f.Add([]byte(description), false)
	f.Add([]byte(descriptionTOML), true)
	f.Add([]byte(`{"wasm_code": "app.wasm", "terms": {"grants": {"topics": [{"name": "a", "rights": ["recv"]}]}}}`), false)
	f.Fuzz(func(t *testing.T, b []byte, inTOML bool) {
		d, err := ParseDescription(b, inTOML)
		if err == nil {
			var made *Built
			if made, err = Build(d, readFile); err == nil {
				var back Manifest
				if err := back.UnmarshalJSON(made.JSON); err != nil || back.Address() != made.Manifest.Address() {
					t.Fatalf("%v: %s", err, made.JSON)
				}
				return
			}
		}
		if !errors.Is(err, fault.Caller) {
			t.Fatal(err)
		}
	})
}
