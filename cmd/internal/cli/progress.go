package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/troupehost/troupe/host/control/api"
)

const (
	progressAfter = 300 * time.Millisecond
	progressEvery = 100 * time.Millisecond
)

// progress tells on stderr what a long call is doing.
type progress struct {
	w     io.Writer
	lines bool // one line per stage, instead of one that changes
	json  bool // these lines are objects
	start time.Time
	quit  chan struct{}
	event func(api.Progress) // nil: nobody looks

	mu      sync.Mutex
	stage   string
	told    string // the last stage that was printed as a line
	drawn   bool   // something stands on the terminal's line
	stopped bool
}

// startProgress begins with the stage "starting"; stop must be called.
func (a *app) startProgress() *progress {
	p := &progress{w: a.err, start: time.Now(), stage: "starting", quit: make(chan struct{})}
	a.live = p
	switch {
	case a.quiet, a.progress.value == "none", a.progress.value == "auto" && (!a.errTerminal || a.verbose):
		p.stopped = true
		return p
	case a.progress.value != "auto":
		p.lines, p.json = true, a.progress.value == "json"
	}
	p.event = p.set
	go p.draw()
	return p
}

func (p *progress) set(ev api.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ev.Stage != "" {
		p.stage = ev.Stage
	}
}

func (p *progress) draw() {
	next := time.NewTimer(progressAfter)
	defer next.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-next.C:
		}
		p.print()
		next.Reset(progressEvery)
	}
}

func (p *progress) print() {
	p.mu.Lock()
	defer p.mu.Unlock()
	elapsed := time.Since(p.start).Round(100 * time.Millisecond)
	switch {
	case p.stopped:
	case !p.lines:
		fmt.Fprintf(p.w, "\r\x1b[K%s %.1fs", p.stage, elapsed.Seconds())
		p.drawn = true
	case p.told != p.stage:
		p.told = p.stage
		if p.json {
			_ = json.NewEncoder(p.w).Encode(staged{p.stage, elapsed.Microseconds()})
			return
		}
		fmt.Fprintf(p.w, "%s %.1fs\n", p.stage, elapsed.Seconds())
	}
}

// staged is a line of --progress json.
type staged struct {
	Stage         string `json:"stage"`
	ElapsedMicros int64  `json:"elapsed_us"`
}

func (p *progress) wipeLocked() {
	if p.drawn {
		_, _ = io.WriteString(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// above writes a line that stays, above the one that changes.
func (p *progress) above(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipeLocked()
	_, _ = io.WriteString(p.w, line)
}

// stop wipes the line. It may be called again.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipeLocked()
	if !p.stopped {
		p.stopped = true
		close(p.quit)
	}
}

// over returns w such that the guest's first output ends the progress.
func (p *progress) over(w io.Writer) io.Writer { return stopFirst{p, w} }

// before returns r such that the guest's first look at its input ends the progress, which would wipe what is typed.
func (p *progress) before(r io.Reader) io.Reader { return stopReader{p, r} }

type stopReader struct {
	p *progress
	r io.Reader
}

func (s stopReader) Read(b []byte) (int, error) {
	s.p.stop()
	return s.r.Read(b)
}

// line knows whether what the guest wrote has ended its line, since what is told after it begins one.
type line struct{ open bool }

func (l *line) of(w io.Writer) io.Writer { return lineWriter{l, w} }

type lineWriter struct {
	l *line
	w io.Writer
}

func (w lineWriter) Write(b []byte) (int, error) {
	if len(b) > 0 {
		w.l.open = b[len(b)-1] != '\n'
	}
	return w.w.Write(b)
}

type stopFirst struct {
	p *progress
	w io.Writer
}

func (s stopFirst) Write(b []byte) (int, error) {
	s.p.stop()
	return s.w.Write(b)
}
