package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/blob"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/internal/metrics"
	"github.com/troupehost/troupe/host/internal/pool"
	"github.com/troupehost/troupe/host/wire"
)

// Bounds of cross-checks.
const (
	checkQueue    = 16               // runs that wait to be repeated; more are let go
	checkBytes    = 1 << 20          // of input, and of output, of a run that is kept
	checkFactor   = 150              // how much longer the interpreter may take than the compiled run: 55 to 87 times were measured
	checkStart    = 5 * time.Second  // CPU time on top of it, for instrumenting and translating the code
	checkMost     = 60 * time.Second // CPU time at most: runs that need more are not repeated
	checksPer     = 10_000           // Config.CrossCheck counts runs of so many
	crossCheckBad = "engine.cross_check"
)

// crossChecks repeats a share of runs on the engine's interpreter, one at a time and beside everything else, and raises the alarm
// when it ends otherwise. A nil one does nothing.
type crossChecks struct {
	share  int // of checksPer
	tenant string
	pick   func(n int) int // a number below n
	repeat func(context.Context, pool.Repeat) (wire.Checked, error)
	code   func(context.Context, artifacts.CodeHash) (*sealed.File, error)
	held   func(artifacts.CodeHash) (*sealed.File, error) // code that is at hand
	health *health
	count  func(result string)
	log    zerolog.Logger
	queue  chan suspicion
	bad    int // runs that differed
}

// suspicion is a run that waits to be repeated: what it was asked for, and what it did.
type suspicion struct {
	repeat  pool.Repeat
	hash    artifacts.CodeHash
	input   []byte
	receipt run.Receipt // without output
	did     wire.Checked
}

// newCrossChecks returns nil if nothing is to be checked.
func newCrossChecks(h *Host) *crossChecks {
	if h.cfg.CrossCheck == 0 {
		return nil
	}
	return &crossChecks{share: h.cfg.CrossCheck, tenant: h.cfg.Tenant, pick: rand.IntN, repeat: h.pool.Check, code: h.storedCode, held: h.codes.Open,
		health: h.health, count: h.metrics.CrossChecked, log: h.log, queue: make(chan suspicion, checkQueue)}
}

// storedCode finds code that the host keeps for a job or to warm it up.
func (h *Host) storedCode(ctx context.Context, c artifacts.CodeHash) (*sealed.File, error) {
	b, err := h.blobs.Get(ctx, blob.Hash(c))
	if err != nil {
		return nil, err
	}
	return sealed.FromBytes("troupe-code", b)
}

// over executes a request, and may have its run repeated afterwards.
func (c *crossChecks) over(ctx context.Context, r Request, execute func(context.Context, Request) (run.Receipt, error)) (run.Receipt, error) {
	if c.pick(checksPer) >= c.share {
		return execute(ctx, r)
	}
	heard := listen(&r)
	receipt, err := execute(ctx, r)
	if err == nil {
		c.consider(r, receipt, heard)
	}
	return receipt, err
}

// consider has a run repeated that has just ended, if it can be. It never waits, and copies at most checkBytes; the receipt and
// the request stay the caller's.
func (c *crossChecks) consider(r Request, receipt run.Receipt, h heard) {
	if why := unfit(r, receipt, h); why != "" {
		c.count(why)
		return
	}
	s := suspicion{input: bytes.Clone(r.Input), receipt: receipt, did: didOf(receipt, h)}
	s.receipt.Result, s.receipt.Stdout, s.receipt.Stderr = nil, nil, nil
	var err error
	if s.hash, err = artifacts.ParseCodeHash(receipt.CodeHash); err != nil {
		c.count(metrics.CheckNoCode)
		return
	}
	key, _ := artifacts.ParseKey(receipt.Artifact)
	limits := r.Limits.WithDefaults()
	limits.CPU = checkStart + checkFactor*time.Duration(*receipt.CPUMicros)*time.Microsecond
	s.repeat = pool.Repeat{Tenant: or(r.Tenant, c.tenant), Key: key, CanonicalNaNs: receipt.NaN == run.NaNCanonical,
		Entry: r.Entry, Limits: limits, Imports: max(r.Imports, run.RefuseMissing)}
	s.repeat.Entry.Args, s.repeat.Entry.Env = append([]string(nil), r.Entry.Args...), append([]string(nil), r.Entry.Env...)
	if limits.CPU > checkMost {
		c.count(metrics.CheckSlow)
		return
	}
	s.repeat.Code, _ = c.held(s.hash) // nil: it may be stored
	select {
	case c.queue <- s:
	default:
		s.release()
		c.count(metrics.CheckBusy)
	}
}

func (s *suspicion) release() {
	for _, f := range []*sealed.File{s.repeat.Code, s.repeat.Input} {
		if f != nil {
			f.Release()
		}
	}
}

// unfit says why a run cannot be compared, "" if it can. What ended by a limit of time or of memory ended by the machine too.
func unfit(r Request, receipt run.Receipt, h heard) string {
	switch fault.Code(receipt.Fault) {
	case "", fault.GuestTrap, fault.GuestStartTrap, fault.GuestExit, fault.GuestGasLimit, fault.GuestStack, fault.GuestOutputLimit, fault.GuestBadOutput:
	default:
		return metrics.CheckOutcome
	}
	switch {
	case receipt.GasUsed == nil, receipt.InitGas == nil, receipt.MemoryPeakBytes == nil, receipt.CPUMicros == nil:
		return metrics.CheckOutcome
	case receipt.Clock != run.Deterministic.String():
		return metrics.CheckWorld
	case h.stdin != nil && h.stdin.read.Load():
		return metrics.CheckStdin
	case len(r.Input) > checkBytes, h.stdout.over(), h.stderr.over(), len(receipt.Result)+len(receipt.Stdout)+len(receipt.Stderr) > checkBytes:
		return metrics.CheckSize
	}
	return ""
}

// didOf is what a run did in the words of a check.
func didOf(r run.Receipt, h heard) wire.Checked {
	c := wire.Checked{Code: fault.Code(r.Fault), Exited: r.GuestExit != nil, MemoryPeakBytes: *r.MemoryPeakBytes, GasUsed: *r.GasUsed, InitGas: *r.InitGas,
		Result: sha256.Sum256(r.Result), Stdout: h.stdout.digest(r.Stdout), Stderr: h.stderr.digest(r.Stderr)}
	if c.Exited {
		c.Exit = *r.GuestExit
	}
	return c
}

// keep repeats runs until ctx ends.
func (c *crossChecks) keep(ctx context.Context) {
	if c == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-c.queue:
			result := c.check(ctx, &s)
			s.release()
			if ctx.Err() == nil {
				c.count(result)
			}
		}
	}
}

// drop lets go of what waits, once nobody repeats runs any more.
func (c *crossChecks) drop() {
	for c != nil {
		select {
		case s := <-c.queue:
			s.release()
		default:
			return
		}
	}
}

// check repeats a run and returns what came of it.
func (c *crossChecks) check(ctx context.Context, s *suspicion) string {
	var err error
	if s.repeat.Code == nil {
		if s.repeat.Code, err = c.code(ctx, s.hash); err != nil {
			return metrics.CheckNoCode
		}
	}
	if s.repeat.Input, err = sealed.FromBytes("troupe-input", s.input); err != nil {
		return metrics.CheckFailed
	}
	got, err := c.repeat(ctx, s.repeat)
	switch f := fault.From(err); {
	case f == nil:
	case f.Code == fault.GuestCPULimit:
		return metrics.CheckSlow
	default:
		if ctx.Err() == nil {
			c.log.Warn().Err(err).Str("code_hash", s.receipt.CodeHash).Msg("a run could not be repeated on the interpreter")
		}
		return metrics.CheckFailed
	}
	what := differences(s.did, got)
	switch {
	case got.TooDeep:
		return metrics.CheckDeep
	case len(what) == 0:
		return metrics.CheckAgreed
	case got.Floats && !s.repeat.CanonicalNaNs:
		return metrics.CheckNaNs
	}
	c.alarm(s, strings.Join(what, ", "))
	return metrics.CheckDiffered
}

// differences names what is not the same, with both values where they say something.
func differences(compiled, interpreted wire.Checked) (out []string) {
	note := func(what string, a, b any) {
		if a != b {
			out = append(out, fmt.Sprintf("%s (compiled %v, interpreted %v)", what, a, b))
		}
	}
	outcome := func(c wire.Checked) string {
		switch {
		case c.Exited:
			return fmt.Sprintf("exit %d", c.Exit)
		case c.Code == "":
			return "ok"
		}
		return string(c.Code)
	}
	note("outcome", outcome(compiled), outcome(interpreted))
	note("gas", compiled.GasUsed, interpreted.GasUsed)
	note("gas of initialisation", compiled.InitGas, interpreted.InitGas)
	note("memory peak", compiled.MemoryPeakBytes, interpreted.MemoryPeakBytes)
	for _, d := range []struct {
		what string
		a, b [32]byte
	}{{"result", compiled.Result, interpreted.Result}, {"stdout", compiled.Stdout, interpreted.Stdout}, {"stderr", compiled.Stderr, interpreted.Stderr}} {
		if d.a != d.b {
			out = append(out, d.what)
		}
	}
	return out
}

// alarm tells the operator, for as long as the host lives: one of the engines is wrong about this code.
func (c *crossChecks) alarm(s *suspicion, what string) {
	c.bad++
	c.health.set(crossCheckBad, fmt.Sprintf("compiled code and the interpreter disagree in %d runs; the last: code %s, artifact %s, params %s: %s",
		c.bad, s.receipt.CodeHash, s.receipt.Artifact, s.receipt.Params, what), hintCrossCheck)
	c.log.Error().Str("code", crossCheckBad).Str("code_hash", s.receipt.CodeHash).Str("artifact", s.receipt.Artifact).Str("params", s.receipt.Params).
		Str("entry", fault.Quote(s.repeat.Entry.Name)).Str("differs", what).Msg("compiled code and the interpreter disagree")
}

const hintCrossCheck = "the results of this code cannot be trusted on this machine: keep the code and its input, stop running it, and report it"
