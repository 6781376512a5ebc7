//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// variant is code that no host has seen, and that does the same: a custom section of its own is appended.
func (r *rig) variant(code []byte) []byte {
	r.serial++
	out := append([]byte{}, code...)
	return binary.LittleEndian.AppendUint64(append(out, 0, 10, 1, 'n'), r.serial)
}

func invoke(name string, args ...string) run.Entry {
	return run.Entry{Mode: run.Invoke, Name: name, Args: args}
}

// smallCall is the small call of the code; the host must know the code already.
func smallCall(code []byte) host.Request {
	input := make([]byte, 512)
	for i := range input {
		input[i] = byte(i)
	}
	return host.Request{CodeHash: artifacts.HashCode(code).String(), Entry: run.Entry{Mode: run.Bytes, Name: "call"}, Input: input}
}

// small does a small call once, and checks its answer: the guest counts calls, and none may know of an earlier one.
func (r *rig) small(h *host.Host, q host.Request) error {
	got, err := r.execute(h, q)
	if err != nil {
		return err
	}
	if len(got.Result) != len(q.Input) {
		return fmt.Errorf("%d bytes of %d", len(got.Result), len(q.Input))
	}
	for i, b := range q.Input {
		if got.Result[i] != b+1 {
			return fmt.Errorf("byte %d is %d, not %d: the instance was not reset", i, got.Result[i], b+1)
		}
	}
	return nil
}

// prepared has the code prepared.
func (r *rig) prepared(h *host.Host, code []byte) error {
	j, err := h.Precheck(r.ctx, host.CodeRequest{Code: code})
	if err == nil && j.Verdict != "ok" {
		err = fmt.Errorf("%s: %s", j.Fault, j.Message)
	}
	return err
}

// many calls f from so many goroutines for the span, once each at least, and says how long each call took and how many
// there were in a second.
func (r *rig) many(callers int, f func(caller int) error) (all report.Samples, rate float64, err error) {
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed atomic.Bool
	begin := time.Now()
	for n := range callers {
		group.Go(func() {
			mine := make(report.Samples, 0, 1<<12)
			for last := begin; ; {
				e := f(n)
				now := time.Now()
				mine = append(mine, now.Sub(last))
				last = now
				if e != nil {
					mu.Lock()
					defer mu.Unlock()
					err = e
					failed.Store(true)
					return
				}
				if now.Sub(begin) >= r.span || failed.Load() {
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	group.Wait()
	return all, float64(len(all)) / time.Since(begin).Seconds(), err
}
