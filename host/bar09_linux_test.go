package host

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
)

// What a setting changes.
const (
	ofArtifact = "the artifact"
	ofRun      = "the run"
	ofNeither  = "neither"
)

// classes says of each setting what it changes; the table in the package comment of artifacts says it in words. A field that
// is not here fails the test: whoever adds one must say what it changes, and see it proven.
var classes = map[string]string{
	"Build.Engine": ofArtifact, "Build.Format": ofArtifact, "Build.Instrument": ofArtifact, "Build.CPU": ofArtifact,

	"Request.Code": ofArtifact, "Request.CodeHash": ofNeither, "Request.Tenant": ofRun, "Request.Priority": ofNeither,
	"Request.Entry.Mode": ofRun, "Request.Entry.Name": ofRun, "Request.Entry.Args": ofRun, "Request.Entry.Env": ofRun,
	"Request.Limits.CPU": ofRun, "Request.Limits.Wall": ofRun, "Request.Limits.MemoryBytes": ofRun, "Request.Limits.OutputBytes": ofRun,
	"Request.Limits.Gas": ofRun, "Request.Limits.InitGas": ofRun, "Request.Limits.StackValues": ofRun, "Request.CanonicalNaNs": ofArtifact,
	"Request.Imports": ofRun, "Request.Determinism": ofRun, "Request.Isolation": ofRun, "Request.Validity": ofNeither,
	"Request.Input": ofNeither, "Request.Stdin": ofNeither, "Request.Stdout": ofNeither, "Request.Stderr": ofNeither,

	"CodeRequest.Code": ofArtifact, "CodeRequest.CodeHash": ofNeither, "CodeRequest.Tenant": ofNeither,
	"CodeRequest.Priority": ofNeither, "CodeRequest.CPU": ofNeither, "CodeRequest.Imports": ofNeither, "CodeRequest.CanonicalNaNs": ofArtifact,

	"Config.Tenant": ofRun,
}

func init() {
	for _, name := range []string{"Name", "DataDir", "Owner", "Socket", "WorkerPath", "Sandbox", "MaxCodeBytes", "MaxInflatedBytes", "MaxInputBytes", "WasmFeatures", "WasmCaps",
		"PrepareCPU", "PrecheckCPU", "PrepareMemoryBytes", "PrepareWorkers", "PrepareWorkersCritical", "PrepareQueue", "ExecuteWorkers",
		"ExecuteWorkersCritical", "ExecuteQueue", "SpareWorkers", "WorkerIdle", "RetryCooldown", "Retries", "ForgiveSuspects", "QuarantineAfter", "Quarantine",
		"JobQueue", "JobKeep", "JobBytes", "HoldJobs", "MaxWarm", "CacheBytes", "CacheAge", "PruneEvery", "CacheMemoryBytes", "BallastBytes", "MaxPins",
		"StopTimeout", "RecordBytes", "Log", "CrossCheck", "ClockStep",
		"Apps.Slots", "Apps.Requests", "Apps.Resume", "Apps.Hold", "Apps.BlobBytes", "Apps.MaxBlobBytes", "Apps.LogBytes", "Apps.ListenFrom", "Apps.ListenTo", "Apps.EgressPrivate",
		"Apps.Passphrase", "Apps.KeyFile", "Apps.Certificates", "Apps.BlockTime",
		"Chain.Port", "Chain.URL", "Chain.Recipient", "Chain.Operator", "Chain.Description", "Chain.Prices", "Chain.Endpoints", "Chain.ReportEvery", "Chain.MetricsEvery", "Chain.MaxApps",
		"Chain.Sources", "Chain.Compute", "Chain.Agent", "Chain.Attest"} {
		classes["Config."+name] = ofNeither
	}
}

// noChain is a chain that does not answer.
type noChain struct{}

func errNoChain() error { return fault.New(fault.BusyChain, "test", "", nil) }

func (noChain) Info(context.Context) (chain.Info, error) { return chain.Info{}, errNoChain() }
func (noChain) Account(context.Context, [32]byte) (chain.Account, error) {
	return chain.Account{}, errNoChain()
}
func (noChain) Sign(chain.Call, chain.Signing) (chain.Tx, error) { return chain.Tx{}, errNoChain() }
func (noChain) Submit(context.Context, []byte) error             { return errNoChain() }
func (noChain) Query(context.Context, string, any, any) error    { return errNoChain() }
func (noChain) Follow(context.Context, chain.Cursor, func(chain.Block) error) error {
	return errNoChain()
}

// leaves returns the settings of a type by their paths.
func leaves(path string, t reflect.Type, at []int) map[string][]int {
	out := map[string][]int{}
	for i := range t.NumField() {
		f, index := t.Field(i), append(slices.Clone(at), i)
		if !f.IsExported() { // nobody can set it
			continue
		}
		if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[zerolog.Logger]() {
			maps.Copy(out, leaves(path+"."+f.Name, f.Type, index))
			continue
		}
		out[path+"."+f.Name] = index
	}
	return out
}

// other9 returns another value of a setting than v.
func other9(t *testing.T, path string, v reflect.Value, dir string) reflect.Value {
	t.Helper()
	switch path {
	case "Config.DataDir":
		return reflect.ValueOf(filepath.Join(dir, "elsewhere"))
	case "Config.Socket":
		return reflect.ValueOf("/run/other.sock")
	case "Config.WorkerPath":
		b, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "worker")
		if err := os.WriteFile(path, b, 0o700); err != nil {
			t.Fatal(err)
		}
		return reflect.ValueOf(path)
	case "Config.Sandbox":
		s, err := Sandbox(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(s.Layers, func(l inspect.Layer) bool { return !l.Held && !l.Optional }) {
			return reflect.ValueOf("") // a program with cgo, as under the race detector, cannot be strict
		}
		return reflect.ValueOf(SandboxStrict)
	case "Config.Apps.Passphrase", "Config.Apps.KeyFile", "Config.Apps.ListenFrom", "Config.Apps.ListenTo": // they lock the directory, or go in pairs
		return reflect.Zero(v.Type())
	case "Config.Apps.EgressPrivate":
		return reflect.ValueOf("10.0.0.0/8")
	case "Config.Apps.BlockTime":
		return reflect.ValueOf(func() (time.Time, bool) { return time.Time{}, false })
	case "Config.Apps.Certificates":
		return reflect.ValueOf(CertificateDir(dir))
	case "Config.Chain.Port":
		return reflect.ValueOf(noChain{})
	case "Config.Chain.Prices":
		return reflect.ValueOf(&meter.Prices{})
	case "Config.Chain.Recipient", "Config.Chain.Operator":
		return reflect.ValueOf(make([]byte, 32))
	case "Config.Chain.Agent":
		return reflect.ValueOf("http://127.0.0.1:1")
	case "Config.Chain.Attest":
		return reflect.ValueOf(func(context.Context, []byte) (string, []byte, error) { return "", nil, nil })
	case "Config.Log":
		return reflect.ValueOf(zerolog.New(io.Discard))
	case "Config.PrepareCPU":
		return reflect.ValueOf(300 * time.Second)
	case "Config.PrecheckCPU", "CodeRequest.CPU":
		return reflect.ValueOf(50 * time.Second)
	case "Config.WasmFeatures":
		return reflect.ValueOf("wasm2,tail-calls")
	case "Config.WasmCaps":
		return reflect.ValueOf("functions=50000")
	case "Request.Limits.Gas", "Request.Limits.InitGas":
		return reflect.ValueOf(run.MaxGas)
	case "Config.RecordBytes":
		return reflect.ValueOf(int64(1 << 20))
	case "Config.MaxWarm":
		return reflect.ValueOf(32)
	case "Config.BallastBytes":
		return reflect.ValueOf(int64(1 << 20))
	case "Request.Stdin":
		return reflect.ValueOf(strings.NewReader("in"))
	case "Request.Stdout", "Request.Stderr":
		return reflect.ValueOf(&bytes.Buffer{})
	case "Request.Entry.Args":
		return reflect.ValueOf([]string{"1", "1"})
	}
	n := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		n.SetString("other")
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.String {
			return reflect.ValueOf([]string{"K=V"})
		}
		n.SetBytes([]byte("other"))
	case reflect.Bool:
		n.SetBool(!v.Bool())
	case reflect.Uint8:
		n.SetUint(cmp.Or(3-v.Uint(), 1))
	case reflect.Int, reflect.Int64:
		n.SetInt(v.Int() + max(v.Int()/run.PageBytes, 1)*run.PageBytes)
		if v.Kind() == reflect.Int {
			n.SetInt(v.Int() + 1)
		}
	default:
		t.Fatalf("%s has a kind that this test does not know: %v", path, v.Kind())
	}
	return n
}

// bytesOf returns the parts of an artifact.
func bytesOf(t *testing.T, h *Host, key string) map[string]string {
	t.Helper()
	k, err := artifacts.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a, err := h.store.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	out := map[string]string{}
	for _, p := range a.Meta.Parts {
		if p.Name == artifacts.PartSnapshot { // who only wants a verdict gets none; see package artifacts
			continue
		}
		f := a.Part(p.Name)
		b, err := io.ReadAll(f.Section(0, f.Size()))
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name] = string(b)
	}
	for _, name := range []string{artifacts.PartModule, artifacts.PartCode, artifacts.PartFrame} {
		if out[name] == "" {
			t.Fatalf("no part %s", name)
		}
	}
	return out
}

// evict removes an artifact; a worker that holds it may need a moment to go.
func evict(t *testing.T, h *Host, key string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); ; {
		err := h.Evict(t.Context(), key)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal(err)
		}
	}
}

// TestBar09RecompiledIfAndOnlyIfBytesDiffer toggles every setting there is, one at a time. With a real worker the code is
// asked for under both values and, whatever was found, prepared anew under the second: exactly when the bytes differ there
// is another key, and a compilation.
func TestBar09RecompiledIfAndOnlyIfBytesDiffer(t *testing.T) {
	code, second := guestFile(t, "hash-puzzle"), guestFile(t, "kernels")
	hash := artifacts.HashCode(code).String()
	base := Request{Code: code, Entry: run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"0", "0"}}, Limits: run.Limits{}.WithDefaults(),
		Tenant: "t", Priority: run.Normal, Imports: run.RefuseMissing, Determinism: run.Deterministic,
		Isolation: run.Reset}
	settings := map[string][]int{}
	for _, v := range []any{artifacts.Build{}, Request{}, CodeRequest{}, Config{}} {
		maps.Copy(settings, leaves(reflect.TypeOf(v).Name(), reflect.TypeOf(v), nil))
	}
	for _, path := range slices.Sorted(maps.Keys(settings)) {
		if classes[path] == "" {
			t.Errorf("%s is not classified: what does it change?", path)
		}
	}
	for path := range classes {
		if settings[path] == nil {
			t.Errorf("%s is classified and does not exist", path)
		}
	}

	dir := t.TempDir()
	cfg := Default()
	cfg.DataDir, cfg.BallastBytes, cfg.WorkerIdle = filepath.Join(dir, "data"), NoLimit, time.Second
	begin := func(c Config) *Host {
		t.Helper()
		h, err := Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	ask := func(h *Host, r Request) run.Receipt {
		t.Helper()
		got, err := h.Execute(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	h := begin(cfg)
	first := ask(h, base)
	want := bytesOf(t, h, first.Artifact)
	if r := ask(h, base); r.Params != first.Params || r.Cache != "hit" {
		t.Errorf("the same again: %+v", r)
	}
	// judge compares what came of the second value, first as it was found and then prepared anew.
	judge := func(path string, h *Host, artifact, cache string, again func()) {
		t.Helper()
		if cache != "hit" {
			if artifact == first.Artifact && path != "Config.DataDir" {
				t.Errorf("%s: compiled anew for the same key", path)
			}
		} else {
			evict(t, h, artifact)
			again()
		}
		differ := !maps.Equal(bytesOf(t, h, artifact), want)
		if (artifact != first.Artifact) != differ || differ != (classes[path] == ofArtifact) {
			t.Errorf("%s changes %s; another key %v, other bytes %v", path, classes[path], artifact != first.Artifact, differ)
		}
	}
	// What changes code with floats only is asked of such code.
	withFloats := base
	withFloats.Code = second
	floats := ask(h, withFloats)
	whole := map[bool]struct {
		code  []byte
		first run.Receipt
		want  map[string]string
	}{false: {code, first, want}, true: {second, floats, bytesOf(t, h, floats.Artifact)}}
	for path, index := range settings {
		kind, setting, _ := strings.Cut(path, ".")
		of := whole[setting == "CanonicalNaNs"]
		first, want = of.first, of.want
		switch kind {
		case "Build": // one program has one
			b := h.pool.Facts().Build
			v := reflect.ValueOf(&b).Elem().FieldByIndex(index)
			if v.Kind() == reflect.String {
				v.SetString("other")
			} else {
				v.SetUint(v.Uint() + 1)
			}
			if artifacts.KeyOf(artifacts.HashCode(code), b, artifacts.Options{}).String() == first.Artifact {
				t.Errorf("%s does not change the key", path)
			}
		case "Request":
			r := base
			r.Code = of.code
			v := reflect.ValueOf(&r).Elem().FieldByIndex(index)
			switch path {
			case "Request.Code":
				r.Code = second
			case "Request.CodeHash":
				r.Code, r.CodeHash = nil, hash
			default:
				v.Set(other9(t, path, v, dir))
			}
			got := ask(h, r)
			if (got.Params != first.Params) != (classes[path] == ofRun) {
				t.Errorf("%s changes %s; another hash of the run: %v", path, classes[path], got.Params != first.Params)
			}
			judge(path, h, got.Artifact, got.Cache, func() { ask(h, r) })
		case "CodeRequest":
			r := CodeRequest{Code: of.code, Priority: run.Normal, Imports: run.RefuseMissing}
			v := reflect.ValueOf(&r).Elem().FieldByIndex(index)
			switch path {
			case "CodeRequest.Code":
				r.Code = second
			case "CodeRequest.CodeHash":
				r.Code, r.CodeHash = nil, hash
			default:
				v.Set(other9(t, path, v, dir))
			}
			check := func() Judgement {
				j, err := h.Precheck(t.Context(), r)
				if err != nil || j.Verdict != "ok" {
					t.Errorf("%s: %+v, %v", path, j, err)
				}
				return j
			}
			j := check()
			judge(path, h, j.Artifact, j.Cache, func() { check() })
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	base.Tenant = "" // that of the host
	first, want = whole[false].first, whole[false].want
	for path, index := range settings {
		if !strings.HasPrefix(path, "Config.") {
			continue
		}
		c := cfg
		v := reflect.ValueOf(&c).Elem().FieldByIndex(index)
		v.Set(other9(t, path, v, dir))
		h := begin(c)
		got := ask(h, base)
		unchanged := run.Params{Tenant: cfg.Tenant, Entry: base.Entry}.Hash()
		if (got.Params != unchanged) != (classes[path] == ofRun) {
			t.Errorf("%s changes %s; another hash of the run: %v", path, classes[path], got.Params != unchanged)
		}
		judge(path, h, got.Artifact, got.Cache, func() { ask(h, base) })
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOtherLimitsOfSize: what was stored under other limits is judged by those of today, both ways, and nothing is compiled
// for it.
func TestOtherLimitsOfSize(t *testing.T) {
	plain := guestFile(t, "hash-puzzle")
	pack, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := pack.EncodeAll(plain, slices.Clone(wasm.CompressedPrefix))
	dir := t.TempDir()
	for _, row := range []struct {
		inflated       int64
		packed, plain  string
		packedC, cache string
	}{
		{1 << 10, "guest.decompression_bomb", "guest.code_too_large", "miss", "miss"}, // and remembered
		{1 << 20, "", "", "miss", "miss"},                                             // which does not hold under more
		{1 << 10, "guest.decompression_bomb", "guest.code_too_large", "hit", "hit"},
		{64 << 20, "", "", "hit", "hit"}, // it was there all the time
	} {
		h, err := Start(t.Context(), Config{DataDir: dir, BallastBytes: NoLimit, MaxCodeBytes: 1 << 20, MaxInflatedBytes: row.inflated})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			code       []byte
			want, from string
		}{{packed, row.packed, row.packedC}, {plain, row.plain, row.cache}} {
			for _, r := range []CodeRequest{{Code: c.code}, {CodeHash: artifacts.HashCode(c.code).String()}} {
				j, err := h.Precheck(t.Context(), r)
				if err != nil || j.Fault != c.want {
					t.Errorf("%d bytes at most, %q: %q (%s), %v", row.inflated, r.CodeHash, j.Fault, j.Message, err)
				}
				if r.Code != nil && j.Cache != c.from && c.want == "" {
					t.Errorf("%d bytes at most: cache %s, want %s", row.inflated, j.Cache, c.from)
				}
			}
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
