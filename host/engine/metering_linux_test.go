package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/artifacts/wasm"
)

// kernels are the eight of testdata/guests/kernels.wasm, with arguments that take from 0.2 to 13 ms.
var kernels = []struct {
	name string
	arg  uint64
}{
	{"fib", 25}, {"sha256_", 300}, {"matmul", 96}, {"random_writes", 200_000}, {"sequential", 1}, {"xorshift", 2_000_000},
	{"sieve", 200_000}, {"interpreter", 300_000},
}

// forms are the ways in which code is measured, plain first.
var forms = []struct {
	name    string
	rewrite bool
	options wasm.Options
}{
	{"plain", false, wasm.Options{}},
	{"gas", true, wasm.Options{Weights: wasm.Weights1()}},
	{"stack", true, wasm.Options{Stack: true}},
	{"gas+stack", true, wasm.Options{Weights: wasm.Weights1(), Stack: true}},
	{"gas+stack+nan", true, wasm.Options{Weights: wasm.Weights1(), Stack: true, CanonicalNaNs: true}},
}

// workload is one form of a module, ready to run.
type workload struct {
	form     string
	rt       wazero.Runtime
	compiled wazero.CompiledModule
	compile  time.Duration // CPU
}

func workloads(t testing.TB, code []byte) []workload {
	t.Helper()
	ctx := context.Background()
	var all []workload
	for _, f := range forms {
		ready := code
		if f.rewrite {
			in, err := wasm.Instrument(code, wasm.Policy{}, f.options)
			if err != nil {
				t.Fatal(err)
			}
			ready = in.Code
		}
		w := workload{form: f.name}
		for range 3 { // the least of three
			rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
			wasi_snapshot_preview1.MustInstantiate(ctx, rt)
			_, err := rt.NewHostModuleBuilder(wasm.MeterModule).NewFunctionBuilder().
				WithGoModuleFunction(api.GoModuleFunc(grantAll), nil, nil).Export(wasm.MeterRefill).Instantiate(ctx)
			if err != nil {
				t.Fatal(err)
			}
			begin := processCPU()
			compiled, err := rt.CompileModule(ctx, ready)
			if err != nil {
				t.Fatal(err)
			}
			if took := processCPU() - begin; w.compile == 0 || took < w.compile {
				w.compile = took
			}
			w.rt, w.compiled = rt, compiled
			t.Cleanup(func() { _ = rt.Close(ctx) })
		}
		all = append(all, w)
	}
	return all
}

// grantAll fills what is below zero, in the slices of a run.
func grantAll(_ context.Context, m api.Module, _ []uint64) {
	for name, slice := range map[string]int64{wasm.GasGlobal: DefaultSlice, wasm.StackGlobal: 1 << 20} {
		if g, ok := m.ExportedGlobal(name).(api.MutableGlobal); ok && int64(g.Get()) < 0 {
			g.Set(uint64(int64(g.Get()) + slice))
		}
	}
}

func processCPU() time.Duration { return clockOf(unix.CLOCK_PROCESS_CPUTIME_ID) }
func threadCPU() time.Duration  { return clockOf(unix.CLOCK_THREAD_CPUTIME_ID) }

func clockOf(id int32) time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(id, &ts)
	return time.Duration(ts.Nano())
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2])
}

// kernelRatios runs all kernels in all forms by turns, and returns the ratio of the medians to plain: by form, then by kernel. It
// does so with the kernels at several places, and takes the geometric mean: the engine aligns no loop, and where one lies decides
// by a factor of up to two how fast it is, metered or not.
func kernelRatios(t testing.TB, rounds int) [][]float64 {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const places = 4
	ratios := make([][]float64, len(forms))
	for i := range ratios {
		ratios[i] = slices.Repeat([]float64{1}, len(kernels))
	}
	for place := range places {
		for i, times := range kernelTimes(t, displaced(t, guest(t, "kernels"), place), rounds) {
			for k, own := range times {
				ratios[i][k] *= math.Pow(own, 1.0/places)
			}
		}
	}
	return ratios
}

// kernelTimes returns the ratio of the medians at one place.
func kernelTimes(t testing.TB, code []byte, rounds int) [][]float64 {
	t.Helper()
	ctx := context.Background()
	all := workloads(t, code)
	mods := make([]api.Module, len(all))
	for i, w := range all {
		m, err := w.rt.InstantiateModule(ctx, w.compiled, wazero.NewModuleConfig())
		if err != nil {
			t.Fatal(err)
		}
		mods[i] = m
	}
	times := make([][][]time.Duration, len(all))
	for i := range times {
		times[i] = make([][]time.Duration, len(kernels))
	}
	for range rounds {
		for k, kernel := range kernels {
			for i, m := range mods {
				f := m.ExportedFunction(kernel.name)
				begin := threadCPU()
				if _, err := f.Call(ctx, kernel.arg); err != nil {
					t.Fatal(err)
				}
				times[i][k] = append(times[i][k], threadCPU()-begin)
			}
		}
	}
	ratios := make([][]float64, len(all))
	for i := range all {
		for k := range kernels {
			ratios[i] = append(ratios[i], median(times[i][k])/median(times[0][k]))
		}
	}
	return ratios
}

// displaced returns code whose first function is longer by so many branches that are never taken twice, so that all others move.
func displaced(t testing.TB, code []byte, n int) []byte {
	t.Helper()
	out := slices.Clone(code[:8])
	for rest := code[8:]; len(rest) > 0; {
		id := rest[0]
		size, k := binary.Uvarint(rest[1:])
		body := rest[1+k : 1+k+int(size)]
		rest = rest[1+k+int(size):]
		if id == 10 {
			count, k := binary.Uvarint(body)
			first, l := binary.Uvarint(body[k:])
			start := k + l
			if body[start] != 0 {
				t.Fatal("the first function has locals")
			}
			fn := append([]byte{0}, bytes.Repeat([]byte{0x02, 0x40, 0x20, 0, 0x0d, 0, 0x0b}, n)...) // block, br_if 0 of the parameter
			fn = append(fn, body[start+1:start+int(first)]...)
			body = slices.Concat(binary.AppendUvarint(nil, count), binary.AppendUvarint(nil, uint64(len(fn))), fn, body[start+int(first):])
		}
		out = append(binary.AppendUvarint(append(out, id), uint64(len(body))), body...)
	}
	return out
}

func geometricMean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += math.Log(x)
	}
	return math.Exp(sum / float64(len(v)))
}

// goGuest builds the Go program of testdata/guests/src/go-work.
func goGuest(t testing.TB) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "go-work.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "main.go")
	cmd.Dir = filepath.FromSlash("../../testdata/guests/src/go-work")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	code, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// commandTimes runs a command in all forms by turns, and returns the ratios of the medians to plain, of compiling and of running.
func commandTimes(t testing.TB, code []byte, rounds int) (compile, run []float64) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	all := workloads(t, code)
	times := make([][]time.Duration, len(all))
	want := ""
	for range rounds {
		for i, w := range all {
			var out bytes.Buffer
			ctx := experimental.WithMemoryAllocator(context.Background(), &linearMemory{limit: 1 << 30})
			begin := threadCPU()
			m, err := w.rt.InstantiateModule(ctx, w.compiled, wazero.NewModuleConfig().WithStdout(&out).WithName(""))
			if err != nil {
				t.Fatal(err)
			}
			times[i] = append(times[i], threadCPU()-begin)
			_ = m.Close(ctx)
			if want == "" {
				want = out.String()
			}
			if out.Len() == 0 || out.String() != want {
				t.Fatal(errors.New("the forms differ: " + strings.TrimSpace(out.String())))
			}
		}
	}
	for i, w := range all {
		compile = append(compile, float64(w.compile)/float64(all[0].compile))
		run = append(run, median(times[i])/median(times[0]))
	}
	return compile, run
}

// BenchmarkMetering prints what metering costs: the ratio to plain code, for each form.
func BenchmarkMetering(b *testing.B) {
	b.Run("kernels", func(b *testing.B) {
		for range b.N {
			for i, r := range kernelRatios(b, 9) {
				b.Logf("%-14s %.3f  %.2f", forms[i].name, geometricMean(r), r)
				b.ReportMetric(geometricMean(r), forms[i].name)
			}
		}
	})
	b.Run("go", func(b *testing.B) {
		code := goGuest(b)
		for range b.N {
			compile, run := commandTimes(b, code, 9)
			for i := range run {
				b.Logf("%-14s run %.3f compile %.3f", forms[i].name, run[i], compile[i])
				b.ReportMetric(run[i], forms[i].name)
			}
		}
	})
}
