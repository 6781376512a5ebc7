// Command peers measures what metering costs here and elsewhere: the kernels of testdata/guests on wazero and on wasmtime, plain
// and metered, by turns in one process. It is a module of its own, since wasmtime needs cgo.
//
// Each row is a kernel, each column an engine; a figure is the median of the CPU time of one thread. Every engine has one instance
// for all calls, and all of them must return the same results.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// kernels are the exports of kernels.wasm with arguments that keep each call between 5 and 60 ms.
var kernels = []struct {
	name string
	arg  int32
}{
	{"fib", 30},
	{"sha256_", 40_000},
	{"matmul", 256},
	{"random_writes", 10_000_000},
	{"sequential", 1},
	{"xorshift", 10_000_000},
	{"sieve", 2_000_000},
	{"interpreter", 5_000_000},
}

// engine runs exports of type (i32) -> (i64) of one instance.
type engine interface {
	call(export string, arg int32) (int64, error)
	close()
}

// engines can be chosen by these names.
var engines = []struct {
	name string
	open func(code []byte) (engine, error)
}{
	{"wazero", func(code []byte) (engine, error) { return openWazero(code, false, false) }},
	{"wazero-gas", func(code []byte) (engine, error) { return openWazero(code, true, false) }},
	{"wazero-gas-stack", func(code []byte) (engine, error) { return openWazero(code, true, true) }},
	{"wasmtime", func(code []byte) (engine, error) { return openWasmtime(code, false) }},
	{"wasmtime-fuel", func(code []byte) (engine, error) { return openWasmtime(code, true) }},
}

// ratios are columns that are compared: what, and what with.
var ratios = [][2]string{
	{"wazero-gas", "wazero"}, {"wazero-gas-stack", "wazero"}, {"wasmtime-fuel", "wasmtime"},
	{"wazero", "wasmtime"}, {"wazero-gas-stack", "wasmtime-fuel"},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-truth" {
		os.Exit(truthMain(os.Args[2:]))
	}
	file := flag.String("guest", "../../guests/kernels.wasm", "the kernels")
	rounds := flag.Int("rounds", 15, "calls of each kernel on each engine")
	only := flag.String("engines", "", "names joined by commas (default all)")
	flag.Parse()
	if err := run(*file, *rounds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(file string, rounds int, only string) error {
	code, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the clock is that of one thread
	var names []string
	var opened []engine
	for _, e := range engines {
		if only != "" && !slices.Contains(strings.Split(only, ","), e.name) {
			continue
		}
		o, err := e.open(code)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		defer o.close()
		names, opened = append(names, e.name), append(opened, o)
	}
	if len(opened) == 0 || rounds < 1 {
		return fmt.Errorf("nothing to measure")
	}
	times := make([][]time.Duration, len(kernels)) // medians by kernel and engine
	for k := range kernels {
		if times[k], err = measure(k, names, opened, rounds); err != nil {
			return err
		}
	}
	report(names, times, rounds)
	return nil
}

// measure calls a kernel on all engines by turns; each round begins with another one. The first call of each engine warms it up.
func measure(k int, names []string, opened []engine, rounds int) ([]time.Duration, error) {
	samples := make([][]time.Duration, len(opened))
	for round := range rounds + 1 {
		results := make([]int64, len(opened))
		for turn := range opened {
			i := (turn + round) % len(opened)
			before := threadTime()
			got, err := opened[i].call(kernels[k].name, kernels[k].arg)
			took := threadTime() - before
			if err != nil {
				return nil, fmt.Errorf("%s on %s: %w", kernels[k].name, names[i], err)
			}
			if results[i] = got; round > 0 {
				samples[i] = append(samples[i], took)
			}
		}
		for i, got := range results {
			if got != results[0] {
				return nil, fmt.Errorf("%s is %d on %s and %d on %s", kernels[k].name, results[0], names[0], got, names[i])
			}
		}
	}
	medians := make([]time.Duration, len(opened))
	for i, s := range samples {
		slices.Sort(s)
		medians[i] = (s[(len(s)-1)/2] + s[len(s)/2]) / 2
	}
	return medians, nil
}

func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // the clock of a thread cannot fail on Linux
	}
	return time.Duration(t.Nano())
}

func report(names []string, times [][]time.Duration, rounds int) {
	load, _, _ := strings.Cut(readLine("/proc/loadavg"), " ")
	fmt.Printf("%s, %d CPUs, %s, load %s; median CPU time of %d calls by turns\n\n", model(), runtime.NumCPU(), runtime.Version(), load, rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "ms\t%s\t\n", strings.Join(names, "\t"))
	for k, row := range times {
		fmt.Fprintf(w, "%s\t", kernels[k].name)
		for _, t := range row {
			fmt.Fprintf(w, "%.2f\t", t.Seconds()*1e3)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()

	var heads []string
	var pairs [][2]int
	for _, r := range ratios {
		a, b := slices.Index(names, r[0]), slices.Index(names, r[1])
		if a >= 0 && b >= 0 {
			heads, pairs = append(heads, r[0]+"/"+r[1]), append(pairs, [2]int{a, b})
		}
	}
	if len(pairs) == 0 {
		return
	}
	fmt.Println()
	fmt.Fprintf(w, "ratio\t%s\t\n", strings.Join(heads, "\t"))
	logs := make([]float64, len(pairs))
	for k, row := range times {
		fmt.Fprintf(w, "%s\t", kernels[k].name)
		for i, p := range pairs {
			r := row[p[0]].Seconds() / row[p[1]].Seconds()
			logs[i] += math.Log(r)
			fmt.Fprintf(w, "%.2f\t", r)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "geometric mean\t")
	for _, l := range logs {
		fmt.Fprintf(w, "%.3f\t", math.Exp(l/float64(len(times))))
	}
	fmt.Fprintln(w)
	_ = w.Flush()
}

func readLine(file string) string {
	b, _ := os.ReadFile(file)
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// model is the name of the processor.
func model() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.SplitSeq(string(b), "\n") {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return cmp.Or(runtime.GOARCH, "unknown")
}
