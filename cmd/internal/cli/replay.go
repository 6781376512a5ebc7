package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/record"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/bundle"
)

// replayFlags are the flags of 'replay'.
type replayFlags struct {
	actor string
	step  bool
}

func (a *app) replayVerb() verb {
	f := &replayFlags{}
	return verb{
		use: "replay [flags] FILE", short: "Run what actors were given through their code again, and compare what they did",
		long: `FILE is a bundle of a host that records: see 'troupe serve --record'. Each actor begins with the state that it had, and is given the
same inputs at the same times; what it does must be the same, byte for byte. No host is needed, and nothing is touched. With
--step each input is shown with its effects and the state after it: on a terminal one by one, where Enter goes on and q ends. -o json
has no steps; -o jsonl with --step has nothing else.`,
		examples: []string{
			"troupe replay host.bundle", "how many inputs of each actor, and the first difference",
			"troupe replay --step --actor troupe/jobs host.bundle", "go through what one was given",
		},
		rows:  true,
		exits: []int{exitOK, exitOther, exitUsage, exitNotFound, exitDenied, exitCanceled, exitSome, exitBug}, args: exactly(1, "one file"),
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&f.actor, "PATH"}, "actor", "only this actor and those below it (default all)")
			fs.BoolVar(&f.step, "step", false, "show each input, and what came of it")
		},
		run: func(ctx context.Context, args []string) error {
			ctx, stop := a.untilInterrupt(ctx)
			defer stop()
			if f.step && a.format.value == formJSON {
				return usage("--step with -o json", "steps are many: pass -o jsonl")
			}
			return a.replay(ctx, f, args[0])
		},
	}
}

// replayed is what came of a replay. Its JSON form is a contract.
type replayed struct {
	Build   string          `json:"build_id"` // that recorded
	Steps   uint64          `json:"inputs"`
	Actors  []replayedActor `json:"actors"`
	Skipped []string        `json:"skipped,omitempty"` // their code is not known here
	Stopped bool            `json:"stopped,omitempty"` // before the end, as asked
}

type replayedActor struct {
	Path        string            `json:"path"`
	Steps       uint64            `json:"inputs"`
	Equal       bool              `json:"equal"`
	Differences []replayDifferent `json:"differences,omitempty"` // the first of each stretch
}

type replayDifferent struct {
	Incarnation uint64 `json:"incarnation"`
	Step        uint64 `json:"step"`
	Input       string `json:"input"`
	What        string `json:"what"` // effects, panic, state, recording
	Want        string `json:"recorded"`
	Got         string `json:"now"`
}

// replayedStep is one input. Its JSON form is a contract.
type replayedStep struct {
	Path        string    `json:"path"`
	Incarnation uint64    `json:"incarnation"`
	N           uint64    `json:"step"`
	At          time.Time `json:"at"`
	Input       string    `json:"input"`
	Effects     []string  `json:"effects"`
	Panic       string    `json:"panic,omitempty"`
	State       string    `json:"state,omitempty"` // what stands for it; "": it cannot be told
}

// errStopped ends a replay at the wish of whoever looks at it.
var errStopped = errors.New("enough")

func (a *app) replay(ctx context.Context, f *replayFlags, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fileError(path, err)
	}
	defer file.Close()
	// Nothing of a file counts before all of it is verified, so it is read twice.
	if err := bundle.ReadRecording(file, io.Discard); err != nil {
		if errors.Is(err, fault.CallerNotFound) {
			err = fault.New(fault.CallerNotFound, "replay", fault.Quote(path), errors.New("there is no recording in it")).WithHint("record first: 'troupe serve --record 64MiB', then 'troupe node snapshot'")
		}
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fileError(path, err)
	}
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.CloseWithError(bundle.ReadRecording(file, w))
	}()
	defer func() { _ = r.Close(); <-ended }()

	s := &stepper{a: a, f: f, ctx: ctx, known: map[string]int{}}
	if in, ok := a.in.(*os.File); ok && f.step && !a.json() && a.outTerminal && isTerminal(in) {
		s.lines = bufio.NewReader(in)
	}
	rep, err := record.Replay(r, host.Recorded(), s.each)
	if s.out.Stopped = errors.Is(err, errStopped); err != nil && !s.out.Stopped {
		return err
	}
	s.finish(rep)
	return s.print(path)
}

// stepper counts and shows what a replay goes through.
type stepper struct {
	a     *app
	f     *replayFlags
	ctx   context.Context
	lines *bufio.Reader // of who goes step by step; nil: nobody
	known map[string]int
	out   replayed
}

func (s *stepper) wanted(path string) bool {
	return s.f.actor == "" || path == s.f.actor || strings.HasPrefix(path, strings.TrimSuffix(s.f.actor, "/")+"/")
}

// of returns the row of an actor.
func (s *stepper) of(path string) *replayedActor {
	i, ok := s.known[path]
	if !ok {
		i = len(s.out.Actors)
		s.known[path] = i
		s.out.Actors = append(s.out.Actors, replayedActor{Path: path, Equal: true})
	}
	return &s.out.Actors[i]
}

func (s *stepper) each(x record.Step) error {
	if s.ctx.Err() != nil {
		return fault.From(context.Cause(s.ctx))
	}
	if !s.wanted(x.Path) {
		return nil
	}
	s.of(x.Path).Steps++
	s.out.Steps++
	if !s.f.step {
		return nil
	}
	if s.a.json() {
		effects := x.Effects
		if effects == nil {
			effects = []string{}
		}
		s.a.printRow(replayedStep{x.Path, x.Incarnation, x.N, x.At.UTC(), x.Input, effects, x.Panicked, x.State}, fmt.Sprintf("%s#%d", x.Path, x.N))
	} else {
		s.a.printStep(x)
	}
	if s.a.out.err != nil {
		return s.a.out.err
	}
	return s.wait()
}

// printStep tells people of one input.
func (a *app) printStep(x record.Step) {
	fmt.Fprintf(a.out, "%s  incarnation %d  step %d  %s\n  given  %s\n", oneLine(x.Path), x.Incarnation, x.N, x.At.UTC().Format("15:04:05.000000"), oneLine(x.Input))
	for _, e := range x.Effects {
		fmt.Fprintf(a.out, "  does   %s\n", oneLine(e))
	}
	if x.Panicked != "" {
		fmt.Fprintf(a.out, "  panics %s\n", oneLine(x.Panicked))
	}
	if x.State != "" {
		fmt.Fprintf(a.out, "  state  %s\n", oneLine(x.State))
	}
}

// wait waits for Enter, if there is somebody to press it.
func (s *stepper) wait() error {
	if s.lines == nil {
		return nil
	}
	_, _ = io.WriteString(s.a.err, "Enter: the next, q: the end ")
	type line struct {
		text string
		err  error
	}
	said := make(chan line, 1)
	go func() {
		text, err := s.lines.ReadString('\n')
		said <- line{text, err}
	}()
	select {
	case <-s.ctx.Done():
		return fault.From(context.Cause(s.ctx))
	case l := <-said:
		if l.err != nil || strings.EqualFold(strings.TrimSpace(l.text), "q") {
			return errStopped
		}
	}
	return nil
}

// finish adds what the replay has found.
func (s *stepper) finish(rep record.Report) {
	s.out.Build = fault.Quote(rep.Build)
	for _, d := range rep.Differences {
		if !s.wanted(d.Path) {
			continue
		}
		x := s.of(d.Path)
		x.Equal = false
		x.Differences = append(x.Differences, replayDifferent{d.Incarnation, d.Step, d.Input, d.What, d.Want, d.Got})
	}
	for _, path := range rep.Skipped {
		if s.wanted(path) {
			s.out.Skipped = append(s.out.Skipped, path)
		}
	}
}

func (s *stepper) print(path string) error {
	a, out := s.a, s.out
	if len(out.Actors)+len(out.Skipped) == 0 && s.f.actor != "" && !out.Stopped {
		return fault.New(fault.CallerNotFound, "replay", fault.Quote(s.f.actor), errors.New("no such actor was recorded")).WithHint("without --actor all are shown: 'troupe replay " + fault.Quote(path) + "'")
	}
	different := false
	for _, x := range out.Actors {
		different = different || !x.Equal
	}
	switch {
	case a.json() && s.f.step: // the steps were all
	case a.json():
		printRows(a, out, out.Actors, func(x replayedActor) string { return x.Path })
	default:
		a.printReplayed(out)
	}
	if different || len(out.Skipped) > 0 {
		if different && a.json() && s.f.step {
			a.note("some differ: see without --step")
		}
		return exit{code: exitSome}
	}
	return nil
}

func (a *app) printReplayed(out replayed) {
	width := 0
	for _, x := range out.Actors {
		width = max(width, len(x.Path))
	}
	for _, x := range out.Actors {
		verdict := "equal"
		if !x.Equal {
			verdict = "differs"
		}
		fmt.Fprintf(a.out, "%-*s  %s  %s\n", width, oneLine(x.Path), counted(int(min(x.Steps, 1<<53)), "input"), verdict)
		for _, d := range x.Differences {
			fmt.Fprintf(a.out, "  incarnation %d, step %d, given %s: %s\n    recorded  %s\n    now       %s\n", d.Incarnation, d.Step, oneLine(d.Input), oneLine(d.What), oneLine(d.Want), oneLine(d.Got))
		}
	}
	for _, path := range out.Skipped {
		fmt.Fprintf(a.out, "%s  skipped: its code is not known here\n", oneLine(path))
	}
	fmt.Fprintf(a.out, "%s, %s, recorded by build %s\n", counted(len(out.Actors), "actor"), counted(int(min(out.Steps, 1<<53)), "input"), oneLine(short(out.Build)))
	if out.Stopped {
		a.note("it was ended before all was seen")
	}
}
