package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/blob"
	"github.com/troupehost/troupe/host/internal/pool"
)

// jobSpec says how to run a job; its input follows it on disk.
type jobSpec struct {
	Entry        run.Entry       `json:"entry"`
	Limits       run.Limits      `json:"limits"`
	Imports      run.Imports     `json:"imports,omitempty"`
	Determinism  run.Determinism `json:"determinism,omitempty"`
	Isolation    run.Isolation   `json:"isolation,omitempty"`
	CanonicalNaN bool            `json:"canonical_nans,omitempty"`
	Input        *int            `json:"input,omitempty"` // bytes; nil: none is passed
	Stdin        *int            `json:"stdin,omitempty"`

	input, stdin []byte
}

// encode returns u32 length of the JSON, the JSON, input, stdin.
func (s jobSpec) encode() ([]byte, error) {
	if s.input != nil {
		s.Input = new(len(s.input))
	}
	if s.stdin != nil {
		s.Stdin = new(len(s.stdin))
	}
	head, err := json.Marshal(s)
	if err != nil {
		return nil, fault.New(fault.CallerInvalid, "submit", "", err)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(head)+len(s.input)+len(s.stdin)), uint32(len(head)))
	return append(append(append(b, head...), s.input...), s.stdin...), nil
}

func decodeSpec(b []byte) (s jobSpec, err error) {
	bad := fault.New(fault.HostDiskIO, "read job", "", errors.New("its request is damaged"))
	if len(b) < 4 || int64(len(b)-4) < int64(binary.BigEndian.Uint32(b)) {
		return s, bad
	}
	head, rest := b[4:4+binary.BigEndian.Uint32(b)], b[4+binary.BigEndian.Uint32(b):]
	if json.Unmarshal(head, &s) != nil {
		return s, bad
	}
	for _, part := range []struct {
		n    *int
		into *[]byte
	}{{s.Input, &s.input}, {s.Stdin, &s.stdin}} {
		if part.n == nil {
			continue
		}
		if *part.n < 0 || *part.n > len(rest) {
			return s, bad
		}
		*part.into, rest = rest[:*part.n:*part.n], rest[*part.n:]
	}
	return s, nil
}

// jobRunner gives runs of jobs their input, and their code when the artifact is not there.
type jobRunner struct {
	h *Host

	mu   sync.Mutex
	held map[uint64]artifacts.CodeHash // code held for a run
}

// Open implements jobs.Runner.
func (r *jobRunner) Open(ctx context.Context, rec jobs.Record, withCode bool) (cache.Request, error) {
	h := r.h
	b, err := h.journal.Spec(ctx, rec.ID)
	if err != nil {
		return cache.Request{}, err
	}
	s, err := decodeSpec(b)
	if err != nil {
		return cache.Request{}, err
	}
	code := artifacts.CodeHash(rec.Code)
	held := h.codes.hold(code)
	if !held && withCode {
		b, err := h.blobs.Get(ctx, blob.Hash(code))
		if err != nil {
			return cache.Request{}, err
		}
		if err := h.codes.put(code, b); err != nil {
			return cache.Request{}, err
		}
		held = true
	}
	io := pool.RunIO{Input: s.input}
	if s.stdin != nil {
		io.Stdin = bytes.NewReader(s.stdin)
	}
	id := h.runs.add(io)
	if held {
		r.mu.Lock()
		r.held[id] = code
		r.mu.Unlock()
	}
	var cause kernel.Cause
	if rec.Cause != "" {
		cause, _ = kernel.ParseCause(rec.Cause) // one that is damaged is none
	}
	options := artifacts.Options{CanonicalNaNs: s.CanonicalNaN}
	return cache.Request{
		ID: id, Kind: cache.Execute, Key: h.keyOf(code, options), Code: code, Options: options, Tenant: rec.Tenant, Budget: h.budget(h.cfg.PrepareCPU),
		Entry: s.Entry, Limits: s.Limits, Imports: s.Imports, Determinism: s.Determinism, Isolation: s.Isolation, NoCode: !held, By: "job " + rec.ID, Cause: cause,
	}, nil
}

// Close implements jobs.Runner.
func (r *jobRunner) Close(id uint64) {
	r.mu.Lock()
	code, held := r.held[id]
	delete(r.held, id)
	r.mu.Unlock()
	if held {
		r.h.codes.release(code)
	}
	r.h.runs.remove(id, streamGrace)
}

// jobIDs makes ids that sort by time, also when the clock goes back.
type jobIDs struct {
	mu   sync.Mutex
	now  func() time.Time
	rand io.Reader
	last string
	at   time.Time
	tail [10]byte
}

func newJobIDs(last string) *jobIDs {
	return &jobIDs{now: time.Now, rand: rand.Reader, last: last}
}

// next returns an id behind all others.
func (g *jobIDs) next() (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now().Truncate(time.Millisecond)
	for {
		if now.After(g.at) {
			g.at = now
			if _, err := io.ReadFull(g.rand, g.tail[:]); err != nil {
				return "", fault.New(fault.HostUnsupported, "job id", "", err)
			}
			g.tail[0] &= 0x7f // there is room to count in
		} else if g.count(); g.tail == [10]byte{} {
			now = g.at.Add(time.Millisecond)
			continue
		}
		if id := jobs.NewID(g.at, g.tail); id > g.last {
			g.last = id
			return id, nil
		}
		// The clock is behind the newest id: go on from there.
		g.at, g.tail = jobs.ParseID(g.last)
		now = g.at
	}
}

// count makes the tail the next larger one.
func (g *jobIDs) count() {
	for i := len(g.tail) - 1; i >= 0; i-- {
		if g.tail[i]++; g.tail[i] != 0 {
			return
		}
	}
}
