package cache

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sim"
	"github.com/troupehost/troupe/artifacts"
)

// client asks again and again, for one of three codes and in one of three ways.
type client struct{ left int }

type turn struct{}

func (c *client) Step(time.Time, any) []any {
	if c.left == 0 {
		return nil
	}
	c.left--
	return []any{turn{}}
}

// TestSimulation runs the core of the cache with models of the store and of both queues, in random orders, with failing
// preparations, runs, writes and removals, with operators, with crashes of the cache, and with an inbox of one. Everything
// gets one answer; no two preparations of one artifact that anybody waits for are under way at a time; the disk is never
// over its limit; and in the end the table accounts for each byte on it.
func TestSimulation(t *testing.T) {
	for _, inbox := range []int{1, 64} {
		sim.Explore(t, sim.Options{Seeds: 1000, Rate: 0.15}, func(w *sim.World) sim.Check { return world(w, inbox) })
	}
}

const size, limit = 60, 130 // of an artifact, of the store: two of three fit

// disk is the store: operations end in the order in which they began, whatever happens to those who began them.
type disk struct {
	w         *sim.World
	artifacts map[artifacts.Key]int64
	memory    map[artifacts.Key]bool
	pins      map[artifacts.Key][]string
	pending   []func()
	free      time.Time // when the last of them ends
	stuck     bool      // a removal failed
}

func (d *disk) do(s *sim.Shell, op func() Message) {
	d.free = later(d.free, s.Now()).Add(time.Duration(1+s.Rand().IntN(5)) * time.Millisecond)
	var m Message
	once := sync.OnceFunc(func() { m = op() })
	d.pending = append(d.pending, once)
	d.w.At(d.free.Sub(s.Now()), once)
	s.Go(d.free.Sub(s.Now()), func() any { once(); return m })
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (d *disk) bytes() (n int64) {
	for _, b := range d.artifacts {
		n += b
	}
	return n
}

// index ends what is under way, as the shell does before it reads the index.
func (d *disk) index() indexed {
	for _, op := range d.pending {
		op()
	}
	d.pending = nil
	var m indexed
	for n := range byte(3) {
		k := artifacts.Key{n}
		if b, ok := d.artifacts[k]; ok {
			m.entries = append(m.entries, Entry{Key: k, Bytes: b, Pins: slices.Clone(d.pins[k]), LastNeeded: d.w.Now(), Meta: artifacts.Meta{Key: k, Parts: []artifacts.Part{{Bytes: size}}}})
		} else if len(d.pins[k]) > 0 {
			m.entries = append(m.entries, Entry{Key: k, Absent: true, Pins: slices.Clone(d.pins[k])})
		}
	}
	return m
}

// perform carries out the effects that go to the store.
func (d *disk) perform(s *sim.Shell, e Effect) {
	failed := s.Err() != nil
	switch e := e.(type) {
	case StorePut:
		d.do(s, func() Message {
			m := stored{key: e.Meta.Key, gen: e.Gen}
			d.memory[e.Meta.Key] = true
			if !failed && !e.MemoryOnly {
				m.bytes = size
				d.artifacts[e.Meta.Key] = size
			}
			return m
		})
	case StoreAgain:
		d.do(s, func() Message {
			m := stored{key: e.Key, gen: e.Gen}
			if !d.memory[e.Key] {
				m.err = fault.New(fault.HostArtifactMissing, "", "", nil)
			} else if !failed {
				m.bytes = size
				d.artifacts[e.Key] = size
			}
			return m
		})
	case Describe:
		s.Go(time.Millisecond, func() any {
			m := described{key: e.Key, gen: e.Gen, meta: artifacts.Meta{Key: e.Key, Module: module}}
			if failed || d.artifacts[e.Key] == 0 && !d.memory[e.Key] {
				m.err = fault.New(fault.HostArtifactMissing, "", "", nil)
			}
			return m
		})
	case Delete:
		d.do(s, func() Message {
			m := deleted{gone: e.Gone, evict: e.Evict, evicted: e.Evicted, prune: e.Prune, report: e.Report, pruned: e.Pruned}
			for n, g := range e.Gone {
				delete(d.memory, g.Key)
				if failed && n%2 == 0 { // it breaks off
					m.kept = append(m.kept, g.Key)
				} else {
					delete(d.artifacts, g.Key)
				}
			}
			if failed {
				d.stuck, m.err = true, fault.New(fault.BusyDisk, "", "", nil)
			}
			return m
		})
	case StartVerify:
		d.do(s, func() Message {
			m := verified{key: e.Key, gen: e.Gen, reply: e.Reply}
			if failed {
				delete(d.artifacts, e.Key)
				m.err = fault.New(fault.HostArtifactCorrupt, "", "", nil)
			}
			return m
		})
	case StartPin:
		d.do(s, func() Message {
			p := e.Pin
			if failed {
				return pinned{pin: p, err: fault.New(fault.BusyDisk, "", "", nil)}
			}
			d.pins[p.Key] = slices.DeleteFunc(d.pins[p.Key], func(t string) bool { return t == p.Tenant })
			if !p.Off {
				d.pins[p.Key] = append(d.pins[p.Key], p.Tenant)
			}
			return pinned{pin: p}
		})
	}
}

// booting is a core whose index is there before its first message.
type booting struct {
	*State
	index func() indexed
}

func (b booting) Step(now time.Time, in Message) []Effect {
	var out []Effect
	if b.loading {
		out = b.State.Step(now, b.index())
	}
	return append(out, b.State.Step(now, in)...)
}

func world(w *sim.World, inbox int) sim.Check {
	const clients, each = 3, 8
	answered, id, incarnations := 0, uint64(0), uint64(0)
	d := &disk{w: w, artifacts: map[artifacts.Key]int64{}, memory: map[artifacts.Key]bool{}, pins: map[artifacts.Key][]string{}}
	compiling := map[artifacts.Key]map[uint64]bool{}
	var core *State
	var broken error

	do := func(s *sim.Shell, e Effect) {
		switch e := e.(type) {
		case StartPrepare:
			f := s.Err()
			k := e.Job.Key
			if compiling[k] == nil {
				compiling[k] = map[uint64]bool{}
			}
			compiling[k][e.Gen] = true
			if len(compiling[k]) > 1 {
				broken = fmt.Errorf("%d preparations of one artifact", len(compiling[k]))
			}
			s.Go(time.Duration(1+s.Rand().IntN(30))*time.Millisecond, func() any {
				delete(compiling[k], e.Gen)
				m := prepared{key: k, gen: e.Gen, outcome: prepare.Outcome{Meta: artifacts.Meta{Key: k, Module: module, PreparedAt: s.Now(),
					Parts: []artifacts.Part{{Bytes: size}}}}}
				if f != nil {
					m.outcome = prepare.Outcome{Fault: fault.New([]fault.Code{fault.HostSpawnFailed, fault.GuestInvalid}[e.Gen%2], "", "", nil)}
				}
				return m
			})
		case CancelPrepare:
			for _, m := range compiling { // the real queue kills the worker; here it only stops to count
				delete(m, e.Job)
			}
		case StartExecute:
			f := s.Err()
			s.Go(time.Duration(1+s.Rand().IntN(10))*time.Millisecond, func() any {
				var out run.Outcome
				if f != nil {
					out.Fault = fault.New([]fault.Code{fault.HostArtifactCorrupt, fault.SuspectWorkerDied, fault.BusyQueueFull}[int(e.Job.Run)%3], "", "", nil)
				}
				return executed{id: e.Job.Run, outcome: out}
			})
		case Requeue:
			s.Requeue(e.Message)
		case Reply:
			settle(e.To, e.Answer, e.Err)
		case Done:
			settle(e.To, struct{}{}, e.Err)
		case HasPruned:
			settle(e.To, e.Pruned, e.Err)
		case Shown:
			var err error
			if e.Err != nil {
				err = e.Err
			}
			settle(e.To, e.Detail, err)
		default:
			d.perform(s, e)
		}
	}
	sim.Add(w, "cache", sim.Node[Message, Effect]{
		New: func() sim.Core[Message, Effect] {
			clear(compiling)
			incarnations++
			core = NewState(Limits{Policy: artifacts.PrunePolicy{LimitBytes: limit, Age: time.Hour}, Unstored: 1, Descriptions: 200,
				Persist: 5 * time.Millisecond}, incarnations)
			return booting{core, d.index}
		},
		Do: do, Crashes: true, Inbox: inbox,
		Faults: func(e Effect) sim.Kind {
			switch e.(type) {
			case StartPrepare, StorePut, StoreAgain, StartExecute, Delete, StartVerify, StartPin, Describe:
				return sim.Fail
			}
			return 0
		},
	})
	for n := range clients {
		name := fmt.Sprint("client-", n)
		sim.Add(w, name, sim.Node[any, any]{
			New: func() sim.Core[any, any] { return &client{left: each} },
			Do: func(s *sim.Shell, _ any) {
				id++
				k := artifacts.Key{byte(s.Rand().IntN(3))}
				if s.Rand().IntN(3) == 0 {
					operator(s, k, &answered)
					return
				}
				r := Request{ID: id, Kind: Kind(1 + s.Rand().IntN(3)), Key: k, Priority: run.Priority(1 + s.Rand().IntN(4)),
					Budget: loose, Entry: run.Entry{Mode: run.Invoke, Name: "run"}, Limits: run.Limits{}.WithDefaults()}
				leaves := s.Rand().IntN(4) == 0
				sim.Request(s, "cache",
					func(answer func(Answer, error)) any { return Ask{Request: r, Reply: kernel.ReplyFunc(answer)} },
					func(Answer, error) any { answered++; return turn{} })
				if leaves {
					_ = s.Control("cache", Depart{ID: r.ID})
				}
			},
		})
		_ = w.Send("", name, turn{})
	}
	return sim.Check{
		Always: func() error {
			if n := d.bytes(); n > limit && !d.stuck && broken == nil {
				broken = fmt.Errorf("%d bytes on disk", n)
			}
			return broken
		},
		AtEnd: func() error {
			if answered != clients*each {
				return fmt.Errorf("%d of %d requests were answered", answered, clients*each)
			}
			if core.loading {
				return nil
			}
			for k, b := range d.artifacts {
				if e := core.entries[k]; (e == nil || e.bytes != b) && core.leaving[k] == nil {
					return fmt.Errorf("artifact %x is on disk, and the table does not know it", k[:1])
				}
			}
			if n, want := core.total(), d.bytes(); n != want && !d.stuck {
				return fmt.Errorf("the table counts %d bytes, the disk has %d", n, want)
			}
			for k, tenants := range d.pins {
				if len(core.pins[k]) != len(tenants) {
					return fmt.Errorf("pins of %x: %v in the table, %v on disk", k[:1], core.pins[k], tenants)
				}
			}
			var described int64
			for k, e := range core.entries {
				if e.storing || e.describing || e.reserved != 0 || e.inUse != 0 || len(e.waiting)+len(e.toJudge)+len(e.toShow) > 0 {
					return fmt.Errorf("artifact %x is not at rest: %+v", k[:1], e)
				}
				if e.module != nil {
					described += weight(*e.module)
				}
			}
			if described != core.described {
				return fmt.Errorf("%d bytes of descriptions are counted, there are %d", core.described, described)
			}
			if len(core.asks)+len(core.pinning) > 0 {
				return fmt.Errorf("%d asks, %d pins are left", len(core.asks), len(core.pinning))
			}
			return nil
		},
	}
}

func settle[R any](to kernel.Reply[R], r R, err error) {
	if err != nil {
		to.Fail(err)
		return
	}
	to.Answer(r)
}

// operator asks for one thing that operators ask for.
func operator(s *sim.Shell, k artifacts.Key, answered *int) {
	verb := s.Rand().IntN(6)
	if s.Rand().IntN(2) == 0 {
		_ = s.Control("cache", Persist{})
	}
	if verb == 0 {
		sim.Request(s, "cache",
			func(answer func(Pruned, error)) any { return Prune{Reply: kernel.ReplyFunc(answer)} },
			func(Pruned, error) any { *answered++; return turn{} })
		return
	}
	if verb == 1 {
		sim.Request(s, "cache",
			func(answer func(Detail, error)) any { return Show{Key: k, Reply: kernel.ReplyFunc(answer)} },
			func(Detail, error) any { *answered++; return turn{} })
		return
	}
	sim.Request(s, "cache", func(answer func(struct{}, error)) any {
		to := kernel.ReplyFunc(answer)
		switch verb {
		case 2:
			return Verify{Key: k, Reply: to}
		case 3:
			return Evict{Key: k, Reply: to}
		}
		return Pin{Key: k, Tenant: "a", Off: verb == 4, Reply: to}
	}, func(struct{}, error) any { *answered++; return turn{} })
}
