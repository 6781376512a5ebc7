package control

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

type visitKey struct{}

// visit is one request: who asks, for what, and how it went.
type visit struct {
	caller caller
	spec   *api.Spec
	dry    bool
	reason string
	face   string // HeaderOrigin

	verb, plan, target string // for the audit log
	quiet              bool   // an answer that was given before

	body int64 // bytes that it holds of Server.bodies

	own ownSet
}

// visitOf returns nil for what the server does by itself.
func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// dryRun is what a call of the host answers that would have changed something.
type dryRun struct{ target string }

func (*dryRun) Error() string { return "nothing was changed: this is a dry run" }

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	code   fault.Code
	visit  *visit
	body   *bytes.Buffer // not nil: what is answered is kept, up to maxKept
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.body != nil && w.body.Len() <= maxKept {
		w.body.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// note keeps the code of a failure.
func note(w http.ResponseWriter, err error) {
	if rec, ok := w.(*recorder); ok && rec.code == "" {
		rec.code = fault.CodeOf(err)
	}
}

const maxReason = 512

// singles are the headers that decide what a request does. One that comes twice is read in two ways by two readers.
var singles = []string{"Authorization", "Content-Type", "Last-Event-ID", api.HeaderDryRun, api.HeaderIdempotency, api.HeaderIfMatch, api.HeaderOrigin, api.HeaderReason, api.HeaderSignature}

// enter checks everything about a request that does not depend on its route.
func (s *Server) enter(r *http.Request) (*visit, error) {
	c, err := s.identify(r)
	v := &visit{caller: c, reason: r.Header.Get(api.HeaderReason), face: fault.Quote(r.Header.Get(api.HeaderOrigin))}
	if err != nil {
		return v, err
	}
	if err := s.checkNames(r); err != nil {
		return v, err
	}
	for _, name := range singles {
		if len(r.Header.Values(name)) > 1 {
			return v, invalid("header "+name, "send it once")
		}
	}
	if p := r.URL.Path; path.Clean(p) != p || strings.ContainsFunc(p, func(c rune) bool { return c < ' ' || c == 0x7f }) || len(p) > api.MaxPathBytes {
		return v, invalid("path "+fault.Quote(p), "write the path as the table of routes has it")
	}
	if len(v.reason) > maxReason {
		return v, invalid(api.HeaderReason, "a reason has at most 512 bytes")
	}
	v.reason = fault.Quote(v.reason)
	switch dry := r.Header.Get(api.HeaderDryRun); strings.ToLower(dry) {
	case "", "false":
	case "true":
		v.dry = true
	default:
		return v, invalid(api.HeaderDryRun+" "+fault.Quote(dry), "it is true or false")
	}
	return v, nil
}

// route wraps the handler of one row of the table: rights, conditions, dry run, idempotency, the number at once, and the audit.
func (s *Server) route(spec *api.Spec, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, rec := visitOf(r.Context()), w.(*recorder)
		v.spec = spec
		for _, name := range []string{"id", "key", "address", "hash", "code_hash", "path", "view"} {
			if value := r.PathValue(name); value != "" {
				v.target = fault.Quote(value)
				break
			}
		}
		defer s.audited(r, v, rec)
		defer func() { s.bodies.give(v.caller.Tenant(), v.body) }()
		err := s.mayCall(v, spec)
		if err == nil && spec.Grave() && !v.dry && strings.TrimSpace(v.reason) == "" {
			err = fault.New(fault.CallerReason, "control", spec.Does, nil).WithHint("say why in the header " + api.HeaderReason)
		}
		if err == nil {
			err = s.ifMatch(r, spec)
		}
		if err == nil && v.dry && spec.Changes == "" && spec.Route != api.RoutePlan {
			v.dry = false // who only looks changes nothing anyhow
		}
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		if spec.Stream() {
			if !s.mine.begin(v.caller.Tenant(), s.opts.CallerMost) {
				s.fail(w, fault.New(fault.BusyQueueFull, "control", "", nil).WithRetryAfter(time.Second).WithHint("too many streams of one caller: end one of them"))
				return
			}
			defer s.mine.end(v.caller.Tenant())
		}
		slots := s.slots
		switch {
		case spec.Route == api.RouteLive:
			slots = s.probes
		case spec.Stream():
			slots = s.streams
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			s.fail(w, fault.New(fault.BusyQueueFull, "control", "", nil).WithRetryAfter(time.Second).WithHint("too many requests at once: retry later"))
			return
		}
		s.once(rec, r, v, next)
	}
}

// tally counts by name.
type tally struct {
	mu sync.Mutex
	by map[string]int
}

func (t *tally) begin(name string, most int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]int{}
	}
	if t.by[name] >= most {
		return false
	}
	t.by[name]++
	return true
}

func (t *tally) end(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[name]--; t.by[name] <= 0 {
		delete(t.by, name)
	}
}

func (s *Server) mayCall(v *visit, spec *api.Spec) error {
	for _, need := range []api.Right{spec.Right, spec.And} {
		if !api.Holds(v.caller.rights, need) {
			return lacks(v.caller, need)
		}
	}
	if spec.Whole && v.caller.confined() {
		return lacks(v.caller, api.Admin)
	}
	return nil
}

// lacks names the right that is missing, and who could give it.
func lacks(c caller, need api.Right) error {
	giver := "the user that runs the host can give it, by the rights of the group of operators"
	if c.listener == "tls" {
		giver = "the user that runs the host can give it, in the file of tokens and certificates"
	}
	return fault.New(fault.CallerDenied, "control", c.Tenant()+" lacks the right "+string(need), nil).WithHint(giver)
}

// ifMatch compares the generation that a caller has seen.
func (s *Server) ifMatch(r *http.Request, spec *api.Spec) error {
	text := r.Header.Get(api.HeaderIfMatch)
	if text == "" || spec.Changes == "" {
		return nil
	}
	if !spec.Gen {
		return invalid(api.HeaderIfMatch, "what this route changes has no generation")
	}
	want, err := generation(text)
	if err != nil {
		return err
	}
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	a, _, err := s.host.Artifact(r.Context(), key)
	if err != nil {
		return err
	}
	if a.Generation != want {
		return fault.New(fault.CallerStale, "artifact", key, nil)
	}
	return nil
}

// audited writes what changed something, was refused, or failed to.
func (s *Server) audited(r *http.Request, v *visit, rec *recorder) {
	changes := v.spec != nil && (v.spec.Changes != "" || v.spec.Route == api.RoutePlan || v.spec.Right == api.Admin) // who took a backup has the keys
	refused := rec.code == fault.CallerDenied
	if !changes && !refused || v.quiet {
		return
	}
	if changes && v.spec.Form == nil && !v.spec.Bytes { // not what users bring, which may be much
		s.changes.Add(1)
	}
	a := api.Audit{Caller: v.caller.Tenant(), Origin: v.caller.listener, Verb: v.verb, Target: v.target, Plan: v.plan, Reason: v.reason,
		DryRun: v.dry, Outcome: "done", Code: string(rec.code)}
	if v.face != "" {
		a.Origin += " " + v.face
	}
	a.Route = fault.Quote(r.Method + " " + r.URL.Path)
	if v.spec != nil {
		a.Route = v.spec.Route
	}
	class := fault.New(rec.code, "", "", nil).Class
	switch {
	case rec.code == "" && v.spec != nil && v.spec.Route == api.RoutePlan:
		a.Outcome = "planned"
	case rec.code == "":
	case class == fault.Caller || class == fault.Busy:
		a.Outcome = "refused"
	default:
		a.Outcome = "failed"
	}
	s.audit.Append(a)
}

func generation(text string) (uint64, error) {
	var n uint64
	text = strings.Trim(text, `"`)
	for _, c := range text {
		if c < '0' || c > '9' || n > 1<<60 {
			return 0, invalid(api.HeaderIfMatch+" "+fault.Quote(text), "it is the generation, a whole number")
		}
		n = 10*n + uint64(c-'0')
	}
	if text == "" {
		return 0, invalid(api.HeaderIfMatch, "it is the generation, a whole number")
	}
	return n, nil
}

// answerDry answers what would have been done, if err says that this is a dry run.
func (s *Server) answerDry(w http.ResponseWriter, err error) bool {
	d, ok := errors.AsType[*dryRun](err)
	if !ok {
		return false
	}
	would := "changes something"
	if rec, ok := w.(*recorder); ok && rec.visit != nil && rec.visit.spec != nil {
		would = rec.visit.spec.Changes
	}
	w.Header().Set("Connection", "close")
	s.reply(w, http.StatusOK, api.Would{DryRun: true, Would: would, Target: fault.Quote(d.target)})
	return true
}

func (s *Server) me(r *http.Request, c caller) (any, error) {
	me := api.Me{Caller: c.Tenant(), Rights: c.rights, Listener: c.listener, Version: s.opts.Version, Boot: s.host.Boot()}
	h, err := s.bare(r.Context())
	me.Host = h.Name
	return me, err
}

func (s *Server) startup(r *http.Request, _ caller) (any, error) {
	h, err := s.bare(r.Context())
	if err == nil && h.StartedAt.IsZero() && !h.Ready {
		err = fault.New(fault.BusyDraining, "start", "", nil).WithHint("it is starting").WithRetryAfter(time.Second)
	}
	return api.Done{State: "started", At: now()}, err
}

// hidden is what a confined caller hears of what belongs to others: that it is not there.
func hidden(kind, id string) error {
	return fault.New(fault.CallerNotFound, kind, fault.Quote(id), nil)
}
