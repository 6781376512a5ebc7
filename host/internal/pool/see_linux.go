package pool

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/sandbox"
)

// maxRSSReads bounds the files of /proc that one look at the workers reads. Of more workers, each look reads the next ones.
const maxRSSReads = 128

// Rides returns all runs that execute workers have, by the ids of the runs. Nothing is kept for this: it looks at the rings.
func (p *Pool) Rides() []Ride {
	p.mu.Lock()
	lines := make([]*line, 0, len(p.lines))
	for l := range p.lines {
		lines = append(lines, l)
	}
	p.mu.Unlock()
	var out []Ride
	for _, l := range lines {
		out = l.rides(out)
	}
	slices.SortFunc(out, func(a, b Ride) int { return cmp.Compare(a.Job.Run, b.Job.Run) })
	return out
}

// rides adds the runs of a worker.
func (l *line) rides(out []Ride) []Ride {
	l.mu.Lock()
	defer l.mu.Unlock()
	head := l.headLocked()
	for n, s := range l.queue {
		r := Ride{Job: s.job, Worker: l.x.id, Asked: s.asked, Runs: s == head, Answers: n < l.done, Gas: s.questions.seenGas.Load(), Memory: s.questions.seenMemory.Load()}
		r.Job.Limits = s.limits
		if r.Runs {
			r.CPU = max(0, l.x.proc.cpu()-l.spent)
		}
		out = append(out, r)
	}
	for _, s := range l.waiting {
		out = append(out, Ride{Job: s.job, Worker: l.x.id})
	}
	return out
}

// Preparing returns the ids of the workers that prepare, by job.
func (p *Pool) Preparing() map[uint64]string {
	p.prepares.mu.Lock()
	defer p.prepares.mu.Unlock()
	out := make(map[uint64]string, len(p.prepares.jobs))
	for id, j := range p.prepares.jobs {
		if j.worker != "" {
			out[id] = j.worker
		}
	}
	return out
}

// isWith notes which worker has a preparation.
func (p *preparations) isWith(j *preparation, worker string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j.worker = worker
}

// Kill kills a worker, as if it died of itself. What it runs is suspect.
//
// # Errors
//
// caller.not_found.
func (p *Pool) Kill(id string) error {
	w := p.find(id)
	if w == nil {
		return noWorker(id)
	}
	w.proc.kill()
	return nil
}

// Retire ends a worker that belongs to nobody yet, and reports whether it is one.
//
// # Errors
//
// caller.not_found.
func (p *Pool) Retire(id string) (was bool, err error) {
	w := p.find(id)
	if w == nil {
		return false, noWorker(id)
	}
	if !p.spares.remove(w) {
		return false, nil
	}
	w.bury()
	return true, nil
}

func (p *Pool) find(id string) *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.workers {
		if w.id == id {
			return w
		}
	}
	return nil
}

func noWorker(id string) *fault.Error {
	return fault.New(fault.CallerNotFound, "worker", fault.Quote(id), nil).WithHint("'troupe worker list' shows what is there")
}

// Look is what Workers returns, with what each worker uses now.
func (p *Pool) Look() []inspect.Worker {
	p.mu.Lock()
	all := make([]*worker, 0, len(p.workers))
	for w := range p.workers {
		all = append(all, w)
	}
	first := p.looked
	p.looked++
	p.mu.Unlock()
	slices.SortFunc(all, func(a, b *worker) int { return cmp.Or(a.born.Compare(b.born), cmp.Compare(a.id, b.id)) })
	execute, prepare := p.facts.defences(p.facts.Sandbox), p.facts.defences(p.facts.Prepare)
	out := make([]inspect.Worker, 0, len(all))
	for n, w := range all {
		v := w.snapshot()
		v.BuildID, v.CPUMicros = p.facts.BuildID, w.proc.cpu().Microseconds()
		parts := max(1, (len(all)+maxRSSReads-1)/maxRSSReads)
		if n%parts == first%parts {
			w.proc.weigh()
		}
		v.RSSBytes = w.proc.weight()
		if v.Defences = execute; w.kind != kindExecute {
			v.Defences = prepare
		}
		out = append(out, v)
	}
	return out
}

// weigh reads how much memory the child has.
func (p *process) weigh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/statm")
	if f := strings.Fields(string(b)); err == nil && len(f) > 1 {
		pages, _ := strconv.ParseInt(f[1], 10, 64)
		p.rss = pages * int64(os.Getpagesize())
	}
}

// weight is what the last look at its memory said.
func (p *process) weight() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rss
}

// defences says of each layer whether it holds in workers that are confined by level.
func (f *Facts) defences(level string) []inspect.Layer {
	held := strings.Split(level, "+")
	out := make([]inspect.Layer, 0, len(sandbox.Layers()))
	for _, name := range sandbox.Layers() {
		l := inspect.Layer{Name: name, Held: slices.Contains(held, name), Optional: sandbox.Optional(name), State: "held"}
		if !l.Held {
			l.State, l.Why = "off", "workers of this kind do without"
			for _, g := range f.Gaps {
				if g.Layer == name {
					l.State, l.Why, l.Hint = "refused", g.Why, g.Hint
				}
			}
		}
		out = append(out, l)
	}
	return out
}
