package cli

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"path/filepath"
	"sync"

	"github.com/troupehost/troupe/cmd/internal/tui"
)

const (
	mostPrinted = 1000     // lines of a program that are kept
	maxLine     = 16 << 10 // bytes of one; the rest is the next line
	leftLines   = 20       // that stay on the terminal when the console has gone
)

// printedLines keeps the last lines that are written to it.
type printedLines struct {
	mu    sync.Mutex
	lines []string
	open  []byte // what came since the last end of a line
	count uint64 // of writes
}

func (p *printedLines) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	for rest := b; len(rest) > 0; {
		l, after, ended := bytes.Cut(rest, []byte("\n"))
		if room := maxLine - len(p.open); len(l) > room {
			l, after, ended = rest[:room], rest[room:], true
		}
		if p.open = append(p.open, l...); ended {
			p.lines, p.open = append(p.lines, string(p.open)), p.open[:0]
		}
		rest = after
	}
	if over := len(p.lines) - mostPrinted; over > 0 {
		p.lines = append([]string{}, p.lines[over:]...)
	}
	return len(b), nil
}

// last returns the lines, that which is not ended among them, and a number that grows with them.
func (p *printedLines) last() ([]string, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := append([]string{}, p.lines...)
	if len(p.open) > 0 {
		lines = append(lines, string(p.open))
	}
	return lines, p.count
}

// devConsole is dev with the console of its host: what would be printed is shown there. Whichever ends first ends the other.
func (a *app) devConsole(ctx context.Context, f *devFlags, path string, args []string) error {
	printed := &printedLines{}
	b := *a
	b.in, b.inTerminal = bytes.NewReader(nil), false // the keys are for the console
	b.out, b.err, b.outTerminal, b.errTerminal = &sink{w: printed}, printed, false, false
	ctx, end := context.WithCancel(ctx)
	defer end()
	hosts := make(chan *node, 1)
	ended := make(chan error, 1)
	go func() { ended <- b.devSeen(ctx, f, path, args, func(n *node) { hosts <- n }) }()
	var n *node
	select {
	case err := <-ended: // what cannot be meant, or no host
		return err
	case n = <-hosts:
	}
	opts := a.consoleOptions(a.in.(*os.File), false)
	opts.Source, opts.Verbs = n.Client, a.verbNames()
	opts.RunVerb = func(ctx context.Context, words []string) (string, int) { return a.verbInside(ctx, words, n) }
	opts.Program, opts.Printed = filepath.Base(path), printed.last
	shown, hide := context.WithCancel(ctx)
	defer hide()
	var err error
	failed := make(chan struct{})
	go func() { // a host that ends by itself takes the console with it
		defer close(failed)
		err = <-ended
		hide()
	}()
	seen := tui.Run(shown, opts)
	if shown.Err() != nil {
		seen = nil // it was ended
	}
	end()
	<-failed
	lines, _ := printed.last()
	for _, l := range lines[max(0, len(lines)-leftLines):] {
		_, _ = a.out.Write([]byte(harmless(l) + "\n"))
	}
	return cmp.Or(err, seen)
}
