package cache

import (
	"fmt"
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
// preparations and runs, with crashes of the cache, and with an inbox of one. Every request gets one answer, and no two
// preparations of one artifact that anybody waits for are under way at a time.
func TestSimulation(t *testing.T) {
	for _, inbox := range []int{1, 64} {
		sim.Explore(t, sim.Options{Seeds: 400, Rate: 0.15}, func(w *sim.World) sim.Check { return world(w, inbox) })
	}
}

func world(w *sim.World, inbox int) sim.Check {
	const clients, each = 3, 6
	answered, id := 0, uint64(0)
	disk := map[artifacts.Key]artifacts.Meta{}
	compiling := map[artifacts.Key]map[uint64]bool{}
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
				m := prepared{key: k, gen: e.Gen, outcome: prepare.Outcome{Meta: artifacts.Meta{Key: k, Module: module, PreparedAt: s.Now()}}}
				if f != nil {
					m.outcome = prepare.Outcome{Fault: fault.New(fault.HostSpawnFailed, "", "", nil)}
				}
				return m
			})
		case CancelPrepare:
			for _, m := range compiling { // the real queue kills the worker; here it only stops to count
				delete(m, e.Job)
			}
		case StorePut:
			ok := s.Err() == nil
			s.Go(time.Millisecond, func() any {
				if ok {
					disk[e.Meta.Key] = e.Meta
				}
				return stored{key: e.Meta.Key, gen: e.Gen, disk: ok}
			})
		case Delete:
			for _, k := range e.Keys {
				delete(disk, k)
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
		case Reply:
			if e.Err != nil {
				e.To.Fail(e.Err)
			} else {
				e.To.Answer(e.Answer)
			}
		}
	}
	// A new incarnation begins with the index of the store; what the old one had begun is over.
	incarnation := func() sim.Core[Message, Effect] {
		clear(compiling)
		s := NewState(Limits{})
		var entries []Entry
		for n := range byte(3) {
			if m, ok := disk[artifacts.Key{n}]; ok {
				entries = append(entries, Entry{Key: m.Key, Meta: m})
			}
		}
		s.Step(w.Now(), indexed{entries: entries})
		return s
	}
	sim.Add(w, "cache", sim.Node[Message, Effect]{
		New: incarnation, Do: do, Crashes: true, Inbox: inbox,
		Faults: func(e Effect) sim.Kind {
			switch e.(type) {
			case StartPrepare, StorePut, StartExecute:
				return sim.Fail | sim.Delay
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
				r := Request{ID: id, Kind: Kind(1 + s.Rand().IntN(3)), Key: artifacts.Key{byte(s.Rand().IntN(3))}, Priority: run.Priority(1 + s.Rand().IntN(4)),
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
		Always: func() error { return broken },
		AtEnd: func() error {
			if answered != clients*each {
				return fmt.Errorf("%d of %d requests were answered", answered, clients*each)
			}
			return nil
		},
	}
}
