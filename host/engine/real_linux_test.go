package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/troupehost/troupe/artifacts/wasm"
)

// The Go modules that carry the real modules. They are downloaded when the test runs; none is a dependency.
const (
	cosmwasm = "github.com/CosmWasm/wasmvm/v3@v3.0.7"
	extism   = "github.com/extism/go-sdk@v1.7.1"
	sqlite   = "github.com/ncruces/go-sqlite3@v0.30.5"
	engine   = "github.com/tetratelabs/wazero@v1.12.0"
)

// realModule is WebAssembly that somebody else uses, with a small job for it.
type realModule struct {
	from, file string
	sha256     string
	language   string
	work       func(*job)
}

const wasiTests = "imports/wasi_snapshot_preview1/testdata/"

var realModules = []realModule{
	{cosmwasm, "testdata/hackatom.wasm", "2a843efcaa95f9d65392935714d1aa63a4e08a568e009d9e9b2dad748fce07f9", "Rust", contract(
		"instantiate", `{"verifier":"fred","beneficiary":"bob"}`, "query", `{"recurse":{"depth":0,"work":50}}`, "query", `{"other_balance":{"address":"x"}}`)},
	{cosmwasm, "testdata/cyberpunk.wasm", "2b299b94c4c483204719766517d2450bf3b0a26345a7065885510a85afe43366", "Rust", contract(
		"instantiate", `{}`, "execute", `{"argon2":{"mem_cost":64,"time_cost":2}}`, "query", `{"mirror_env":{}}`, "execute", `{"unreachable":{}}`)},
	{cosmwasm, "testdata/floaty_2.0.wasm", "34aeaad7cce4d228dcc11316f717b53c304a48f453dc7796f83aed5fdc03fe33", "Rust", contract(
		"instantiate", `{}`, "query", `{"instructions":{}}`, "query", `{"random_args_for":{"instruction":"f64.sqrt","seed":7}}`,
		"query", `{"run":{"instruction":"f64.div","args":[{"f64":4619567317775286272},{"f64":4613937818241073152}]}}`)},
	{cosmwasm, "testdata/queue.wasm", "7cdf7571e96c8e7525b00f1f358ea1e9d97fc64d925e564640fbdb7c6a4bef75", "Rust", contract("instantiate", `{}`, "execute", `{"enqueue":{"value":25}}`, "query", `{"count":{}}`)},
	{cosmwasm, "testdata/reflect.wasm", "54a253973716861eba89950c8501add5e3b21f0f6b1aa5787c651398e6db94cc", "Rust", contract("instantiate", `{}`, "query", `{"capitalized":{"text":"hello"}}`, "query", `{"nonsense":{}}`)},
	{cosmwasm, "testdata/ibc_reflect.wasm", "e5a292da270da6d54e977b9dc8ca5c520eb956d4702630d7f244ce4665daaf06", "Rust", contract("instantiate", `{"reflect_code_id":101}`, "query", `{"list_accounts":{}}`)},
	{extism, "wasm/count_vowels.wasm", "0c1779c48f56f94b3e3624d76f55e38215870c59ccb3d41f6ba8b2bc22f218f5", "Rust", plugin("count_vowels")},
	{extism, "wasm/count_vowels_std.wasm", "11a95d12352cce4d4b6d6f58459e4325f0768374a9ad8dbbb1ede61369cb8c4d", "Go", plugin("_start")},
	{extism, "wasm/std_command.wasm", "094145d9d08de3455f2a6129e14a3965b468e081e805e808ac3d69f8c98e1d4b", "Go", plugin("_start")},
	{extism, "wasm/println.wasm", "4cbf805d878699d08f6868a5f5238a11e75448ed3f5fc6af8fdf0ea625811ccd", "TinyGo", plugin("_start", "run_test")},
	{extism, "wasm/read_write.wasm", "a99159585e162825eeb53355ea0f607695a7e9521f8095f3b690404ccd7dcc94", "Rust", plugin("try_read")},
	{extism, "wasm/hello_haskell.wasm", "efea4be59668d8155a72631eba0b87931c5c62749afe3ad9af72950848d17ef9", "Haskell", haskell},
	{sqlite, "embed/sqlite3.wasm", "9189d7287b2b90540d71c0c25ef202d1610a240230ef1e437369e3542c6ef2f2", "C", queries},
	{engine, wasiTests + "zig-cc/wasi.wasm", "e7de85b73b260d3670a73a7307e4dfd48dd47a5593c493fb4044b5f48df6c0c3", "C", plugin("_start")},
	{engine, wasiTests + "zig/wasi.wasm", "298daeab00323f316a1f471d5c0674ec63b9aa820e801865ee18ac5ef22c81c3", "Zig", plugin("_start")},
	{engine, wasiTests + "cargo-wasi/wasi.wasm", "5edcd1f56cab8f65a89c85d25fc245dbd166bb4ccaae6110d44700bcd1ad11b5", "Rust", plugin("_start")},
	{engine, wasiTests + "tinygo/wasi.wasm", "5696e164842965d3967d9841a0261c7ca7c1a3363a607e4b8f55f186bb21a95a", "TinyGo", plugin("_start")},
	{engine, "examples/allocation/tinygo/testdata/greet.wasm", "456b7e606990d2d85d5cc96bd22051ae23242ba3939ede6dfc1b434450447766", "TinyGo", greeting},
}

// TestRealModules runs each with the engine alone and metered: what comes out of it is the same, byte for byte.
func TestRealModules(t *testing.T) {
	dirs := map[string]string{}
	var plainCPU, meteredCPU time.Duration
	for _, m := range realModules {
		if dirs[m.from] == "" {
			dirs[m.from] = download(t, m.from)
		}
		code, err := os.ReadFile(filepath.Join(dirs[m.from], filepath.FromSlash(m.file)))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(code); hex.EncodeToString(sum[:]) != m.sha256 {
			t.Errorf("%s %s: SHA-256 %x, want %s", m.from, m.file, sum, m.sha256)
			continue
		}
		policy := wasm.Policy{}
		if _, err := wasm.Judge(code, policy); err != nil {
			t.Errorf("%s: %v", m.file, err)
			continue
		}
		ready, err := wasm.Instrument(code, policy, instrumentation(false))
		if err != nil {
			t.Errorf("%s: %v", m.file, err)
			continue
		}
		alone, plainTook := perform(t, code, nil, m.work)
		meter := &grants{slice: 1 << 20}
		with, meteredTook := perform(t, ready.Code, meter, m.work)
		if alone != with {
			t.Errorf("%s: plain and metered differ\n%s\n%s", m.file, alone, with)
		}
		if strings.Count(alone, "\n") < 2 || meter.granted == 0 {
			t.Errorf("%s did nothing: %q, gas %d", m.file, alone, meter.granted)
		}
		plainCPU, meteredCPU = plainCPU+plainTook, meteredCPU+meteredTook
		t.Logf("%-58s %-7s %7d bytes, metered %7d; compiled in %v, metered %v; %s", m.file, m.language, len(code), len(ready.Code),
			plainTook.Round(time.Millisecond), meteredTook.Round(time.Millisecond), headroom(ready.Shape))
	}
	t.Logf("%d modules; compiled in %v, metered in %v: %.2f times, limit 1.3", len(realModules), plainCPU, meteredCPU, float64(meteredCPU)/float64(plainCPU))
	checkCompileRatio(t, float64(meteredCPU)/float64(plainCPU))
}

// headroom names what a shape has of what is bounded.
func headroom(s wasm.Shape) string {
	return fmt.Sprintf("%s; body %d, control %d, locals %d, targets %d, nesting %d, phi work %d, lookups %d, squares %d",
		s.Features, s.BodyBytes, s.ControlOps, s.Locals, s.BranchTargets, s.Nesting, s.PhiWork, s.Lookups, s.ControlSquares)
}

// TestSharedMemoryIsRefused: the regular expressions of go-re2 are built for threads, which no policy offers.
func TestSharedMemoryIsRefused(t *testing.T) {
	code, err := os.ReadFile(filepath.Join(download(t, "github.com/wasilibs/go-re2@v1.10.0"), "internal", "wasm", "libcre2.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wasm.Judge(code, wasm.Policy{Features: wasm.AllFeatures}); err == nil || !strings.Contains(err.Error(), "threads") {
		t.Errorf("%v, want that it names threads", err)
	}
}

// download returns the directory of a Go module, which the go command has checked against the public checksum database.
// Without a network the test is skipped, but not in CI.
func download(t *testing.T, module string) string {
	t.Helper()
	c := exec.Command("go", "mod", "download", "-json", module)
	c.Dir = t.TempDir() // no go.mod of ours comes into it
	out, err := c.Output()
	var answer struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &answer); err != nil || jsonErr != nil || answer.Dir == "" {
		if os.Getenv("CI") == "" {
			t.Skipf("missing: a module proxy that go mod download reaches, for %s (%v %s)", module, err, answer.Error)
		}
		t.Fatalf("cannot download %s: %v %s", module, err, answer.Error)
	}
	return answer.Dir
}

// job is one module at work; all that it says and does goes into log.
type job struct {
	ctx   context.Context
	mod   api.Module
	log   *strings.Builder
	out   *bytes.Buffer
	heap  []byte // what a plugin has outside of its memory
	input []byte
}

// perform compiles and instantiates a module, lets it work and tells all that came of it, and the CPU time of compiling.
func perform(t *testing.T, code []byte, m *grants, work func(*job)) (string, time.Duration) {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(4096))
	defer rt.Close(ctx)
	before := cpuTime()
	compiled, err := rt.CompileModule(ctx, code)
	took := cpuTime() - before
	if err != nil {
		t.Fatal(err)
	}
	j := &job{ctx: ctx, log: &strings.Builder{}, out: &bytes.Buffer{}, heap: make([]byte, 8), input: []byte("the quick brown fox jumps over the lazy dog")}
	wasi_snapshot_preview1.MustInstantiate(ctx, rt)
	if m != nil {
		if err := m.offer(ctx, rt); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.link(rt, compiled); err != nil {
		t.Fatal(err)
	}
	cfg := wazero.NewModuleConfig().WithStartFunctions().WithStdout(j.out).WithStderr(j.out).WithStdin(bytes.NewReader(j.input)).WithArgs("wasi", "ls", ".")
	if j.mod, err = rt.InstantiateModule(ctx, compiled, cfg); err != nil {
		t.Fatal(err)
	}
	work(j)
	if mem := j.mod.Memory(); mem != nil {
		all, _ := mem.Read(0, mem.Size())
		fmt.Fprintf(j.log, "memory %d %x\n", mem.Size(), sha256.Sum256(all))
	}
	fmt.Fprintf(j.log, "output %q\n", j.out)
	return j.log.String(), took
}

// link offers every import that is not WASI's: the calls of extism do what they say, all others return 0.
func (j *job) link(rt wazero.Runtime, c wazero.CompiledModule) error {
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range c.ImportedFunctions() {
		module, name, _ := f.Import()
		if module == "wasi_snapshot_preview1" || module == wasm.MeterModule {
			continue
		}
		if builders[module] == nil {
			builders[module] = rt.NewHostModuleBuilder(module)
		}
		results := len(f.ResultTypes())
		builders[module].NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
			for i, t := range f.ParamTypes() {
				if t == api.ValueTypeI32 {
					stack[i] = uint64(uint32(stack[i])) // what the engine leaves in the other half is not the guest's
				}
			}
			fmt.Fprintf(j.log, "%s%v", name, stack[:len(f.ParamTypes())])
			result := j.extism(name, stack)
			if results > 0 {
				stack[0] = result
				fmt.Fprintf(j.log, " = %d", result)
			}
			j.log.WriteByte('\n')
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(j.ctx); err != nil {
			return err
		}
	}
	return nil
}

// extism does what the call of that name does there, on memory outside of the guest. The length of a block stands before it.
func (j *job) extism(name string, stack []uint64) uint64 {
	switch name {
	case "input_length":
		return uint64(len(j.input))
	case "input_load_u8":
		return uint64(j.input[stack[0]])
	case "input_load_u64":
		return binary.LittleEndian.Uint64(j.input[stack[0]:])
	case "alloc":
		at := len(j.heap) + 8
		j.heap = append(binary.LittleEndian.AppendUint64(j.heap, stack[0]), make([]byte, stack[0]+16)...)
		return uint64(at)
	case "length":
		return binary.LittleEndian.Uint64(j.heap[stack[0]-8:])
	case "load_u8":
		return uint64(j.heap[stack[0]])
	case "load_u64":
		return binary.LittleEndian.Uint64(j.heap[stack[0]:])
	case "store_u8":
		j.heap[stack[0]] = byte(stack[1])
	case "store_u64":
		binary.LittleEndian.PutUint64(j.heap[stack[0]:], stack[1])
	case "output_set":
		fmt.Fprintf(j.log, " %q", j.heap[stack[0]:stack[0]+stack[1]])
	}
	return 0
}

// call calls an export, if there is one, and logs how it ended.
func (j *job) call(name string, args ...uint64) uint64 {
	f := j.mod.ExportedFunction(name)
	if f == nil {
		fmt.Fprintf(j.log, "no %s\n", name)
		return 0
	}
	results, err := f.Call(j.ctx, args...)
	if err != nil {
		results = []uint64{0}
	}
	fmt.Fprintf(j.log, "%s%v = %v %s\n", name, args, results, firstLine(fmt.Sprint(err)))
	if len(results) == 0 {
		return 0
	}
	return results[0]
}

func (j *job) write(at uint64, b []byte) {
	if !j.mod.Memory().Write(uint32(at), b) {
		fmt.Fprintf(j.log, "cannot write at %d\n", at)
	}
}

func plugin(names ...string) func(*job) {
	return func(j *job) {
		for _, name := range names {
			j.call(name)
		}
	}
}

// haskell starts the runtime with no arguments before it asks.
func haskell(j *job) {
	j.call("_initialize")
	j.call("hs_init", 0, 0)
	j.call("testing")
}

// contract calls entry points of CosmWasm with messages, by turns.
func contract(calls ...string) func(*job) {
	const env = `{"block":{"height":12345,"time":"1571797419879305533","chain_id":"cosmos-testnet-14002"},"contract":{"address":"contract"},"transaction":{"index":3}}`
	const info = `{"sender":"creator","funds":[]}`
	return func(j *job) {
		region := func(text string) uint64 {
			r := j.call("allocate", uint64(len(text)))
			if at, ok := j.mod.Memory().ReadUint32Le(uint32(r)); ok {
				j.write(uint64(at), []byte(text))
				j.write(r+8, binary.LittleEndian.AppendUint32(nil, uint32(len(text))))
			}
			return r
		}
		for i := 0; i+1 < len(calls); i += 2 {
			args := []uint64{region(env)}
			if calls[i] != "query" {
				args = append(args, region(info))
			}
			r := j.call(calls[i], append(args, region(calls[i+1]))...)
			at, _ := j.mod.Memory().ReadUint32Le(uint32(r))
			n, _ := j.mod.Memory().ReadUint32Le(uint32(r) + 8)
			answer, _ := j.mod.Memory().Read(at, n)
			fmt.Fprintf(j.log, "answer %q\n", answer)
		}
	}
}

// queries opens a database in memory and asks it something.
func queries(j *job) {
	text := func(s string) uint64 {
		p := j.call("sqlite3_malloc64", uint64(len(s)+1))
		j.write(p, append([]byte(s), 0))
		return p
	}
	j.call("_initialize")
	db, stmt := j.call("sqlite3_malloc64", 8), j.call("sqlite3_malloc64", 8)
	j.call("sqlite3_open_v2", text(":memory:"), db, 6, 0)
	handle, _ := j.mod.Memory().ReadUint32Le(uint32(db))
	query := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000) SELECT sum(i*i), group_concat(i % 7, '') FROM n"
	j.call("sqlite3_prepare_v3", uint64(handle), text(query), uint64(len(query)+1), 0, stmt, 0)
	s, _ := j.mod.Memory().ReadUint32Le(uint32(stmt))
	j.call("sqlite3_step", uint64(s))
	j.call("sqlite3_column_int64", uint64(s), 0)
	j.call("sqlite3_column_bytes", uint64(s), 1)
}

// greeting asks for one, with a name in its memory.
func greeting(j *job) {
	j.call("_initialize")
	p := j.call("malloc", 5)
	j.write(p, []byte("world"))
	j.call("greet", p, 5)
	j.call("greeting", p, 5)
}
