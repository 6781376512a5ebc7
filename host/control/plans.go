package control

import (
	"cmp"
	"container/list"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

const (
	maxPlans      = 256
	maxOperations = 1024
	maxPlanned    = 256 // targets that weigh as much as a plan
	maxRunning    = 32  // operations under way at once
	maxTargets    = 10_000
	planLasts     = 10 * time.Minute
	maxArg        = 64 // bytes
	applyWait     = 200 * time.Millisecond
)

// planned is a plan that waits to be applied, or was.
type planned struct {
	plan api.Plan
	wish api.Wish
	verb *api.Verb
	by   string
	op   *operation
	key  string // that it was applied with
}

// operation is a plan that is being applied.
type operation struct {
	mu   sync.Mutex
	now  api.Operation
	done chan struct{}
}

func (o *operation) get() api.Operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.now
	v.Results = append([]api.PlanOutcome{}, v.Results...)
	return v
}

func (o *operation) add(r api.PlanOutcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now.Results = append(o.now.Results, r)
	if r.State == "done" {
		o.now.Done++
	} else {
		o.now.Failed++
	}
}

// bounded keeps values by their ids up to a weight, and forgets the oldest. Who has more than a quarter of it loses its own first, so
// that nobody pushes out what others have.
type bounded[T any] struct {
	most, has int
	by        map[string]*list.Element
	old       *list.List
	of        map[string]int // weight by owner
}

type kept[T any] struct {
	id, owner string
	weight    int
	v         T
}

func newBounded[T any](most int) bounded[T] {
	return bounded[T]{most: most, by: map[string]*list.Element{}, old: list.New(), of: map[string]int{}}
}

func (b *bounded[T]) put(id, owner string, weight int, v T) {
	for b.has+weight > b.most && b.old.Len() > 0 {
		e := b.old.Front()
		if b.of[owner] > b.most/4 {
			for e.Value.(kept[T]).owner != owner {
				e = e.Next()
			}
		}
		b.drop(e)
	}
	b.has, b.of[owner] = b.has+weight, b.of[owner]+weight
	b.by[id] = b.old.PushBack(kept[T]{id, owner, weight, v})
}

func (b *bounded[T]) drop(e *list.Element) {
	k := b.old.Remove(e).(kept[T])
	delete(b.by, k.id)
	b.has -= k.weight
	if b.of[k.owner] -= k.weight; b.of[k.owner] == 0 {
		delete(b.of, k.owner)
	}
}

func (b *bounded[T]) get(id string) (v T, ok bool) {
	if e, found := b.by[id]; found {
		return e.Value.(kept[T]).v, true
	}
	return v, false
}

// plans holds plans and operations.
type plans struct {
	mu    sync.Mutex
	plans bounded[*planned]
	ops   bounded[*operation]
	busy  sync.WaitGroup

	running atomic.Int64
}

func newPlans() *plans {
	return &plans{plans: newBounded[*planned](maxPlans), ops: newBounded[*operation](maxOperations)}
}

// plan says what a wish would do now.
func (s *Server) plan(ctx context.Context, wish api.Wish, c caller) (any, error) {
	v := visitOf(ctx)
	if wish.Reason == "" {
		wish.Reason = v.reason
	}
	v.verb, v.reason, v.target = fault.Quote(wish.Verb), fault.Quote(wish.Reason), aimOf(wish)
	verb := api.VerbOf(wish.Verb)
	if verb == nil {
		return nil, fault.New(fault.CallerInvalid, "plan", "verb "+fault.Quote(wish.Verb), nil).WithHint("the verbs are in host/control/api, e.g. actor.restart")
	}
	if !api.Holds(c.rights, verb.Right) {
		return nil, lacks(c, verb.Right)
	}
	if err := s.checkWish(verb, &wish); err != nil {
		return nil, err
	}
	ids, rows, err := s.candidates(ctx, verb, wish)
	if err != nil {
		return nil, err
	}
	at := now()
	p := api.Plan{Verb: verb.Name, Selector: wish.Selector, Reason: fault.Quote(wish.Reason), Targets: []api.PlanTarget{}, Excluded: []api.PlanOutcome{},
		Danger: verb.Danger, At: at, Until: at.Add(planLasts)}
	for i, id := range ids {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		t, why := s.judge(ctx, verb, wish, id, rows[i])
		if want, ok := wish.Match[id]; why == nil && ok && want != t.Generation {
			why = fault.New(fault.CallerStale, verb.Kind, fault.Quote(id), nil)
		}
		if why != nil {
			p.Excluded = append(p.Excluded, outcome(id, "excluded", why))
			continue
		}
		p.Targets = append(p.Targets, t)
	}
	p.Count = len(p.Targets)
	p.Effect = effect(verb, p)
	p.ID = hashOf(c.Tenant(), p)
	v.plan, v.target = p.ID, aim(p)
	s.plans.mu.Lock()
	defer s.plans.mu.Unlock()
	if _, twice := s.plans.plans.get(p.ID); !twice {
		s.plans.plans.put(p.ID, c.Tenant(), 1+(len(p.Targets)+len(p.Excluded))/maxPlanned, &planned{plan: p, wish: wish, verb: verb, by: c.Tenant()})
	}
	return p, nil
}

// hashOf names a plan by all that it says, and whose it is.
func hashOf(by string, p api.Plan) string {
	p.ID = ""
	text, _ := json.Marshal(p)
	sum := sha256.Sum256(append([]byte(by+"\x00"), text...))
	return hex.EncodeToString(sum[:16])
}

func aimOf(w api.Wish) string {
	switch {
	case w.Selector != "":
		return fault.Quote(w.Selector)
	case len(w.IDs) == 1:
		return fault.Quote(w.IDs[0])
	}
	return strconv.Itoa(len(w.IDs)) + " targets"
}

// aim says what a plan is about, for the audit log.
func aim(p api.Plan) string {
	if len(p.Targets) == 1 {
		return fault.Quote(p.Targets[0].ID)
	}
	n := strconv.Itoa(len(p.Targets)) + " targets"
	if p.Selector != "" {
		n += " of " + fault.Quote(p.Selector)
	}
	return n
}

func effect(verb *api.Verb, p api.Plan) string {
	s := strconv.Itoa(p.Count) + " " + verb.Kind
	if p.Count != 1 {
		s += "s"
	}
	lost, children := 0, 0
	for _, t := range p.Targets {
		lost, children = lost+t.Lost, children+t.Children
	}
	s += ": " + verb.Effect
	if children > 0 {
		s += fmt.Sprintf("; %d below are affected too", children)
	}
	if lost > 0 {
		s += fmt.Sprintf("; %d under way end by it", lost)
	}
	return s
}

// checkWish checks what does not depend on the host.
func (s *Server) checkWish(verb *api.Verb, w *api.Wish) error {
	if len(w.Reason) > maxReason {
		return invalid("reason", "a reason has at most 512 bytes")
	}
	if strings.TrimSpace(w.Reason) == "" && (verb.Danger || w.Selector != "") {
		return fault.New(fault.CallerReason, "plan", verb.Name, nil)
	}
	for name, value := range w.Args {
		if !slices.Contains(verb.Args, name) && !slices.Contains(verb.Args, name+"?") {
			return invalid("argument "+fault.Quote(name), verb.Name+" takes "+strings.Join(append([]string{"no more than:"}, verb.Args...), " "))
		}
		if len(value) > maxArg {
			return invalid("argument "+name, "no value is that long")
		}
	}
	for _, name := range verb.Args {
		if !strings.HasSuffix(name, "?") && w.Args[name] == "" {
			return invalid("argument "+name, verb.Name+" needs it")
		}
	}
	if p := w.Args["priority"]; p != "" {
		if _, err := run.ParsePriority(p); err != nil {
			return err
		}
	}
	if l, ok := w.Args["level"]; ok && !slices.Contains([]string{"trace", "debug", "info", "warn", "error"}, l) {
		return invalid("level "+fault.Quote(l), "choose trace, debug, info, warn or error")
	}
	if _, err := lasts(*w); err != nil {
		return err
	}
	slices.Sort(w.IDs)
	w.IDs = slices.Compact(w.IDs)
	if len(w.IDs) > maxTargets || len(w.Match) > maxTargets {
		return invalid("ids", "a plan has at most 10,000 targets")
	}
	if api.ViewOf(verb.Kind) == "" { // there is one of it
		switch {
		case w.Selector != "":
			return invalid("selector", "there is only one "+verb.Kind)
		case len(w.IDs) == 0:
			w.IDs = []string{verb.Kind}
		case len(w.IDs) != 1 || w.IDs[0] != verb.Kind:
			return invalid("ids", "the id is "+verb.Kind)
		}
		return nil
	}
	if (w.Selector == "") == (len(w.IDs) == 0) {
		return invalid("wish", "name ids or give a selector, and not both")
	}
	return nil
}

// lasts reads how long a level of the log is to hold. Default 10 minutes.
func lasts(w api.Wish) (time.Duration, error) {
	text := w.Args["for_us"]
	if text == "" {
		return 10 * time.Minute, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < time.Second.Microseconds() || n > (24*time.Hour).Microseconds() {
		return 0, invalid("for_us "+fault.Quote(text), "it is between a second and a day")
	}
	return time.Duration(n) * time.Microsecond, nil
}

// candidates finds what a wish is about. A row that is nil is looked up by judge.
func (s *Server) candidates(ctx context.Context, verb *api.Verb, w api.Wish) (ids []string, rows []any, err error) {
	if w.Selector == "" {
		return w.IDs, make([]any, len(w.IDs)), nil
	}
	s.changes.Add(1) // as they are now, and not a moment ago
	view := api.ViewOf(verb.Kind)
	f := find{}
	if f.query, err = query.Parse(view, w.Selector, time.Now()); err != nil {
		return nil, nil, err
	}
	if f.query.Empty() {
		return nil, nil, invalid("selector", "it selects everything; say what is meant")
	}
	if ids, rows, err = s.views.by[view].targets(ctx, f); err == nil && len(ids) > maxTargets {
		err = invalid("selector", fmt.Sprintf("it finds %d, and a plan has at most %d targets: narrow it", len(ids), maxTargets))
	}
	return ids, rows, err
}

func outcome(id, state string, err error) api.PlanOutcome {
	o := api.PlanOutcome{ID: id, State: state}
	if err != nil {
		f := fault.From(err)
		o.Code, o.Why, o.Hint = string(f.Code), f.Error(), cmp.Or(f.Hint, fault.Describe(f.Code).Hint)
	}
	return o
}

// applied is an operation that was just begun, or was begun before with the same key.
type applied api.Operation

// apply carries out a plan, once. The same key again answers the same operation.
func (s *Server) apply(r *http.Request, c caller) (any, error) {
	v, key := visitOf(r.Context()), r.Header.Get(api.HeaderIdempotency)
	if len(key) > api.MaxTagBytes {
		return nil, invalid(api.HeaderIdempotency, longTag)
	}
	op, err := s.start(r.Context(), v, c, r.PathValue("id"), key)
	if err != nil {
		return nil, err
	}
	t := time.NewTimer(applyWait)
	defer t.Stop()
	select {
	case <-op.done:
	case <-t.C:
	case <-r.Context().Done():
	}
	return applied(op.get()), nil
}

func (s *Server) start(ctx context.Context, v *visit, c caller, id, key string) (*operation, error) {
	s.plans.mu.Lock()
	defer s.plans.mu.Unlock()
	p, ok := s.plans.plans.get(id)
	if !ok || p.by != c.Tenant() {
		return nil, fault.New(fault.CallerNotFound, "plan", fault.Quote(id), nil).WithHint("plans are kept for 10 minutes: make a new one")
	}
	v.verb, v.plan, v.target, v.reason = p.verb.Name, p.plan.ID, aim(p.plan), p.plan.Reason
	if !api.Holds(c.rights, p.verb.Right) {
		return nil, lacks(c, p.verb.Right)
	}
	if p.op != nil {
		if key != "" && key == p.key {
			v.quiet = true
			return p.op, nil
		}
		return nil, fault.New(fault.CallerConflict, "plan", id, nil).WithHint("a plan is applied once: make a new one")
	}
	if !time.Now().Before(p.plan.Until) {
		return nil, fault.New(fault.CallerStale, "plan", id, nil).WithHint("it is too old: make a new one")
	}
	if v.dry {
		return nil, &dryRun{aim(p.plan)}
	}
	if s.base.Err() != nil {
		return nil, context.Cause(s.base)
	}
	if s.plans.running.Add(1) > maxRunning {
		s.plans.running.Add(-1)
		return nil, fault.New(fault.BusyQueueFull, "plan", id, nil).WithRetryAfter(time.Second).WithHint("too many operations are under way: retry later")
	}
	op := &operation{done: make(chan struct{}), now: api.Operation{ID: "op-" + randomID(), Plan: p.plan.ID, Verb: p.verb.Name, State: "running",
		By: c.Tenant(), Reason: p.plan.Reason, Results: []api.PlanOutcome{}, At: now()}}
	p.op, p.key = op, key
	s.plans.ops.put(op.now.ID, c.Tenant(), 1+len(p.plan.Targets)/maxPlanned, op)
	// Whoever asked may leave; what was begun goes on, with no more than the rights of who began it.
	working := context.WithValue(s.base, visitKey{}, &visit{caller: c, face: v.face})
	s.plans.busy.Go(func() {
		defer s.plans.running.Add(-1)
		s.carryOut(working, p, op, v.face)
	})
	return op, nil
}

func randomID() string { return strings.ToLower(rand.Text())[:16] }

// carryOut does one target after the other, but for what takes its time. What has changed since it was planned is left alone.
func (s *Server) carryOut(ctx context.Context, p *planned, op *operation, face string) {
	most := 1
	if p.verb.Name == "artifact.retry" {
		most = togetherMost
	}
	var busy sync.WaitGroup
	places := make(chan struct{}, most)
	for _, t := range p.plan.Targets {
		places <- struct{}{}
		busy.Go(func() {
			defer func() { <-places }()
			if ctx.Err() != nil {
				op.add(outcome(t.ID, "failed", context.Cause(ctx)))
				return
			}
			op.add(s.oneTarget(ctx, p, t))
		})
	}
	busy.Wait()
	op.mu.Lock()
	defer op.mu.Unlock()
	changed := 0
	for _, r := range op.now.Results {
		if r.State == "superseded" {
			changed++
		}
	}
	op.now.EndedAt = now()
	switch {
	case op.now.Failed == 0:
		op.now.State = "done"
	case changed == len(p.plan.Targets):
		op.now.State = "superseded"
	default:
		op.now.State = "failed"
	}
	close(op.done)
	a := api.Audit{Caller: op.now.By, Origin: strings.TrimSpace("operation " + face), Route: api.RouteApply, Verb: op.now.Verb, Plan: op.now.Plan, Reason: op.now.Reason, Outcome: "done",
		Target: fmt.Sprintf("%s: %d done, %d not", aim(p.plan), op.now.Done, op.now.Failed)}
	if op.now.State != "done" {
		a.Outcome = "failed"
		for _, r := range op.now.Results {
			if r.Code != "" {
				a.Code = r.Code
				break
			}
		}
	}
	s.audit.Append(a)
	s.opts.Log.Info().Str("verb", op.now.Verb).Str("operation", op.now.ID).Int("done", op.now.Done).Int("failed", op.now.Failed).Str("tenant", op.now.By).Msg("operation ended")
}

const (
	targetTimeout = time.Minute
	togetherMost  = 8 // preparations that are begun again at once: each is followed to its end
)

func (s *Server) oneTarget(ctx context.Context, p *planned, t api.PlanTarget) api.PlanOutcome {
	ctx, cancel := context.WithTimeout(ctx, targetTimeout)
	defer cancel()
	still, why := s.judge(ctx, p.verb, p.wish, t.ID, nil)
	if why == nil && (still.Generation != t.Generation || p.verb.Kind == "job" && still.State != t.State || p.verb.Danger && still.Lost > t.Lost) {
		why = fault.New(fault.CallerStale, p.verb.Kind, fault.Quote(t.ID), nil)
	}
	if why != nil {
		return outcome(t.ID, "superseded", why)
	}
	err := s.do(ctx, p.verb, p.wish, t)
	s.changes.Add(1)
	switch {
	case err == nil:
		return api.PlanOutcome{ID: t.ID, State: "done"}
	case fault.CodeOf(err) == fault.CallerStale:
		return outcome(t.ID, "superseded", err)
	}
	return outcome(t.ID, "failed", err)
}

// operation answers at once, or when it is settled.
func (s *Server) operation(r *http.Request, c caller) (any, error) {
	micros, err := natural(r, "wait_us")
	if err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	s.plans.mu.Lock()
	op, ok := s.plans.ops.get(id)
	s.plans.mu.Unlock()
	if !ok || c.confined() && op.get().By != c.Tenant() {
		return nil, fault.New(fault.CallerNotFound, "operation", fault.Quote(id), nil)
	}
	t := time.NewTimer(time.Duration(min(micros, int(api.MaxWait.Microseconds()))) * time.Microsecond)
	defer t.Stop()
	select {
	case <-op.done:
	case <-t.C:
	case <-s.views.stopped:
	case <-r.Context().Done():
	}
	return op.get(), nil
}
