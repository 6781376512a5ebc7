package engine

import (
	"slices"
	"time"
)

// A reset brings back the linear memory that a run has changed. There are three ways, and which is the fastest depends on the
// app and on the machine, so the first resets of an app try them. Each of them is right, whatever was learned.
type way uint8

const (
	forgetting way = iota // the kernel drops all pages; each that the next run needs costs a fault
	learned               // pages that runs were seen to change are copied back, and the kernel drops the others
	comparing             // all pages are compared, and copied back where they differ: for small memories
	ways
)

func (w way) String() string { return [...]string{"none", "learned", "all"}[w] }

const (
	windowBytes   = 4 << 20 // as much is looked at after one run while it is learned what runs change
	rounds        = 2       // so many runs are looked at for each window
	tries         = 6       // resets by each way that compete; the first of them is not counted
	mostCompared  = 1 << 20 // bytes of the largest memory that is compared
	mostHot       = 4 << 20 // bytes of the most that is copied back
	nearPages     = 4       // a gap of so many pages is copied sooner than the kernel is asked
	firstRelearn  = 1 << 12 // resets after which it is learned anew; twice as many the next time
	latestRelearn = 1 << 20
)

// span is a range of bytes, in whole pages.
type span struct{ from, to int64 }

// pages resets a linear memory to its base.
type pages struct {
	way  way
	only *way   // for tests: the way that is always taken
	hot  []span // in order; between two of them is more than nearPages
	seen []int64

	step     int // of learning and of trying; see next
	best     [ways]time.Duration
	since    int // resets since it was settled
	relearn  int
	learning int // looks that are left
	trying   bool
}

// relearnFrom begins anew, as for another base.
func (p *pages) restart() {
	*p = pages{only: p.only}
}

// measures reports whether reset wants to know how long the run took.
func (p *pages) measures() bool { return p.trying }

// reset makes memory what it started as. took is how long the run took, if measures said that it counts.
func (p *pages) reset(m *linearMemory, took time.Duration) {
	memory := m.view()
	if p.only != nil {
		p.by(*p.only, m, memory)
		return
	}
	switch {
	case p.step == 0:
		p.step, p.learning, p.seen, p.trying = 1, rounds*windows(memory), p.seen[:0], false
		fallthrough
	case p.learning > 0:
		p.learning--
		p.look(m.base, memory, p.learning%windows(memory))
		m.forget(0, int64(len(memory)))
		if p.learning == 0 {
			p.hot = spans(p.seen, int64(len(memory)))
			p.begin(memory)
		}
	case p.trying:
		begin := time.Now()
		p.by(p.way, m, memory)
		p.score(memory, took+time.Since(begin))
	default:
		p.by(p.way, m, memory)
		if p.since++; p.since >= p.relearn {
			p.step = 0
		}
	}
}

func windows(memory []byte) int { return max((len(memory)+windowBytes-1)/windowBytes, 1) }

// look notes what differs in a window.
func (p *pages) look(b *base, memory []byte, window int) {
	from := int64(window) * windowBytes
	for at := from; at < min(from+windowBytes, int64(len(memory))); at += pageBytes {
		if !b.same(memory[at:at+pageBytes], at) {
			p.seen = append(p.seen, at)
		}
	}
}

// spans joins pages to ranges.
func spans(pages []int64, size int64) (out []span) {
	slices.Sort(pages)
	for _, at := range pages {
		if n := len(out); n > 0 && at <= out[n-1].to+nearPages*pageBytes {
			out[n-1].to = max(out[n-1].to, at+pageBytes)
		} else {
			if at <= nearPages*pageBytes {
				at = 0
			}
			out = append(out, span{at, min(at+pageBytes, size)})
		}
	}
	for i := range out { // the first may have begun with less than its page
		out[i].to = min(max(out[i].to, out[i].from+pageBytes), size)
	}
	return out
}

// begin lets the ways compete that make sense for a memory.
func (p *pages) begin(memory []byte) {
	p.trying, p.step, p.since = true, 1, 0
	p.best = [ways]time.Duration{}
	p.way = forgetting
	if p.relearn = min(max(2*p.relearn, firstRelearn), latestRelearn); len(memory) == 0 {
		p.trying = false
	}
}

func (p *pages) sensible(w way, memory []byte) bool {
	switch w {
	case learned:
		var n int64
		for _, s := range p.hot {
			n += s.to - s.from
		}
		return n > 0 && n <= mostHot
	case comparing:
		return len(memory) <= mostCompared
	}
	return true
}

// score counts a try, and goes on to the next way or settles.
func (p *pages) score(memory []byte, took time.Duration) {
	if p.step > 1 && (p.best[p.way] == 0 || took < p.best[p.way]) {
		p.best[p.way] = took
	}
	if p.step++; p.step <= tries {
		return
	}
	p.step = 1
	for p.way++; p.way < ways && !p.sensible(p.way, memory); p.way++ {
	}
	if p.way < ways {
		return
	}
	p.trying, p.way = false, forgetting
	for w := range ways {
		if p.best[w] > 0 && p.best[w] < p.best[p.way] {
			p.way = w
		}
	}
}

// by resets in one way.
func (p *pages) by(w way, m *linearMemory, memory []byte) {
	size := int64(len(memory))
	switch w {
	case learned:
		at := int64(0)
		for _, s := range p.hot {
			s.to = min(s.to, size)
			if s.from >= s.to {
				continue
			}
			m.forget(at, s.from)
			m.base.restore(memory[s.from:s.to], s.from)
			at = s.to
		}
		m.forget(at, size)
	case comparing:
		for at := int64(0); at < size; at += pageBytes {
			if page := memory[at : at+pageBytes]; !m.base.same(page, at) {
				m.base.restore(page, at)
			}
		}
	default:
		m.forget(0, size)
	}
}
