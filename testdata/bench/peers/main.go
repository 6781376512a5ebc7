// Command peers measures this repository beside others, by turns in one process: the kernels of testdata/guests on wazero and on
// wasmtime, plain and metered; the small call through a host, on wasmtime, wazero and Extism; the CPU time of a preparation
// beside that of wasmtime's compiler; and HTTP with an instance for each request, beside wazero in a plain server and workerd. It is
// a module of its own, since wasmtime needs cgo.
//
// In the table of kernels each row is a kernel, each column an engine; a figure is the median of the CPU time of one thread. Every
// engine has one instance for all calls, and all of them must return the same results.
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/testdata/bench/report"
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
	{"wazero", "wasmtime"}, {"wazero-gas-stack", "wasmtime"}, {"wazero-gas-stack", "wasmtime-fuel"},
}

// targets is the heading of the rows that have a goal, as in the command table.
const targets = "Goals"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-truth" {
		os.Exit(truthMain(os.Args[2:]))
	}
	guests := flag.String("guests", "../../guests", "where the guests are")
	bin := flag.String("bin", "../../../.bin", "where troupe-worker is")
	rounds := flag.Int("rounds", 15, "calls of each kernel on each engine, and turns of small calls")
	span := flag.Duration("time", 2*time.Second, "how long small calls are measured in each way")
	only := flag.String("engines", "", "for kernels: names joined by commas (default all)")
	parts := flag.String("only", "kernels,small,starts,compile,http", "what to measure")
	workerd := flag.String("workerd", "workerd", "the program workerd; without it, it is left out")
	rows := flag.String("rows", "", "write the results to this file, for the command table")
	flag.Parse()
	if err := measureAll(*guests, *bin, *only, *parts, *rows, *workerd, *rounds, *span); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func measureAll(guests, bin, only, parts, file, workerd string, rounds int, span time.Duration) error {
	var all []report.Section
	for _, part := range strings.Split(parts, ",") {
		var got []report.Section
		var err error
		before := report.SystemLoad()
		switch part {
		case "kernels":
			got, err = measureKernels(filepath.Join(guests, "kernels.wasm"), rounds, only)
		case "small":
			got, err = reportSmall(bin, guests, rounds, span)
		case "starts":
			got, err = reportStarts(guests, rounds)
		case "compile":
			got, err = reportCompile(bin, min(rounds, 3))
		case "http":
			got, err = reportHTTP(bin, guests, workerd, min(rounds, 3), span/2)
		default:
			err = fmt.Errorf("nothing is called %q", part)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: load %s before, %s after\n", part, before, report.SystemLoad())
		all = append(all, got...)
	}
	if file != "" {
		return report.Save(file, all)
	}
	fmt.Println(report.Machine())
	report.Show(os.Stdout, all)
	return nil
}

func measureKernels(file string, rounds int, only string) ([]report.Section, error) {
	code, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread() // the clock is that of one thread
	defer runtime.UnlockOSThread()
	var names []string
	var opened []engine
	for _, e := range engines {
		if only != "" && !slices.Contains(strings.Split(only, ","), e.name) {
			continue
		}
		o, err := e.open(code)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		defer o.close()
		names, opened = append(names, e.name), append(opened, o)
	}
	if len(opened) == 0 || rounds < 1 {
		return nil, fmt.Errorf("nothing to measure")
	}
	times := make([][]time.Duration, len(kernels)) // medians by kernel and engine
	for k := range kernels {
		if times[k], err = measure(k, names, opened, rounds); err != nil {
			return nil, err
		}
	}
	return kernelTables(names, times, rounds), nil
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

// kernelTables are times, ratios and the row of the goal.
func kernelTables(names []string, times [][]time.Duration, rounds int) []report.Section {
	ms := report.Section{Name: fmt.Sprintf("Kernels, ms: median CPU time of %d calls by turns", rounds), Cells: [][]string{append([]string{""}, names...)}}
	for k, row := range times {
		cells := []string{kernels[k].name}
		for _, t := range row {
			cells = append(cells, fmt.Sprintf("%.2f", t.Seconds()*1e3))
		}
		ms.Cells = append(ms.Cells, cells)
	}
	var heads []string
	var pairs [][2]int
	for _, r := range ratios {
		a, b := slices.Index(names, r[0]), slices.Index(names, r[1])
		if a >= 0 && b >= 0 {
			heads, pairs = append(heads, r[0]+"/"+r[1]), append(pairs, [2]int{a, b})
		}
	}
	all := []report.Section{ms}
	if len(pairs) == 0 {
		return all
	}
	of := report.Section{Name: "Kernels, ratios", Cells: [][]string{append([]string{""}, heads...)}}
	logs := make([]float64, len(pairs))
	for k, row := range times {
		cells := []string{kernels[k].name}
		for i, p := range pairs {
			r := row[p[0]].Seconds() / row[p[1]].Seconds()
			logs[i] += math.Log(r)
			cells = append(cells, fmt.Sprintf("%.2f", r))
		}
		of.Cells = append(of.Cells, cells)
	}
	means := []string{"geometric mean"}
	var goal []report.Row
	for i, l := range logs {
		mean := math.Exp(l / float64(len(times)))
		means = append(means, fmt.Sprintf("%.3f", mean))
		if heads[i] == "wazero-gas-stack/wasmtime" {
			goal = []report.Row{report.AtMost("compute with gas and stack, of plain wasmtime, eight kernels (stretch 1.50)", 1.75, mean, report.Times)}
		}
	}
	of.Cells = append(of.Cells, means)
	if goal != nil {
		all = append([]report.Section{{Name: targets, Rows: goal}}, all...)
	}
	return append(all, of)
}
