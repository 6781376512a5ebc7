package host

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/internal/appdata"
	"github.com/troupehost/troupe/host/internal/calls"
	"github.com/troupehost/troupe/host/internal/origin"
)

// Exports of a handler.
const (
	exportQuery = "query" // unless the manifest names another one
	exportHTTP  = "http"
)

// Query asks an app something and waits for its reply, for up to the time that its manifest allows. What it used is written
// before this returns.
//
// # Errors
//
// caller.not_found, caller.app_state, caller.invalid_request, caller.params_too_large, caller.signature_*, busy.app_queue_full, busy.no_slot, busy.queue_full,
// busy.draining, guest.no_reply, guest.refused_query, guest.not_serving, and the verdict on a run that was made for it.
func (h *Host) Query(ctx context.Context, q AppQuery) (AppReply, error) {
	addr, err := manifest.ParseAddress(q.Address)
	if err != nil {
		return AppReply{}, err
	}
	if err := h.enter(); err != nil {
		return AppReply{}, h.refused(err)
	}
	defer h.leave()
	var from []byte
	if len(q.Signature) > 0 {
		account, err := h.apps.verify(addr, q.Path, q.Payload, q.Signature)
		if err != nil {
			return AppReply{}, h.refused(err)
		}
		from = account[:]
	}
	ctx, _ = h.caused(ctx)
	return h.apps.query(ctx, addr, q, from)
}

// verify says who signed a query. A signature is remembered, so it must be for an app that is there: their number is bounded, and
// what one of them may hold as well.
func (a *apps) verify(addr manifest.Address, path string, payload, signature []byte) ([32]byte, error) {
	a.mu.Lock()
	_, there := a.deployed[addr]
	a.mu.Unlock()
	if !there {
		return [32]byte{}, fault.New(fault.CallerNotFound, "app", addr.String(), nil)
	}
	return a.origin.Verify(origin.Query{Address: addr, Path: path, Payload: payload}, signature)
}

// SealedQuery is a Query that is encrypted for the worker key with the pair of public, and so is its reply; see
// host/internal/origin for the format.
//
// # Errors
//
// As Query; caller.sealed_query.
func (h *Host) SealedQuery(ctx context.Context, public [32]byte, sealed []byte) ([]byte, error) {
	q, sig, seal, err := h.apps.origin.Open(h.apps.keys.Worker(), sealed, public)
	if err != nil {
		return nil, h.refused(err)
	}
	r, err := h.Query(ctx, AppQuery{Address: q.Address.String(), Path: q.Path, Payload: q.Payload, Signature: sig})
	if err != nil {
		return nil, err
	}
	return seal(r.Output), nil
}

// admission is a request that an app has taken.
type admission struct {
	a      *apps
	id     uint64
	addr   manifest.Address
	answer sessions.Admission
	app    *liveApp
	holds  atomic.Int32 // whoever asked, and the run that serves it: it ends with the last of them

	stopped error // its app was; guarded by apps.mu, as is cancel
	cancel  context.CancelCauseFunc
}

// admit brings a request to an app, and waits for its turn.
func (a *apps) admit(ctx context.Context, addr manifest.Address, kind uint32) (*admission, error) {
	id := a.h.runs.newID()
	d := &admission{a: a, id: id, addr: addr}
	d.holds.Store(1)
	a.mu.Lock()
	a.requests[id] = d // first: its app may be stopped as soon as it has it
	a.mu.Unlock()
	answer, err := kernel.AskWithdrawing(ctx, a.actor, func(to kernel.Reply[sessions.Admission]) sessions.Message {
		return sessions.Enter{Address: addr, ID: id, Kind: kind, Reply: to}
	}, sessions.Message(sessions.Leave{Address: addr, ID: id}), a.h.cfg.StopTimeout)
	if err != nil {
		d.leave() // the actors count it until it leaves
		if ctx.Err() != nil {
			err = fault.From(context.Cause(ctx))
		}
		return nil, a.h.refused(err)
	}
	d.answer = answer
	if d.app, err = a.open(ctx, &answer.Record, answer.Manifest); err != nil {
		d.leave()
		return nil, err
	}
	return d, nil
}

// cancelable is a context that the app's actor can end, until done.
func (d *admission) cancelable(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	d.a.mu.Lock()
	d.cancel = cancel
	stopped := d.stopped
	d.a.mu.Unlock()
	if stopped != nil {
		cancel(stopped)
	}
	return ctx, func() { cancel(nil) }
}

// leave is called once by each that holds the request. The last one ends it for its app, which may be removed then: what was used for
// it is written before.
func (d *admission) leave() {
	if d.holds.Add(-1) > 0 {
		return
	}
	d.a.mu.Lock()
	delete(d.a.requests, d.id)
	d.a.mu.Unlock()
	// An actor that has stopped knows of no requests.
	_ = d.a.actor.Control(sessions.Leave{Address: d.addr, ID: d.id})
}

func (a *apps) query(ctx context.Context, addr manifest.Address, q AppQuery, from []byte) (AppReply, error) {
	// A guest is given the path in a line, and the caller's account in the next one.
	if strings.ContainsFunc(q.Path, unicode.IsControl) || !utf8.ValidString(q.Path) {
		return AppReply{}, a.h.refused(fault.New(fault.CallerInvalid, "query", fault.Quote(q.Path), nil).WithHint("a path is text without control characters"))
	}
	d, err := a.admit(ctx, addr, abi.EventQuery)
	if err != nil {
		return AppReply{}, err
	}
	t := &d.app.terms
	if int64(len(q.Path))+int64(len(q.Payload)) > int64(d.app.m.MaxQueryBytes) {
		d.leave()
		return AppReply{}, a.h.refused(fault.New(fault.CallerParamsTooBig, "query", fmt.Sprintf("at most %d bytes of path and payload", d.app.m.MaxQueryBytes), nil).
			WithHint("the app's manifest says so, as max_query_size: pass less input, or deploy it with more"))
	}
	limited, cancel := context.WithTimeout(ctx, t.QueryTimeout)
	defer cancel()
	var reply AppReply
	switch d.app.rec.Entry {
	case manifest.Service:
		reply.Output, err = d.ask(limited, q, from)
	case manifest.Command:
		r := Request{Entry: d.app.entry("TROUPE_PATH="+q.Path, "TROUPE_ORIGIN="+hex.EncodeToString(from)), Stdin: bytes.NewReader(q.Payload)}
		reply, err = d.runOnce(limited, q, r)
	default:
		r := Request{Entry: run.Entry{Mode: run.Bytes, Name: or(t.EntryName, exportQuery)}, Input: frameQuery(q.Path, from, q.Payload)}
		reply, err = d.runOnce(limited, q, r)
	}
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = fault.New(fault.GuestNoReply, "query", t.QueryTimeout.String(), nil)
		a.endStuck(d.answer.Instance, t.QueryTimeout)
	}
	return reply, err
}

// endStuck ends an instance that asked for nothing in most of the time that a query had, be it this or one before it: it computes
// without end, and takes no other query either. Whether it is started again is for the manifest to say.
func (a *apps) endStuck(instance uint64, timeout time.Duration) {
	if g := a.instanceOf(instance); g != nil && g.stuck(timeout*3/4) {
		g.kill(fault.New(fault.GuestNoReply, "instance", "it asked for nothing while a query waited", nil).
			WithHint("it was ended: answer queries in turn, or raise query_timeout in the manifest"))
	}
}

// frameQuery is the input of a handler: a line with the path, one with the account of the caller, and the payload.
func frameQuery(path string, from, payload []byte) []byte {
	b := make([]byte, 0, len(path)+2*len(from)+len(payload)+2)
	b = append(append(b, path...), '\n')
	b = append(hex.AppendEncode(b, from), '\n')
	return append(b, payload...)
}

// runOnce makes a run for a request that is answered by its result or what it writes, and is over with it.
func (d *admission) runOnce(ctx context.Context, q AppQuery, r Request) (AppReply, error) {
	defer d.leave()
	receipt, used, err := d.start(ctx, q.Priority, r)
	if written := d.a.use(context.WithoutCancel(ctx), d.app.rec.Address, used); err == nil {
		err = written
	}
	if err != nil {
		return AppReply{}, err
	}
	reply := AppReply{Output: receipt.Result, Receipt: &receipt}
	if r.Entry.Mode == run.Command {
		reply.Output = receipt.Stdout
	}
	return reply, verdictOf(&receipt)
}

// start makes a run of the app. It returns what is not written yet of what it used: no reply may leave the host before that is.
func (d *admission) start(ctx context.Context, p run.Priority, r Request) (run.Receipt, meter.Use, error) {
	app := d.app
	t := &app.terms
	r.Tenant, r.Limits, r.Determinism, r.CanonicalNaNs = app.rec.Tenant, limitsOf(t, false), worldOf(t), t.CanonicalNaNs
	if r.Priority = orPriority(p, run.High); app.rec.Bench {
		r.Priority = run.Background
	}
	if app.rec.Reuse == manifest.Process {
		r.Isolation = run.Process
	}
	if r.Entry.Mode == run.Command && r.Stderr == nil {
		stderr := app.stream(d.id, appdata.LevelWarn)
		defer stderr.close()
		r.Stderr = stderr
	}
	// Also code that asks for nothing asks for its turns: by that its gas is known, should it be ended in the middle.
	g := app.instance(d.id, true, r.Limits.Gas)
	r.app = &appRun{address: app.rec.Address.String(), calls: g, slice: slicePerTurn, now: d.a.h.age}
	ctx, done := d.cancelable(ctx)
	receipt, err := app.a.execute(ctx, app.m, r)
	done()
	g.peaked(receipt.MemoryPeakBytes)
	return receipt, g.end(d.useOf(&receipt, r.app), errors.New("the run has ended")), err
}

// useOf is what a run used in the terms of metrics: one that did not begin, nothing. One that was ended from outside has no receipt,
// and nobody but its worker knew its gas.
func (d *admission) useOf(r *run.Receipt, app *appRun) meter.Use {
	if r.Sandbox == "" {
		if began := time.Duration(app.began.Load()); began > 0 {
			return meter.Use{Starts: 1, Running: d.a.h.age() - began}
		}
		return meter.Use{}
	}
	u := meter.Use{Starts: 1}
	if r.WallMicros != nil {
		u.Running = time.Duration(*r.WallMicros) * time.Microsecond
	}
	for _, g := range []*int64{r.GasUsed, r.InitGas} {
		if g != nil {
			u.Gas += uint64(max(0, *g))
		}
	}
	if r.MemoryPeakBytes != nil {
		u.MemoryUsed = meter.ByteTime(uint64(max(0, *r.MemoryPeakBytes)), u.Running)
	}
	return u
}

// ask has a service answer: an instance that lives on, or one that is made for this.
func (d *admission) ask(ctx context.Context, q AppQuery, from []byte) ([]byte, error) {
	r := &queryReply{done: make(chan struct{}), most: d.app.outputBytes()}
	e := calls.Event{Kind: abi.EventQuery, Head: []byte(q.Path + "\n" + hex.EncodeToString(from)), Body: calls.Bytes(q.Payload),
		Out: &leaving{Responder: r, d: d}}
	if err := d.deliver(ctx, q.Priority, e); err != nil {
		d.leave()
		return nil, err
	}
	select {
	case <-r.done:
		return r.result()
	case <-ctx.Done():
		return nil, fault.From(context.Cause(ctx))
	}
}

// deliver gives an event to an instance that lives on, or to one that is made for it, whose run ends by itself.
func (d *admission) deliver(ctx context.Context, p run.Priority, e calls.Event) error {
	if d.answer.Instance != 0 {
		i := d.a.instanceOf(d.answer.Instance)
		if i == nil {
			return fault.New(fault.GuestNotServing, "query", d.app.rec.Address.String(), nil)
		}
		return i.Deliver(ctx, e)
	}
	return d.serveOnce(ctx, p, e)
}

// serveOnce starts a run of a service for one event.
func (d *admission) serveOnce(ctx context.Context, p run.Priority, e calls.Event) error {
	app, a := d.app, d.a
	t := &app.terms
	if err := a.h.enter(); err != nil {
		return err
	}
	g := app.instance(d.id, true, int64(t.Limits.Gas))
	d.holds.Add(1) // what the run does behind its answer is its app's, too: a stop ends it
	if err := g.Deliver(ctx, e); err != nil {
		d.holds.Add(-1)
		a.h.leave()
		g.finish(err)
		return err
	}
	stdout, stderr := app.stream(d.id, appdata.LevelInfo), app.stream(d.id, appdata.LevelWarn)
	r := Request{Entry: app.entry(), Tenant: app.rec.Tenant, Limits: limitsOf(t, false), Determinism: worldOf(t), CanonicalNaNs: t.CanonicalNaNs,
		Priority: orPriority(p, run.High), Stdout: stdout, Stderr: stderr,
		app: &appRun{address: app.rec.Address.String(), now: a.h.age, calls: g, slice: slicePerTurn}}
	if app.rec.Reuse == manifest.Process {
		r.Isolation = run.Process
	}
	if r.Limits.Wall == 0 && e.Kind == abi.EventQuery {
		r.Limits.Wall = t.QueryTimeout
	}
	go func() {
		defer a.h.leave()
		ctx, done := d.cancelable(a.h.life)
		receipt, err := a.execute(ctx, app.m, r)
		done()
		stdout.close()
		stderr.close()
		if err == nil {
			err = verdictOf(&receipt)
		}
		if err == nil {
			err = fault.New(fault.GuestNotServing, "query", app.rec.Address.String(), nil)
		}
		g.peaked(receipt.MemoryPeakBytes)
		if used := g.end(d.useOf(&receipt, r.app), err); used != (meter.Use{}) {
			if err := a.use(context.Background(), app.rec.Address, used); err != nil {
				a.h.log.Error().Err(err).Str("app", app.rec.Address.String()).Msg("use of a run was not written")
			}
		}
		d.leave()
	}()
	return nil
}

// verdictOf is the fault of a receipt, nil if all is well.
func verdictOf(r *run.Receipt) error {
	if r.Verdict == "ok" {
		return nil
	}
	return fault.New(fault.Code(r.Fault), "run", "", errors.New(r.Message)).WithHint(r.Hint)
}

// leaving ends the request when its event does.
type leaving struct {
	calls.Responder
	d *admission
}

// Close implements calls.Responder.
func (l *leaving) Close(why error) {
	l.Responder.Close(why)
	l.d.leave()
}

// queryReply takes the answer to a query.
type queryReply struct {
	most int64
	done chan struct{} // closed once there is an answer, or the end

	mu     sync.Mutex
	over   bool
	data   []byte
	status uint32
	err    error
}

var errNotHTTP = errors.New("a query is answered by reply")

// Reply implements calls.Responder.
func (r *queryReply) Reply(status uint32, data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return errors.New("nobody waits any more")
	}
	if int64(len(data)) > r.most {
		return fault.New(fault.GuestOutputLimit, "reply", "", nil)
	}
	r.over, r.status, r.data = true, status, bytes.Clone(data)
	close(r.done)
	return nil
}

// Respond implements calls.Responder.
func (r *queryReply) Respond(int, []byte) error { return errNotHTTP }

// Write implements calls.Responder.
func (r *queryReply) Write([]byte) (int, error) { return 0, errNotHTTP }

// CloseWrite implements calls.Responder.
func (r *queryReply) CloseWrite() error { return nil }

// Close implements calls.Responder.
func (r *queryReply) Close(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	if why == nil {
		why = fault.New(fault.GuestNotServing, "query", "closed without a reply", nil)
	}
	r.over, r.err = true, why
	close(r.done)
}

func (r *queryReply) result() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.err != nil:
		return nil, r.err
	case r.status != 0:
		return nil, fault.New(fault.GuestRefused, "query", fmt.Sprintf("%d %s", r.status, fault.Quote(string(r.data))), nil)
	}
	return r.data, nil
}
