package manifest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

var zeroHash = "sha256:" + strings.Repeat("0", 64)

// The two manifests whose addresses are known from the original.
func first() *Manifest {
	return &Manifest{Version: 1, CodeHash: zeroHash, MaxQueryBytes: 10240, Label: "t"}
}

func second() *Manifest {
	return &Manifest{Version: 1, CodeHash: zeroHash, Args: []string{"a"}, Env: []Pair{{"K", "V"}}, OnDemand: true, MaxQueryBytes: 1024,
		Label: "x", Blobs: []Pair{{zeroHash, "QmA"}}}
}

func full() *Manifest {
	m := second()
	m.Version, m.OnDemand = 2, false
	m.Terms = &Terms{
		Limits: Limits{Gas: 1 << 40, InitGas: 7, CPU: time.Second, Wall: time.Minute, MemoryBytes: 1 << 24, OutputBytes: 1 << 20, StackValues: 2048},
		Entry:  Service, Reuse: Keep,
		Restart: Restart{Policy: RestartOnFailure, MinRun: time.Second, BackoffMin: time.Millisecond, BackoffMax: time.Minute, Max: 3},
		Weight:  200, QueryTimeout: 5 * time.Second, Queue: 4, IdleTimeout: time.Minute, Deterministic: true, CanonicalNaNs: true, InitOnce: true,
		Schedule: Schedule{Start: time.Second, Period: time.Hour, Repeats: 9, Duration: time.Minute},
		Grants: Grants{HTTP: true, Names: []string{"app.example.org"}, Egress: []string{"*.example.org:443", "[fd00::/8]:1-65535"},
			Listen: []Ports{{8000, 8010}}, KVBytes: 1 << 20, Channels: []Capability{{"jobs", 3}}, Topics: []Capability{{"news", 2}}},
	}
	return m
}

func TestVectors(t *testing.T) {
	for _, c := range []struct {
		m       *Manifest
		size    int
		address string
	}{
		{first(), 88, "a8c7f32161653f3987e61988faae372c9c462c3f459920154b9c6eef20bfa707"},
		{second(), 171, "e3a98ab28273199dc4a18149367cc154f9a8770d128275bb8ac14cce4fe13b8d"},
	} {
		b := c.m.Encode()
		if got := c.m.Address().String(); len(b) != c.size || got != c.address {
			t.Errorf("%d bytes, address %s; want %d, %s", len(b), got, c.size, c.address)
		}
		if err := c.m.Validate(); err != nil {
			t.Error(err)
		}
		back, err := Decode(b)
		if diff := cmp.Diff(c.m, back); diff != "" || err != nil {
			t.Error(err, diff)
		}
	}
}

func TestOrderOfVariablesIsPartOfTheAddress(t *testing.T) {
	a, b := second(), second()
	a.Env = []Pair{{"A", "1"}, {"B", "2"}}
	b.Env = []Pair{{"B", "2"}, {"A", "1"}}
	if a.Address() == b.Address() {
		t.Error("the same address")
	}
}

// Version 2 begins as version 1 does, and its bytes are held here so that no address changes unnoticed.
func TestVersion2(t *testing.T) {
	m := full()
	b := m.Encode()
	v1 := *m
	v1.Version = 1
	if !bytes.Equal(b[4:len(v1.Encode())], v1.Encode()[4:]) {
		t.Error("the fields of version 1 are not those of version 1")
	}
	const want = "0000000000010000" + "0700000000000000" + "e803000000000000" + "60ea000000000000" + "0000000100000000" + // gas, init, cpu, wall, memory
		"0000100000000000" + "0008000000000000" + "03" + "00" + "01" + // output, stack, entry, its name, reuse
		"01" + "e803000000000000" + "0100000000000000" + "60ea000000000000" + "03000000" + // restart
		"e803000000000000" + "80ee360000000000" + "09000000" + "60ea000000000000" + // schedule
		"c8000000" + "8813000000000000" + "04000000" + "60ea000000000000" + "01" + "01" + "01" + // weight, query, queue, idle, clock, NaNs, initialisation
		"01" + "04" + "3c6170702e6578616d706c652e6f7267" + "08" + "442a2e6578616d706c652e6f72673a343433" + "485b666430303a3a2f385d3a312d3635353335" +
		"04" + "401f4a1f" + "0000100000000000" + "04" + "106a6f6273" + "03" + "04" + "106e657773" + "02"
	if got := hex.EncodeToString(b[len(v1.Encode()):]); got != want {
		t.Errorf("terms\n%s, want\n%s", got, want)
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	back, err := Decode(b)
	if diff := cmp.Diff(m, back); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// Whatever is changed, the address is another, and both forms give it back: no field can be forgotten by one of them.
func TestEveryFieldIsInBothForms(t *testing.T) {
	base := &Manifest{Version: 2, CodeHash: zeroHash, Terms: &Terms{}}
	n := 0
	var walk func(path []int, typ reflect.Type)
	walk = func(path []int, typ reflect.Type) {
		for i := range typ.NumField() {
			at := append(append([]int{}, path...), i)
			f := typ.Field(i)
			switch {
			case f.Type == reflect.TypeFor[*Terms]():
				walk(at, f.Type.Elem())
				continue
			case f.Type.Kind() == reflect.Struct:
				walk(at, f.Type)
				continue
			case f.Name == "Version":
				continue
			}
			m := *base
			m.Terms = &Terms{}
			v := reflect.ValueOf(&m).Elem().FieldByIndex(at)
			switch v.Interface().(type) {
			case string:
				v.SetString("text")
			case bool:
				v.SetBool(true)
			case time.Duration:
				v.SetInt(int64(2 * time.Second))
			case []string:
				v.Set(reflect.ValueOf([]string{"x"}))
			case []Pair:
				v.Set(reflect.ValueOf([]Pair{{"a", "b"}}))
			case []Ports:
				v.Set(reflect.ValueOf([]Ports{{1, 2}}))
			case []Capability:
				v.Set(reflect.ValueOf([]Capability{{"c", 2}}))
			default:
				v.SetUint(2)
			}
			n++
			if m.Address() == base.Address() {
				t.Errorf("%s is not part of the address", f.Name)
			}
			back, err := Decode(m.Encode())
			if diff := cmp.Diff(&m, back); diff != "" || err != nil {
				t.Errorf("%s: %v %s", f.Name, err, diff)
			}
			text, err := json.Marshal(&m)
			if err != nil {
				t.Fatal(f.Name, err)
			}
			var read Manifest
			if err := json.Unmarshal(text, &read); err != nil {
				t.Errorf("%s: %v in %s", f.Name, err, text)
			}
			if diff := cmp.Diff(m, read); diff != "" {
				t.Errorf("%s: %s", f.Name, diff)
			}
		}
	}
	walk(nil, reflect.TypeFor[Manifest]())
	if n != 8+7+3+5+4+7+7 {
		t.Errorf("%d fields", n)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := full().Encode()
	edit := func(m *Manifest, f func(b []byte) []byte) []byte { return f(m.Encode()) }
	entry := len(second().Encode()) + 7*8
	for name, c := range map[string]struct {
		in   []byte
		code fault.Code
	}{
		"version 0":           {edit(first(), func(b []byte) []byte { b[0] = 0; return b }), fault.CallerManifestVersion},
		"version 3":           {edit(first(), func(b []byte) []byte { b[0] = 3; return b }), fault.CallerManifestVersion},
		"version 2^24+1":      {edit(first(), func(b []byte) []byte { b[3] = 1; return b }), fault.CallerManifestVersion},
		"a trailing byte":     {append(first().Encode(), 0), fault.CallerManifest},
		"terms of version 1":  {edit(full(), func(b []byte) []byte { b[0] = 1; return b }), fault.CallerManifest},
		"version 2, no terms": {edit(first(), func(b []byte) []byte { b[0] = 2; return b }), fault.CallerManifest},
		"nothing":             {nil, fault.CallerManifest},
		"a bool of 2":         {edit(second(), func(b []byte) []byte { b[4+2+71+1+2+1+4] = 2; return b }), fault.CallerManifest},
		"text not UTF-8":      {edit(first(), func(b []byte) []byte { b[len(b)-2] = 0xff; return b }), fault.CallerManifest},
		"a longer length":     {append(first().Encode()[:87], 1, 0), fault.CallerManifest},
		"an entry of 4":       {edit(full(), func(b []byte) []byte { b[entry] = 4; return b }), fault.CallerManifest},
		"16 KiB and one byte": {make([]byte, MaxBytes+1), fault.CallerManifestTooLarge},
		"a duration of 2^63":  {edit(full(), func(b []byte) []byte { b[len(second().Encode())+16+7] = 0x80; return b }), fault.CallerManifest},
		"more pairs than fit": {edit(first(), func(b []byte) []byte { return append(b[:87], 0xfe, 0xff, 0xff, 0xff) }), fault.CallerManifest},
	} {
		if _, err := Decode(c.in); fault.CodeOf(err) != c.code || !errors.Is(err, fault.Caller) {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	for n := range good {
		if _, err := Decode(good[:n]); fault.CodeOf(err) != fault.CallerManifest {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// labelled makes a manifest of exactly n bytes.
func sized(n int) *Manifest {
	m := first()
	m.Args = []string{strings.Repeat("x", n-len(m.Encode())-4)}
	if len(m.Encode()) == n+1 {
		m.Args[0] = m.Args[0][1:]
	}
	for len(m.Encode()) < n {
		m.Args[0] += "x"
	}
	return m
}

func TestGuards(t *testing.T) {
	if m := sized(MaxBytes); len(m.Encode()) != MaxBytes || m.Validate() != nil {
		t.Errorf("16 KiB: %d bytes, %v", len(m.Encode()), m.Validate())
	}
	m := first()
	m.Label = strings.Repeat("ä", 32)
	if err := m.Validate(); err != nil {
		t.Errorf("64 bytes of label: %v", err)
	}
	type change = func(m *Manifest)
	one := func(code fault.Code, version uint32, changes map[string]change) {
		t.Helper()
		for name, f := range changes {
			m := first()
			m.Version = version
			if version == 2 {
				m.Terms = &Terms{}
			}
			if err := m.Validate(); err != nil && version < 3 {
				t.Fatal(err)
			}
			f(m)
			if err := m.Validate(); fault.CodeOf(err) != code {
				t.Errorf("%s: %v, want %s", name, err, code)
			}
		}
	}
	one(fault.CallerManifestVersion, 3, map[string]change{"3": func(*Manifest) {}, "0": func(m *Manifest) { m.Version = 0 }})
	one(fault.CallerManifestLabel, 1, map[string]change{
		"65 bytes":        func(m *Manifest) { m.Label = strings.Repeat("a", 65) },
		"a line":          func(m *Manifest) { m.Label = "a\nb" },
		"an escape":       func(m *Manifest) { m.Label = "\x1b[2J" },
		"a mirrored text": func(m *Manifest) { m.Label = "a\u202eb" },
		"not UTF-8":       func(m *Manifest) { m.Label = "\xff" },
	})
	one(fault.CallerManifestTooLarge, 1, map[string]change{"16 KiB + 1": func(m *Manifest) { *m = *sized(MaxBytes + 1) }})
	one(fault.CallerManifestConflict, 1, map[string]change{
		"on demand and resizable": func(m *Manifest) { m.OnDemand, m.Resizable = true, true },
		"terms in version 1":      func(m *Manifest) { m.Terms = &Terms{} },
	})
	one(fault.CallerManifestConflict, 2, map[string]change{
		"keep of a command":           func(m *Manifest) { m.Terms.Entry, m.Terms.Reuse = Command, Keep },
		"keep of a handler":           func(m *Manifest) { m.Terms.Entry, m.Terms.Reuse = Handler, Keep },
		"long-running and reset":      func(m *Manifest) { m.Terms.Entry, m.Terms.Reuse = Service, Reset },
		"long-running and process":    func(m *Manifest) { m.Terms.Entry, m.Terms.Reuse = Service, Process },
		"schedule of on-demand":       func(m *Manifest) { m.OnDemand, m.Terms.Schedule.Period = true, time.Second },
		"schedule of resizable":       func(m *Manifest) { m.Resizable, m.Terms.Schedule.Period = true, time.Second },
		"schedule of a handler":       func(m *Manifest) { m.Terms.Entry, m.Terms.Schedule.Start = Handler, time.Second },
		"repeats without period":      func(m *Manifest) { m.Terms.Schedule.Repeats = 5 },
		"name of a command's entry":   func(m *Manifest) { m.Terms.Entry, m.Terms.EntryName = Command, "x" },
		"name of a service's entry":   func(m *Manifest) { m.Terms.Entry, m.Terms.EntryName = Service, "x" },
		"on demand, resizable, terms": func(m *Manifest) { m.OnDemand, m.Resizable = true, true },
	})
	one(fault.CallerManifest, 1, map[string]change{
		"no hash":             func(m *Manifest) { m.CodeHash = "" },
		"md5":                 func(m *Manifest) { m.CodeHash = "md5:00" },
		"no algorithm":        func(m *Manifest) { m.CodeHash = ":" },
		"a short hash":        func(m *Manifest) { m.CodeHash = "sha256:00" },
		"the other size":      func(m *Manifest) { m.CodeHash = "sha512:" + strings.Repeat("0", 64) },
		"capital digits":      func(m *Manifest) { m.CodeHash = "sha256:" + strings.Repeat("A", 64) },
		"NUL in an argument":  func(m *Manifest) { m.Args = []string{"a\x00"} },
		"a nameless variable": func(m *Manifest) { m.Env = []Pair{{"", "x"}} },
		"= in a name":         func(m *Manifest) { m.Env = []Pair{{"a=b", "x"}} },
		"NUL in a name":       func(m *Manifest) { m.Env = []Pair{{"a\x00", "x"}} },
		"NUL in a value":      func(m *Manifest) { m.Env = []Pair{{"a", "\x00"}} },
		"a blob's hash":       func(m *Manifest) { m.Blobs = []Pair{{"x", "QmA"}} },
		"a blob's CID":        func(m *Manifest) { m.Blobs = []Pair{{zeroHash, "Qm\n"}} },
	})
	grant := func(f func(g *Grants)) change { return func(m *Manifest) { f(&m.Terms.Grants) } }
	one(fault.CallerManifest, 2, map[string]change{
		"no terms":              func(m *Manifest) { m.Terms = nil },
		"a variable twice":      func(m *Manifest) { m.Env = []Pair{{"a", "1"}, {"a", "2"}} },
		"a blob twice":          func(m *Manifest) { m.Blobs = []Pair{{zeroHash, "1"}, {zeroHash, "2"}} },
		"weight":                func(m *Manifest) { m.Terms.Weight = 10001 },
		"queue":                 func(m *Manifest) { m.Terms.Queue = 4097 },
		"entry":                 func(m *Manifest) { m.Terms.Entry = 4 },
		"reuse":                 func(m *Manifest) { m.Terms.Reuse = 4 },
		"policy":                func(m *Manifest) { m.Terms.Restart.Policy = 3 },
		"entry name":            func(m *Manifest) { m.Terms.EntryName = "a\n" },
		"half a millisecond":    func(m *Manifest) { m.Terms.QueryTimeout = time.Millisecond / 2 },
		"before now":            func(m *Manifest) { m.Terms.Schedule.Start = -time.Second },
		"after eleven years":    func(m *Manifest) { m.Terms.Schedule.Start = 11 * 365 * 24 * time.Hour },
		"wall of a month":       func(m *Manifest) { m.Terms.Limits.Wall = 30 * 24 * time.Hour },
		"cpu of half a ms":      func(m *Manifest) { m.Terms.Limits.CPU = time.Second + 1 },
		"memory":                func(m *Manifest) { m.Terms.Limits.MemoryBytes = 1 << 32 },
		"gas of 2^64-1":         func(m *Manifest) { m.Terms.Limits.Gas = math.MaxUint64 },
		"init gas of 2^62+1":    func(m *Manifest) { m.Terms.Limits.InitGas = 1<<62 + 1 },
		"backoff upside down":   func(m *Manifest) { m.Terms.Restart.BackoffMin, m.Terms.Restart.BackoffMax = 2000e6, 1000e6 },
		"name with a wildcard":  grant(func(g *Grants) { g.Names = []string{"*.example.org"} }),
		"name in capitals":      grant(func(g *Grants) { g.Names = []string{"Example.org"} }),
		"name of digits":        grant(func(g *Grants) { g.Names = []string{"10.0.0.1"} }),
		"name with a dot":       grant(func(g *Grants) { g.Names = []string{"example.org."} }),
		"a name twice":          grant(func(g *Grants) { g.Names = []string{"a.b", "a.b"} }),
		"egress":                grant(func(g *Grants) { g.Egress = []string{"example.org"} }),
		"egress twice":          grant(func(g *Grants) { g.Egress = []string{"a.b:80", "a.b:80-80"} }),
		"ports upside down":     grant(func(g *Grants) { g.Listen = []Ports{{2, 1}} }),
		"port 0":                grant(func(g *Grants) { g.Listen = []Ports{{0, 1}} }),
		"ports twice":           grant(func(g *Grants) { g.Listen = []Ports{{1, 5}, {5, 6}} }),
		"key-value space":       grant(func(g *Grants) { g.KVBytes = 1<<40 + 1 }),
		"nameless channel":      grant(func(g *Grants) { g.Channels = []Capability{{"", 1}} }),
		"no rights":             grant(func(g *Grants) { g.Channels = []Capability{{"a", 0}} }),
		"unknown rights":        grant(func(g *Grants) { g.Channels = []Capability{{"a", 8}} }),
		"closing a topic":       grant(func(g *Grants) { g.Topics = []Capability{{"a", 4}} }),
		"a channel twice":       grant(func(g *Grants) { g.Channels = []Capability{{"a", 1}, {"a", 2}} }),
		"a channel and a topic": grant(func(g *Grants) { g.Channels, g.Topics = []Capability{{"a", 1}}, []Capability{{"a", 1}} }),
		"a long name":           grant(func(g *Grants) { g.Topics = []Capability{{strings.Repeat("a", 257), 1}} }),
		"a control character":   grant(func(g *Grants) { g.Topics = []Capability{{strings.Repeat("ä", 127) + "\x7f", 1}} }),
	})
	m = full()
	m.Terms.Grants.Topics = []Capability{{strings.Repeat("ä", 128), 1}}
	if err := m.Validate(); err != nil {
		t.Errorf("a name of 256 bytes: %v", err)
	}
}

// A version 1 manifest of the original may repeat a variable, and keeps its address.
func TestVersion1MayRepeat(t *testing.T) {
	m := first()
	m.Env = []Pair{{"a", "1"}, {"a", "2"}}
	m.Blobs = []Pair{{zeroHash, "1"}, {zeroHash, "1"}}
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
}

func TestSettled(t *testing.T) {
	want := Terms{
		Limits: Limits{MemoryBytes: 128 << 20, StackValues: 65536}, EntryName: "query", Weight: 100, QueryTimeout: 10 * time.Second, Queue: 20,
		IdleTimeout: time.Minute, Restart: Restart{MinRun: 10 * time.Second, BackoffMin: time.Second, BackoffMax: time.Minute},
	}
	if diff := cmp.Diff(want, first().Settled()); diff != "" {
		t.Error("version 1", diff)
	}
	m := &Manifest{Version: 2, Terms: &Terms{Entry: Command, Limits: Limits{CPU: time.Second}}}
	want.Entry = Command
	want.Limits.CPU, want.Limits.Wall, want.Limits.OutputBytes = time.Second, 4*time.Second, 16<<20
	if diff := cmp.Diff(want, m.Settled()); diff != "" {
		t.Error("command", diff)
	}
	if diff := cmp.Diff(run.Limits{CPU: time.Second}.WithDefaults(), m.Settled().Limits.Run()); diff != "" {
		t.Error(diff)
	}
	if m.Terms.Weight != 0 {
		t.Error("the manifest was changed")
	}
	whole := full()
	whole.Terms.EntryName = "query"
	if diff := cmp.Diff(*whole.Terms, whole.Settled()); diff != "" {
		t.Error("nothing to fill in", diff)
	}
	for _, c := range [][4]time.Duration{{0, 500e6, 500e6, 500e6}, {120e9, 0, 120e9, 120e9}, {0, 5e9, 1e9, 5e9}} {
		m.Terms.Restart = Restart{BackoffMin: c[0], BackoffMax: c[1]}
		if r := m.Settled().Restart; r.BackoffMin != c[2] || r.BackoffMax != c[3] {
			t.Errorf("%v: %v", c, r)
		}
	}
}

func TestResolve(t *testing.T) {
	type result struct {
		entry Entry
		reuse Reuse
		code  fault.Code
	}
	for _, c := range []struct {
		name     string
		onDemand bool
		terms    *Terms
		code     Entry
		want     result
	}{
		{"version 1, a service", false, nil, Service, result{Service, Keep, ""}},
		{"version 1, a command", true, nil, Command, result{Command, Reset, ""}},
		{"the manifest wins", false, &Terms{Entry: Command}, Service, result{Command, Reset, ""}},
		{"process", false, &Terms{Reuse: Process}, Handler, result{Handler, Process, ""}},
		{"a service on demand", true, &Terms{Reuse: Reset}, Service, result{Service, Reset, ""}},
		{"a long-running service", false, &Terms{Reuse: Reset}, Service, result{code: fault.CallerManifestConflict}},
		{"keep of a command", false, &Terms{Reuse: Keep}, Command, result{code: fault.CallerManifestConflict}},
		{"schedule of a handler", false, &Terms{Schedule: Schedule{Period: 1e9}}, Handler, result{code: fault.CallerManifestConflict}},
	} {
		m := &Manifest{OnDemand: c.onDemand, Terms: c.terms}
		entry, reuse, err := m.Resolve(c.code)
		if got := (result{entry, reuse, fault.CodeOf(err)}); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestAddressText(t *testing.T) {
	a := first().Address()
	for _, s := range []string{a.String(), "0x" + a.String(), strings.ToUpper(a.String())} {
		if got, err := ParseAddress(s); got != a || err != nil {
			t.Errorf("%s: %v %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0x", a.String()[1:], a.String() + "0", "g" + a.String()[1:], "0x0x" + a.String()[2:]} {
		if _, err := ParseAddress(s); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
	b, _ := json.Marshal(map[string]Address{"a": a})
	var back map[string]Address
	if err := json.Unmarshal(b, &back); err != nil || back["a"] != a {
		t.Error(string(b), err)
	}
	if got := fmt.Sprint(Entry(9), Reuse(9), RestartPolicy(9), Service, Keep, RestartNever); got != "entry(9) reuse(9) policy(9) service keep never" {
		t.Error(got)
	}
}

// FuzzDecode: what is decoded is encoded to the same bytes, and its JSON form means the same.
func FuzzDecode(f *testing.F) {
	for _, m := range []*Manifest{first(), second(), full(), {Version: 2, Terms: &Terms{}}} {
		f.Add(m.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			if !errors.Is(err, fault.Caller) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(m.Encode(), b) {
			t.Fatalf("%x became %x", b, m.Encode())
		}
		_ = m.Settled()
		_, _, _ = m.Resolve(Service)
		if m.Validate() != nil {
			return
		}
		text, err := m.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var back Manifest
		if err := back.UnmarshalJSON(text); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if back.Address() != m.Address() {
			t.Fatalf("another address after JSON: %s", text)
		}
	})
}
