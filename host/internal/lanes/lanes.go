package lanes

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Config is what a Table needs. Zero fields mean 64 rides, 500 µs, 100 µs, 100 ms, 1 s, 1024 lanes, the time of the machine and no report.
type Config struct {
	Depth    int              // rides under way on one worker
	Wait     time.Duration    // that a ride may be expected to stand behind others
	Near     time.Duration    // that it stands behind others rather than have another worker begin
	Patience time.Duration    // that a caller waits for a place
	Every    time.Duration    // between two reports
	Lanes    int              // that are remembered without a worker
	Now      func() time.Time // with a monotonic reading
	Report   func(Use)
}

// Use is what a lane was used for since it was reported last.
type Use struct {
	Key    artifacts.Key
	Tenant string
	Runs   uint64 // that ended; 0: one is under way
	OK     bool   // one ended without a fault
	Well   bool   // one ended by the code's own doing
}

// Call is what of a request decides, with the binding, whether prepared code may be run so.
type Call struct {
	Mode    run.Mode
	Name    string
	Imports run.Imports
}

const maxProofs = 16 // calls that are remembered for a binding

// Table is all lanes. It implements execute.Leases.
type Table struct {
	cfg  Config
	base time.Time
	room atomic.Int64  // slots that callers may take
	mark atomic.Uint64 // counts what was forgotten

	awake atomic.Bool   // Keep looks at the lanes
	wake  chan struct{} // tells it to

	mu    sync.Mutex
	lanes map[execute.Binding]*Lane
}

// New returns a table without workers.
func New(cfg Config) *Table {
	cfg.Depth = cmp.Or(cfg.Depth, 64)
	cfg.Wait = cmp.Or(cfg.Wait, 500*time.Microsecond)
	cfg.Near = cmp.Or(cfg.Near, 100*time.Microsecond)
	cfg.Patience = cmp.Or(cfg.Patience, 100*time.Millisecond)
	cfg.Every = cmp.Or(cfg.Every, time.Second)
	cfg.Lanes = cmp.Or(cfg.Lanes, 1024)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Report == nil {
		cfg.Report = func(Use) {}
	}
	return &Table{cfg: cfg, base: cfg.Now().Add(-1), // a time of 0 is none
		wake: make(chan struct{}, 1), lanes: map[execute.Binding]*Lane{}}
}

// Lane is the workers that are lent for one binding, and what is known of it.
type Lane struct {
	t       *Table
	binding execute.Binding
	leases  atomic.Pointer[[]*lease]
	proofs  atomic.Pointer[[]Call]
	service atomic.Int64 // moving average of the time of a run, in ns; 0: none was seen
	gone    atomic.Bool
	line    line

	ended    atomic.Uint64 // runs
	reported atomic.Uint64 // of them
	ok, well atomic.Bool   // since the last report, there was one
}

// lease is one worker that is lent. It implements execute.Lease.
type lease struct {
	lane    *Lane
	worker  execute.Worker
	back    func(execute.Returned)
	state   atomic.Int64 // rides under way, and the flags
	turn    atomic.Int64 // when the worker began what it does now, or ended what it did last; since Table.base
	runs    atomic.Uint64
	dead    atomic.Bool
	retired atomic.Pointer[string]
	sandbox atomic.Pointer[string]
}

// The flags of lease.state.
const (
	revoked = int64(1) << 40 // no ride begins
	alone   = int64(1) << 41 // nor behind the one that is under way
)

func underWay(state int64) int64 { return state &^ (revoked | alone) }

// Grant implements execute.Leases.
func (t *Table) Grant(w execute.Worker, b execute.Binding, back func(execute.Returned)) execute.Lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.laneLocked(b)
	n := &lease{lane: l, worker: w, back: back}
	leases := append(slices.Clone(*l.leases.Load()), n)
	l.leases.Store(&leases)
	l.line.call(t.cfg.Depth)
	return n
}

// Room implements execute.Leases.
func (t *Table) Room(slots int) { t.room.Store(int64(slots)) }

// Forget says that an artifact is given up, or for one tenant only if one is named: what was proved of it holds no more.
func (t *Table) Forget(key artifacts.Key, tenant string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mark.Add(1)
	for b, l := range t.lanes {
		if b.Key == key && (tenant == "" || b.Tenant == tenant) {
			l.proofs.Store(&[]Call{})
		}
	}
}

// Mark is for Prove.
func (t *Table) Mark() uint64 { return t.mark.Load() }

// Prove says that a run of a binding was allowed and begun, and how long it took. mark is from before it.
func (t *Table) Prove(b execute.Binding, c Call, took time.Duration, mark uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mark.Load() != mark {
		return
	}
	l := t.laneLocked(b)
	if took > 0 {
		l.learn(int64(took)) // while nothing rides, nothing else tells
	}
	if l.Proved(c) {
		return
	}
	proofs := append(slices.Clone(*l.proofs.Load()), c)
	proofs = proofs[max(0, len(proofs)-maxProofs):]
	l.proofs.Store(&proofs)
}

// Lane returns the lane of a binding, nil if there is none. It may be kept until it is Gone.
func (t *Table) Lane(b execute.Binding) *Lane {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lanes[b]
}

// Rides reports whether rides of an artifact are under way.
func (t *Table) Rides(key artifacts.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for b, l := range t.lanes {
		if b.Key == key && l.rides() {
			return true
		}
	}
	return false
}

// Ended returns how many rides of an artifact have ended, as far as their lanes are remembered.
func (t *Table) Ended(key artifacts.Key) (n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for b, l := range t.lanes {
		if b.Key == key {
			n += l.ended.Load()
		}
	}
	return n
}

// laneLocked returns the lane of a binding, a new one if there is none. Of too many, those without a worker go.
func (t *Table) laneLocked(b execute.Binding) *Lane {
	if l := t.lanes[b]; l != nil {
		return l
	}
	if len(t.lanes) >= t.cfg.Lanes {
		for b, l := range t.lanes {
			if len(*l.leases.Load()) == 0 && !l.unreported() {
				delete(t.lanes, b)
				l.gone.Store(true)
			}
		}
	}
	l := &Lane{t: t, binding: b}
	l.leases.Store(&[]*lease{})
	l.proofs.Store(&[]Call{})
	t.lanes[b] = l
	return l
}

// Gone reports whether the lane is no longer that of its binding.
func (l *Lane) Gone() bool { return l.gone.Load() }

// Proved reports whether a call may ride.
func (l *Lane) Proved(c Call) bool { return slices.Contains(*l.proofs.Load(), c) }

func (l *Lane) rides() bool {
	for _, x := range *l.leases.Load() {
		if underWay(x.state.Load()) > 0 {
			return true
		}
	}
	return false
}

// Ride runs a job of the binding on a worker that is lent. began is now; end is when the run has ended. rode false: it was
// not begun, and has to go the ordinary way.
func (l *Lane) Ride(ctx context.Context, began time.Time, j execute.Job, io execute.IO) (out run.Outcome, end time.Time, rode bool) {
	single := io.Stdin != nil || io.Stdout != nil || io.Stderr != nil
	x, full := l.board(l.t.at(began), single)
	if x == nil && !single && (full || l.workers() == 0) {
		x = l.await(ctx, began, &j)
	}
	if x == nil {
		return run.Outcome{}, began, false
	}
	out, alive := x.worker.Ride(ctx, j, io)
	end = l.t.cfg.Now()
	x.leave(&out, l.t.at(end), alive)
	return out, end, !out.NotBegun
}

func (t *Table) at(now time.Time) int64 { return int64(now.Sub(t.base)) }

// board chooses a worker, and counts the ride there. Nil: there is none for it; full: there will be one soon.
func (l *Lane) board(now int64, single bool) (x *lease, full bool) {
	for {
		var best *lease
		var fewest int64
		near := false // there is a place that is as good as a worker of one's own
		for _, x := range *l.leases.Load() {
			state := x.state.Load()
			if state&(revoked|alone) != 0 {
				continue
			}
			if near = !single && l.mayStandBehind(x, state, now, l.t.cfg.Near); near {
				best, fewest = x, state
				break
			}
			if best == nil || state < fewest {
				best, fewest = x, state
			}
		}
		more := fewest + 1
		switch {
		case best == nil:
			return nil, false
		case near:
		case single && fewest == 0:
			more |= alone
		case fewest > 0 && (single || l.t.takeRoom()):
			return nil, false
		case fewest > 0 && !l.mayStandBehind(best, fewest, now, l.t.cfg.Wait):
			return nil, l.short()
		}
		if best.state.CompareAndSwap(fewest, more) {
			if fewest == 0 {
				best.turn.Store(now)
			}
			return best, false
		}
	}
}

// takeRoom takes a slot that nobody has. The queue tells how many there are whenever that changes.
func (t *Table) takeRoom() bool {
	for n := t.room.Load(); n > 0; n = t.room.Load() {
		if t.room.CompareAndSwap(n, n-1) {
			return true
		}
	}
	return false
}

// mayStandBehind reports whether a ride behind n others is likely to begin within a time.
func (l *Lane) mayStandBehind(x *lease, n, now int64, within time.Duration) bool {
	each, wait := l.service.Load(), int64(within)
	return each > 0 && n < int64(l.t.cfg.Depth) && n*each <= wait && now-x.turn.Load() <= wait
}

// short reports whether runs are so short that a caller who waits for a place is likely to have one in time.
func (l *Lane) short() bool {
	each := l.service.Load()
	return each > 0 && each <= int64(l.t.cfg.Patience)/40
}

// leave ends a ride.
func (x *lease) leave(out *run.Outcome, now int64, alive bool) {
	l := x.lane
	if !out.NotBegun {
		if x.sandbox.Load() == nil && out.Sandbox != "" {
			x.sandbox.Store(new(out.Sandbox))
		}
		x.runs.Add(1)
		took := now - x.turn.Swap(now)
		if wall := int64(out.Usage.Wall); wall > 0 {
			took = min(took, wall) // the caller may have been late to hear of it
		}
		l.learn(took)
		l.count(out.Fault)
	}
	if !alive {
		x.dead.Store(true)
		if out.Retired != "" {
			x.retired.Store(new(out.Retired))
		}
		x.revoke()
	}
	if x.state.Load()&alone != 0 {
		x.state.And(^alone)
	}
	if x.state.Add(-1) == revoked {
		x.giveBack()
	}
	l.line.call(1)
}

// learn takes the time of a run into the moving average, with a weight of one eighth. One that was held up, by whatever, counts
// for four. Two at once may lose one.
func (l *Lane) learn(took int64) {
	took = max(took, 1)
	old := l.service.Load()
	if old == 0 {
		old = took
	}
	l.service.Store(max(1, old+(min(took, 4*old)-old)/8))
}

// count takes note of a run for the next report.
func (l *Lane) count(f *fault.Error) {
	if f == nil && !l.ok.Load() {
		l.ok.Store(true)
	}
	if (f == nil || f.Class == fault.Guest) && !l.well.Load() {
		l.well.Store(true)
	}
	l.ended.Add(1)
	l.t.stir()
}

// Revoke implements execute.Lease.
func (x *lease) Revoke() {
	if x.revoke() {
		x.giveBack()
	}
}

// revoke has no further ride begin. true: none is under way, and nobody else gives the worker back.
func (x *lease) revoke() bool {
	old := x.state.Or(revoked)
	if old&revoked != 0 {
		return false
	}
	l := x.lane
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	leases := slices.DeleteFunc(slices.Clone(*l.leases.Load()), func(o *lease) bool { return o == x })
	l.leases.Store(&leases)
	l.line.call(maxWaiting) // it is for each to say what to do now
	return underWay(old) == 0
}

// giveBack returns the worker. It is called once: no ride is under way, and none can begin.
func (x *lease) giveBack() {
	r := x.Rides()
	back := execute.Returned{Runs: r.Ended, LastUsed: r.Last, Alive: !x.dead.Load(), Sandbox: r.Sandbox}
	if why := x.retired.Load(); why != nil {
		back.Retired = *why
	}
	x.back(back)
}

// Rides implements execute.Lease.
func (x *lease) Rides() execute.Rides {
	r := execute.Rides{UnderWay: int(underWay(x.state.Load())), Ended: x.runs.Load()}
	if s := x.sandbox.Load(); s != nil {
		r.Sandbox = *s
	}
	if at := x.turn.Load(); at != 0 {
		r.Last = x.lane.t.base.Add(time.Duration(at))
	}
	return r
}
