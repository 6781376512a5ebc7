package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

// lines counts the samples of a scrape.
func lines(text string) int {
	n := 0
	for l := range strings.Lines(text) {
		if !strings.HasPrefix(l, "#") {
			n++
		}
	}
	return n
}

// TestLabelsAreBounded feeds words that nobody knows, and a host that is full of text of its guests.
func TestLabelsAreBounded(t *testing.T) {
	s := New()
	everything(s)
	before := write(t, s, busyState())
	hostile := "hostile\n\"{}\x1b"
	state := busyState()
	for n := range 1000 {
		word := fmt.Sprintf("%s%d", hostile, n)
		f := &fault.Error{Class: fault.Class(200), Code: fault.Code(word), Subject: word, Err: errors.New(word)}
		for k := Execute; k <= HeadsUp; k++ {
			s.Answered(k, f)
		}
		s.Refused(f)
		s.Retried(f)
		s.Removed(word, 1, 1)
		s.Executed(run.Priority(n), run.Outcome{Fault: f, Sandbox: word, Usage: run.Usage{Wall: -1}})
		s.Prepared(run.Priority(n), Preparation{Fault: f})
		s.Raised(run.Priority(n), run.Priority(n+1))
		s.WorkerClosed(word)
		s.Spawning(word)
		s.Spawned(word)
		s.Retired(word)
		s.Killed(word, word)
		s.Orphaned(word)
		s.TimedOut(word, word)
		s.Committed(word, time.Second)
		h := &state.Host
		h.Workers = append(h.Workers, inspect.Worker{ID: word, Kind: word, State: word, Tenant: word, Artifact: word, Sandbox: word})
		h.Artifacts = append(h.Artifacts, inspect.Artifact{Key: word, CodeHash: word, State: word, Pins: []string{word}, Fault: word, Message: word})
		h.Queues = append(h.Queues, inspect.Queue{Name: word, Parked: map[string]int{word: 1}})
		h.Queues[0].Preparations = append(h.Queues[0].Preparations, inspect.Preparation{Tenant: word, CodeHash: word})
		h.Queues[0].Parked[word] = 1
		h.Jobs[word] = 1
	}
	after := write(t, s, state)
	// What is new: a reason, a kind and a state "other" where there was none, and the retries of bug.unexpected.
	if was, is := lines(before), lines(after); is > was+10 {
		t.Errorf("%d samples became %d", was, is)
	}
	if strings.Contains(after, "hostile") {
		t.Error("a label has a hostile value")
	}
	if lines(after) > 2000 {
		t.Errorf("%d samples", lines(after))
	}
}

// TestWhatTheHostSaysIsBoundedToo: codes of health and kinds of actors are the host's own words, and there are not many.
func TestWhatTheHostSaysIsBoundedToo(t *testing.T) {
	state := busyState()
	for n := range 1000 {
		word := fmt.Sprintf("word-%d", n)
		state.Host.Health = append(state.Host.Health, inspect.Health{Code: word}, inspect.Health{Code: word})
		state.Host.Actors = append(state.Host.Actors, inspect.Actor{Kind: word})
	}
	text := write(t, New(), state)
	if n := strings.Count(text, "troupe_health_warnings{"); n != maxHealth {
		t.Errorf("%d warnings", n)
	}
	if n := strings.Count(text, "troupe_actor_mailbox_depth{"); n != maxActorKinds+1 {
		t.Errorf("%d kinds of actors", n)
	}
}

func TestObservingDoesNotAllocate(t *testing.T) {
	s := New()
	bad := fault.New(fault.GuestTrap, "", "", nil)
	out := run.Outcome{Fault: bad, Result: []byte("1"), Usage: run.Usage{CPU: time.Millisecond, Wall: time.Second}}
	for name, f := range map[string]func(){
		"answered": func() { s.Asked(Execute, true); s.Answered(Execute, bad); s.Took(Execute, time.Second) },
		"executed": func() { s.ExecuteQueued(run.High, time.Second); s.Executed(run.High, out) },
		"prepared": func() {
			s.PrepareQueued(run.High, time.Second)
			s.Prepared(run.High, Preparation{CPU: 1, Wall: 1, PeakRSS: 1, CodeBytes: 1, ArtifactBytes: 1})
		},
		"sizes": func() { s.Input(1); s.CodeGiven(1) },
		"workers": func() {
			s.Spawning("execute")
			s.Spawned("execute")
			s.Retired("execute")
			s.Killed("execute", "died")
			s.WorkerClosed("idle")
		},
		"others": func() { s.TimedOut(StageExecute, ClockWall); s.Committed("state", time.Second); s.Removed("age", 1, 1) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestPrecheckMark counts a precheck whose budget passed, whatever became of the preparation, and no other request.
func TestPrecheckMark(t *testing.T) {
	s := New()
	late := fault.New(fault.GuestPrepareCPU, "", "", nil)
	s.Answered(Precheck, late)
	s.Answered(Execute, late)
	if text := write(t, s, State{}); !strings.Contains(text, `troupe_timeouts_total{clock="precheck_mark",stage="prepare"} 1`) {
		t.Error(text)
	}
}

// TestAHostThatDoesNotAnswerIsStillCounted: the look hangs, and what was counted is written when its time is over.
func TestAHostThatDoesNotAnswerIsStillCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		s.Spawned("execute")
		begin := time.Now()
		var b bytes.Buffer
		err := s.Write(t.Context(), &b, func(ctx context.Context) (State, error) {
			<-ctx.Done()
			return State{Host: inspect.Host{Requests: 7}}, ctx.Err()
		})
		if err != nil || time.Since(begin) != lookWait {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		for _, want := range []string{"troupe_inspected 0\n", "troupe_requests_in_progress 7\n", `troupe_workers_spawned_total{kind="execute"} 1`} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %q", want)
			}
		}
	})
}

func TestWriteEndsWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := New().Write(ctx, io.Discard, func(context.Context) (State, error) { return State{}, nil })
	if !errors.Is(err, fault.CanceledCaller) {
		t.Error(err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// TestASlowReaderDelaysNobody: while one reader does not take what it asked for, others are served, and all is counted.
func TestASlowReaderDelaysNobody(t *testing.T) {
	s := New()
	look := func(context.Context) (State, error) { return busyState(), nil }
	inside, gate, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.Write(t.Context(), writer(func([]byte) (int, error) {
			close(inside)
			<-gate
			return 0, errors.New("gone")
		}), look)
	}()
	<-inside
	everything(s)
	if text := write(t, s, busyState()); !strings.Contains(text, `troupe_requests_total{kind="execute",verdict="ok"} 1`) {
		t.Error(text)
	}
	close(gate)
	if err := <-ended; !errors.Is(err, fault.CallerOutput) {
		t.Error(err)
	}
}
