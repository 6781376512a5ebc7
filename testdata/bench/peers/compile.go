package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// real are modules that others made, by the Go modules that carry them; the Go reactor is built here.
var real = []struct{ name, from, file string }{
	{"Rust", "github.com/CosmWasm/wasmvm/v3@v3.0.7", "testdata/cyberpunk.wasm"},
	{"C", "github.com/ncruces/go-sqlite3@v0.30.5", "embed/sqlite3.wasm"},
	{"Go", "", ""},
}

// reportCompile compares the CPU time of a preparation, its process and metering included, with that of wasmtime's compiler on the
// same module, with fuel. They take turns, and the least counts: what else the machine does makes it more.
func reportCompile(bin string, rounds int) ([]report.Section, error) {
	h, end, err := startHost(bin)
	if err != nil {
		return nil, err
	}
	defer end()
	goals := report.Section{Name: targets}
	for _, m := range real {
		what := "CPU of a cold preparation, " + m.name
		code, err := realModule(m.from, m.file)
		if err != nil {
			goals.Rows = append(goals.Rows, report.Failed(what, err))
			continue
		}
		var here, there report.Samples
		for round := range rounds {
			fresh := binary.LittleEndian.AppendUint64(append(slices.Clone(code), 0, 10, 1, 'n'), uint64(round))
			j, err := h.Precheck(context.Background(), host.CodeRequest{Code: fresh, CPU: time.Minute, Imports: run.TrapMissing})
			if err == nil && j.Verdict != "ok" {
				err = errors.New(j.Message)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			here = append(here, time.Duration(j.PrepareCPU)*time.Microsecond)
			took, err := wasmtimeCompile(fresh)
			if err != nil {
				return nil, err
			}
			there = append(there, took)
		}
		us := func(s report.Samples) float64 { return float64(slices.Min(s).Microseconds()) }
		row := report.AtMost(fmt.Sprintf("%s, %.2f MB, of wasmtime's compile", what, float64(len(code))/1e6), 1, us(here)/us(there), report.Times).
			Against("wasmtime", us(here), us(there), report.Micros)
		row.Measured = report.Micros(us(here))
		goals.Rows = append(goals.Rows, row)
	}
	return []report.Section{goals}, nil
}

// wasmtimeCompile is the CPU time of all threads of this process while wasmtime compiles.
func wasmtimeCompile(code []byte) (time.Duration, error) {
	config := wasmtime.NewConfig()
	config.SetConsumeFuel(true)
	engine := wasmtime.NewEngineWithConfig(config)
	defer engine.Close()
	runtime.GC()
	before := report.CPU()
	module, err := wasmtime.NewModule(engine, code)
	took := report.CPU() - before
	if err != nil {
		return 0, err
	}
	module.Close()
	return took, nil
}

// realModule reads a file of a Go module, which is fetched if it is not on this machine, or builds the Go reactor.
func realModule(from, file string) ([]byte, error) {
	if from == "" {
		dir, err := os.MkdirTemp("", "troupe-peers-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		out := filepath.Join(dir, "reactor.wasm")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -buildid=", "-buildmode=c-shared", "-o", out, "./testdata/bench/goreactor")
		cmd.Dir, cmd.Env = filepath.Join("..", "..", ".."), append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, b)
		}
		return os.ReadFile(out)
	}
	cmd := exec.Command("go", "mod", "download", "-json", from)
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(out), `"Dir": "`)
	dir, _, _ := strings.Cut(rest, `"`)
	return os.ReadFile(filepath.Join(dir, file))
}
