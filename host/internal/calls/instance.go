package calls

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

// Instance is one guest that runs. It implements run.Calls.
type Instance struct {
	app  *App
	cfg  InstanceConfig
	used used

	wake  chan struct{}   // something changed that a call may wait for
	life  context.Context // ends with it
	kill  context.CancelFunc
	ended atomic.Bool

	kept atomic.Int64 // bytes of messages in the buffers of its subscriptions

	mu       sync.Mutex
	handles  map[uint32]resource
	last     uint32 // handle that was given out
	queue    []*event
	stopped  bool
	handed   bool     // One: the event is on its way, or was
	lingers  int      // handles that were closed and have bytes to write
	answered []uint32 // handles of queries that ended, the last ones
	gathered int64    // bytes of replies that are not sent yet
}

// resource is what a handle stands for.
type resource interface {
	// release gives it back: with nil when the guest closed the handle or ended well, else with why its instance ended.
	release(why error)
}

// waitable is a resource that poll takes.
type waitable interface {
	resource
	// ready says whether it can be read, received or accepted from without waiting. When that changes to true, the instance
	// is woken.
	ready() bool
}

// watchable is a waitable that wakes only those who ask for it.
type watchable interface {
	watch(i *Instance)
	unwatch(i *Instance)
}

// request is a call as its function sees it: numbers and arguments are as many as the function has parameters.
type request struct {
	ctx  context.Context
	nums []int64
	args [][]byte
	gas  int64
}

func (r *request) handle(n int) uint32 { return uint32(r.nums[n]) }

// room is how much fits into the output buffer that is the nth number.
func (r *request) room(n int) int { return int(min(max(r.nums[n], 0), abi.MaxBytes)) }

type function struct {
	nums, args int
	serve      func(i *Instance, r *request) run.Answer
}

// functions are all calls by their number.
var functions = func() [abi.OpGasLeft + 1]function {
	serve := map[abi.Op]func(*Instance, *request) run.Answer{
		abi.OpTurn: (*Instance).turn,
		abi.OpLog:  (*Instance).log, abi.OpFact: (*Instance).fact, abi.OpBlobRead: (*Instance).blobRead,
		abi.OpKVGet: (*Instance).kvGet, abi.OpKVPut: (*Instance).kvPut, abi.OpKVDelete: (*Instance).kvDelete, abi.OpKVList: (*Instance).kvList,
		abi.OpSign: (*Instance).sign, abi.OpDeriveSecret: (*Instance).deriveSecret, abi.OpTip: (*Instance).tip,
		abi.OpGasToken: (*Instance).gasToken, abi.OpGasLeft: (*Instance).gasLeft,
		abi.OpQuote:  func(*Instance, *request) run.Answer { return refuse(abi.ErrUnsupported) },
		abi.OpAccept: (*Instance).accept, abi.OpHead: (*Instance).head, abi.OpRead: (*Instance).read, abi.OpWrite: (*Instance).write,
		abi.OpRespond: (*Instance).respond, abi.OpReply: (*Instance).reply, abi.OpShutdown: (*Instance).shutdown, abi.OpClose: (*Instance).close,
		abi.OpPoll: (*Instance).poll, abi.OpTimer: (*Instance).timer, abi.OpTimerReset: (*Instance).timerReset, abi.OpLock: (*Instance).lock,
		abi.OpConnect: (*Instance).connect, abi.OpListen: (*Instance).listen, abi.OpConnAccept: (*Instance).connAccept, abi.OpFetch: (*Instance).fetch,
		abi.OpGrant: (*Instance).grant, abi.OpChannel: (*Instance).channel, abi.OpSend: (*Instance).send, abi.OpRecv: (*Instance).recv,
		abi.OpAttenuate: (*Instance).attenuate, abi.OpChannelClose: (*Instance).channelClose,
		abi.OpPublish: (*Instance).publish, abi.OpSubscribe: (*Instance).subscribe, abi.OpDropped: (*Instance).dropped,
	}
	out := [abi.OpGasLeft + 1]function{abi.OpTurn: {serve: serve[abi.OpTurn]}}
	for _, f := range abi.TroupeFunctions {
		e := function{serve: serve[f.Op]}
		for _, c := range f.Params {
			switch c {
			case 'i', 'I', 'o':
				e.nums++
			case 'b':
				e.args++
			}
		}
		out[f.Op] = e
	}
	return out
}()

func refuse(errno uint32) run.Answer { return run.Answer{Errno: errno} }

func answer(errno uint32, nums ...uint64) run.Answer {
	if errno != abi.ErrNone {
		return run.Answer{Errno: errno}
	}
	return run.Answer{Nums: nums}
}

// Call implements run.Calls.
func (i *Instance) Call(ctx context.Context, a run.Ask) run.Answer {
	i.sample(a.Gas, a.MemoryBytes)
	defer i.alone()
	if i.ended.Load() {
		return refuse(abi.ErrClosed)
	}
	if int(a.Op) >= len(functions) || functions[a.Op].serve == nil {
		return refuse(abi.ErrUnknown)
	}
	f := &functions[a.Op]
	size := 0
	for _, b := range a.Args {
		size += len(b)
	}
	if abi.Op(a.Op) != abi.OpTurn && (len(a.Nums) != f.nums || len(a.Args) != f.args) || size > abi.MaxBytes {
		return refuse(abi.ErrParam)
	}
	return f.serve(i, &request{ctx: ctx, nums: a.Nums, args: a.Args, gas: a.Gas})
}

func (i *Instance) turn(r *request) run.Answer {
	if i.cfg.Turn != nil {
		ctx, cancel := i.within(r.ctx, -1)
		defer cancel()
		if i.cfg.Turn.Next(ctx, r.gas) != nil {
			return refuse(abi.ErrClosed)
		}
	}
	return run.Answer{}
}

// notify has the call that waits, or the next that does, try again.
func (i *Instance) notify() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// milliseconds reads a timeout. What would not fit is as long as it takes.
func milliseconds(n int64) time.Duration {
	if n < 0 || n > math.MaxInt64/int64(time.Millisecond) {
		return -1
	}
	return time.Duration(n) * time.Millisecond
}

// wait tries until it is done, at first and each time something of the instance changed.
func (i *Instance) wait(ctx context.Context, timeout int64, try func() (errno uint32, done bool)) uint32 {
	errno, done := try()
	if done {
		return errno
	}
	if timeout == 0 {
		return abi.ErrPending
	}
	defer i.paused(ctx)()
	var over <-chan time.Time
	if d := milliseconds(timeout); d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	for {
		select {
		case <-i.wake:
		case <-over:
			return abi.ErrPending
		case <-i.life.Done():
			return abi.ErrClosed
		case <-ctx.Done():
			return abi.ErrClosed
		}
		if i.ended.Load() || ctx.Err() != nil {
			return abi.ErrClosed
		}
		if errno, done = try(); done {
			return errno
		}
	}
}

// paused gives the processor up for as long as a call waits for something else.
func (i *Instance) paused(ctx context.Context) (resume func()) {
	if i.cfg.Turn == nil {
		return func() {}
	}
	i.cfg.Turn.Pause()
	return func() {
		ctx, cancel := i.within(ctx, -1)
		defer cancel()
		_ = i.cfg.Turn.Resume(ctx) // it fails when the run or the instance ended, which the next call says
	}
}

// within returns a context that ends with the instance and, unless it is below zero, after a timeout in milliseconds.
func (i *Instance) within(ctx context.Context, timeout int64) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if d := milliseconds(timeout); d >= 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	forget := context.AfterFunc(i.life, cancel)
	return ctx, func() { forget(); cancel() }
}

// add gives a resource a handle. It fails when the instance has as many as it may, or ended; then the resource is the caller's.
func (i *Instance) add(r resource) (uint32, uint32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.addLocked(r)
}

func (i *Instance) addLocked(r resource) (handle, errno uint32) {
	if i.ended.Load() {
		return 0, abi.ErrClosed
	}
	if i.fullLocked() {
		return 0, abi.ErrLimited
	}
	for i.last++; i.last == 0 || i.handles[i.last] != nil; i.last++ {
	}
	i.handles[i.last] = r
	return i.last, abi.ErrNone
}

func (i *Instance) fullLocked() bool { return len(i.handles)+i.lingers >= abi.MaxHandles }

func (i *Instance) full() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fullLocked()
}

// Handles is how many handles the guest has open.
func (i *Instance) Handles() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.handles)
}

// give answers with the handle of a resource, or gives it back.
func (i *Instance) give(r resource, more ...uint64) run.Answer {
	h, errno := i.add(r)
	if errno != abi.ErrNone {
		r.release(nil)
		return refuse(errno)
	}
	return answer(abi.ErrNone, append([]uint64{uint64(h)}, more...)...)
}

// get returns what a handle stands for: ErrNotFound if nothing, ErrParam if it is something else.
func get[T any](i *Instance, handle uint32) (T, uint32) {
	i.mu.Lock()
	r := i.handles[handle]
	i.mu.Unlock()
	var none T
	if r == nil {
		return none, abi.ErrNotFound
	}
	t, ok := r.(T)
	if !ok {
		return none, abi.ErrParam
	}
	return t, abi.ErrNone
}

func (i *Instance) close(r *request) run.Answer {
	i.mu.Lock()
	h := i.handles[r.handle(0)]
	delete(i.handles, r.handle(0))
	i.mu.Unlock()
	if h == nil {
		return refuse(abi.ErrNotFound)
	}
	h.release(nil)
	return run.Answer{}
}

// Stop has accept say ErrEOF from now on. Events that wait are closed.
func (i *Instance) Stop() {
	i.mu.Lock()
	i.stopped = true
	left := i.queue
	i.queue = nil
	i.mu.Unlock()
	for _, e := range left {
		e.release(i.notServing())
	}
	i.notify()
}

func (i *Instance) notServing() error {
	return fault.New(fault.GuestNotServing, "calls", i.app.name(), nil)
}

// End takes back all that the instance holds. With nil it ended well: what it wrote to its streams is still sent. Else its events
// are closed with why at once.
func (i *Instance) End(why error) {
	i.mu.Lock()
	if i.ended.Load() {
		i.mu.Unlock()
		return
	}
	i.ended.Store(true)
	i.kill()
	handles, queue := i.handles, i.queue
	i.handles, i.queue, i.answered = nil, nil, nil
	i.mu.Unlock()

	i.Flush()
	if i.cfg.Turn != nil {
		i.cfg.Turn.Leave()
	}
	for _, h := range handles {
		h.release(why)
	}
	if why == nil && len(queue) > 0 {
		why = i.notServing()
	}
	for _, e := range queue {
		e.release(why)
	}
	i.app.mu.Lock()
	delete(i.app.instances, i)
	i.app.mu.Unlock()
}
