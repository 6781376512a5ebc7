//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

func read(file string) ([]byte, error) { return os.ReadFile(file) }

func (r *rig) newDir() string {
	r.serial++
	return filepath.Join(r.dir, fmt.Sprint("data-", r.serial))
}

// prepare is code that no host has seen, to its first result. The goal for 0.5 MB is scaled by size, since no public module of just
// that size is at hand.
func (r *rig) prepare() (rows []report.Row) {
	type cold struct {
		name       string
		from, file string
		code       []byte
		req        host.Request
		goal       time.Duration
	}
	rust := cold{name: "Rust", from: "github.com/CosmWasm/wasmvm/v3@v3.0.7", file: "testdata/cyberpunk.wasm", req: host.Request{Entry: invoke("interface_version_8"), Imports: run.TrapMissing}}
	c := cold{name: "C", from: "github.com/ncruces/go-sqlite3@v0.30.5", file: "embed/sqlite3.wasm", req: host.Request{Entry: invoke("sqlite3_malloc64", "8"), Imports: run.TrapMissing}}
	for _, m := range []cold{rust, c, {name: "Go", code: r.reactor, req: host.Request{Entry: invoke("work", "1")}, goal: 2 * time.Second}} {
		what, err := "cold prepare, "+m.name, error(nil)
		if m.code == nil {
			m.code, err = module(m.from, m.file)
			m.goal = time.Duration(len(m.code)) * time.Microsecond // 0.5 s for 0.5 MB
		}
		if err != nil {
			rows = append(rows, report.LeftOut(what, err))
			continue
		}
		what = fmt.Sprintf("cold prepare to first result, %.2f MB %s", float64(len(m.code))/1e6, m.name)
		var all report.Samples
		h, err := r.start(host.Config{})
		if err != nil {
			rows = append(rows, report.Failed(what, err))
			continue
		}
		for range r.times(5) {
			q := m.req
			q.Code = r.variant(m.code)
			begin := time.Now()
			if _, err = r.execute(h, q); err != nil {
				break
			}
			all = append(all, time.Since(begin))
		}
		if e := h.Close(); err == nil {
			err = e
		}
		if err != nil {
			rows = append(rows, report.Failed(what, err))
			continue
		}
		rows = append(rows, report.AtMost(what, float64(m.goal.Microseconds()), all.At(0.5), report.Micros))
	}
	return rows
}
