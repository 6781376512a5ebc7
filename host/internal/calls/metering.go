package calls

import (
	"context"
	"math"
	"math/bits"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/meter"
)

// What is counted beside the bytes of a stream.
const (
	connectPlain = 512  // egress when it starts, ingress when it is there
	connectTLS   = 4096 // the same with TLS
	acceptPlain  = 128  // ingress
	shutdownCost = 128  // egress
)

const maxMemory = 4 << 30 // bytes of a linear memory, whatever a worker says

const flushEvery = 100 * time.Millisecond // that use is passed on at least, while a guest asks for anything

// integral is a size over time.
type integral struct {
	at    time.Time
	bytes int64
}

// take returns the bytes times milliseconds since it was taken last, at the size of then. Parts of a millisecond are kept.
func (n *integral) take(now time.Time, bytes int64) meter.Uint128 {
	var sum meter.Uint128
	if ms := now.Sub(n.at).Milliseconds(); ms > 0 {
		sum.Hi, sum.Lo = bits.Mul64(uint64(ms), uint64(n.bytes))
		n.at = n.at.Add(time.Duration(ms) * time.Millisecond)
	}
	n.bytes = max(bytes, 0)
	return sum
}

func add64(a *uint64, b uint64) {
	sum, carry := bits.Add64(*a, b, 0)
	if carry != 0 {
		sum = math.MaxUint64
	}
	*a = sum
}

func add128(a *meter.Uint128, b meter.Uint128) {
	lo, carry := bits.Add64(a.Lo, b.Lo, 0)
	hi, carry := bits.Add64(a.Hi, b.Hi, carry)
	if carry != 0 {
		lo, hi = math.MaxUint64, math.MaxUint64
	}
	a.Lo, a.Hi = lo, hi
}

// used is what an instance used and its Meter was not told yet.
type used struct {
	mu      sync.Mutex
	use     meter.Use
	gas     int64 // of the run, as it was said last
	memory  integral
	alone   bool   // the guest works by itself: nobody knows the size of its memory until it asks or ends
	unsure  uint64 // milliseconds that were counted meanwhile, at the size of before
	flushed time.Time
}

func (u *used) begin(now time.Time) { u.memory.at, u.flushed = now, now }

// sample takes what the worker says of the run. Gas never goes back.
func (i *Instance) sample(gas, memory int64) {
	now := i.app.s.cfg.Now()
	u := &i.used
	u.mu.Lock()
	if gas > u.gas {
		add64(&u.use.Gas, uint64(gas-u.gas))
		u.gas = gas
	}
	u.held(now, min(memory, maxMemory))
	u.alone = false
	flush := now.Sub(u.flushed) >= flushEvery
	u.mu.Unlock()
	if flush {
		i.Flush()
	}
}

// held counts memory until now. Memory never shrinks, so a size that was not known is that of all the time since the guest was on
// its own: what it held between two questions it cannot hide by asking before and not after.
func (u *used) held(now time.Time, bytes int64) {
	if u.alone {
		if ms := now.Sub(u.memory.at).Milliseconds(); ms > 0 {
			u.unsure += uint64(ms)
		}
	}
	old := u.memory.bytes
	add128(&u.use.MemoryUsed, u.memory.take(now, max(bytes, old)))
	if more := u.memory.bytes - old; more > 0 && u.unsure > 0 {
		var sum meter.Uint128
		sum.Hi, sum.Lo = bits.Mul64(u.unsure, uint64(more))
		add128(&u.use.MemoryUsed, sum)
		u.unsure = 0
	}
}

// alone has the guest work by itself again.
func (i *Instance) alone() {
	now := i.app.s.cfg.Now()
	u := &i.used
	u.mu.Lock()
	defer u.mu.Unlock()
	u.held(now, 0)
	u.alone, u.unsure = true, 0
}

// count adds to what was used.
func (i *Instance) count(add func(u *meter.Use)) {
	i.used.mu.Lock()
	defer i.used.mu.Unlock()
	add(&i.used.use)
}

func (i *Instance) ingress(n int) { i.count(func(u *meter.Use) { add64(&u.Ingress, uint64(n)) }) }
func (i *Instance) egress(n int)  { i.count(func(u *meter.Use) { add64(&u.Egress, uint64(n)) }) }

// Flush passes on what was used until now, the time that the guest's memory and the app's storage were held included.
func (i *Instance) Flush() {
	if i.cfg.Meter == nil {
		return
	}
	stored := i.app.Stored().StorageUsed
	now := i.app.s.cfg.Now()
	u := &i.used
	u.mu.Lock()
	u.held(now, 0)
	add128(&u.use.StorageUsed, stored)
	use := u.use
	u.use, u.flushed = meter.Use{}, now
	u.mu.Unlock()
	if use != (meter.Use{}) {
		i.cfg.Meter.Add(use)
	}
}

// Finish says what the run had used when it ended, which its last ask does not know. It comes before End.
// Memory of a guest that never asked is for others to count: nobody here knows when it began.
func (i *Instance) Finish(gas, memory int64) {
	i.used.mu.Lock()
	asked := i.used.alone
	i.used.mu.Unlock()
	if !asked {
		memory = 0
	}
	i.sample(gas, memory)
}

// commit returns when all that was used is written: what the guest answers leaves the host after that.
func (i *Instance) commit(ctx context.Context) error {
	i.Flush()
	if i.cfg.Meter == nil {
		return nil
	}
	return i.cfg.Meter.Commit(ctx)
}
