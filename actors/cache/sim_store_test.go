package cache

import (
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/sim"
	"github.com/troupehost/troupe/artifacts"
)

const size, limit = 60, 130 // of an artifact, of the store: two of three fit

// disk is the store: operations end in the order in which they began, whatever happens to those who began them.
type disk struct {
	w         *sim.World
	artifacts map[artifacts.Key]int64
	memory    map[artifacts.Key]bool
	pins      map[artifacts.Key][]string
	failures  map[artifacts.Key]artifacts.Failure
	metas     map[artifacts.Key]artifacts.Meta
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
			m.entries = append(m.entries, Entry{Key: k, Bytes: b, Pins: slices.Clone(d.pins[k]), LastNeeded: d.w.Now(), Meta: d.metas[k]})
		} else if f, ok := d.failures[k]; ok {
			m.entries = append(m.entries, Entry{Key: k, Failure: &f, LastNeeded: f.At, Pins: slices.Clone(d.pins[k])})
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
			d.memory[e.Meta.Key], d.metas[e.Meta.Key] = true, e.Meta
			if !failed && !e.MemoryOnly {
				m.bytes = size
				d.artifacts[e.Meta.Key] = size
				delete(d.failures, e.Meta.Key)
			}
			return m
		})
	case StoreFailure:
		d.do(s, func() Message {
			if !failed {
				d.failures[e.Key] = e.Failure
			}
			return done{}
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
				delete(d.failures, g.Key)
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
