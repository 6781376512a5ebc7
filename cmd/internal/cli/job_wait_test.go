package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

// A job is waited for through all its states; it ends as the run would have.
func TestWaitingForAJob(t *testing.T) {
	settled := func(r *run.Receipt, f, message string) run.Job {
		return run.Job{ID: "job-0002", State: run.JobSettled, Mode: "command", Receipt: r, Fault: f, Message: message, Events: make([]run.JobEvent, 3)}
	}
	three := int32(3)
	for name, tt := range map[string]struct {
		end  run.Job
		want int
		out  string
		say  []string
	}{
		"ok":         {settled(&run.Receipt{Verdict: "ok", Stdout: run.Blob("out\n"), Stderr: run.Blob("complaint")}, "", ""), 0, "out\n", []string{"complaint\nok  cache unknown"}},
		"bytes":      {settled(&run.Receipt{Verdict: "ok", Result: run.Blob("\x00\x01")}, "", ""), 0, "\x00\x01", []string{"ok  "}},
		"exit":       {settled(&run.Receipt{Verdict: "guest", Fault: "guest.exit", GuestExit: &three}, "", ""), exitTrap, "", []string{"code:  guest.exit"}},
		"trap":       {settled(&run.Receipt{Verdict: "guest", Fault: "guest.trap", Stdout: run.Blob("so far")}, "", ""), exitTrap, "so far", []string{"code:  guest.trap"}},
		"limit":      {settled(&run.Receipt{Verdict: "guest", Fault: "guest.cpu_limit"}, "", ""), exitLimit, "", nil},
		"suspect":    {settled(&run.Receipt{Verdict: "suspect", Fault: "suspect.worker_died"}, "", ""), exitSuspect, "", nil},
		"canceled":   {settled(nil, "canceled.caller_left", "by uid:0"), exitCanceled, "", []string{"error: by uid:0\ncode:  canceled.caller_left\n"}},
		"no message": {settled(nil, "canceled.revoked", ""), exitCanceled, "", []string{"error: the validity tag of the request was revoked\n"}},
		"quota":      {settled(nil, "host.disk_full", ""), exitHost, "", []string{"code:  host.disk_full"}},
	} {
		for _, form := range []string{"table", "json"} {
			h := newJobHost(trial[1])
			var asked []int
			h.watch = func(_ context.Context, id string, seen int) (run.Job, error) {
				asked = append(asked, seen)
				if len(asked) == 3 {
					return tt.end, nil
				}
				return run.Job{ID: id, State: run.JobRunning, Events: make([]run.JobEvent, len(asked))}, nil
			}
			c := newServed(t, h)
			if code := c.main([]string{"job", "wait", "-o", form, "job-0002"}); code != tt.want {
				t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
			}
			if d := cmp.Diff([]int{0, 1, 2}, asked); d != "" {
				t.Errorf("%s: it had seen %s", name, d)
			}
			if form == "json" {
				var j run.Job
				if err := json.Unmarshal(c.out.Bytes(), &j); err != nil || cmp.Diff(tt.end, j) != "" {
					t.Errorf("%s: %v\n%s", name, err, cmp.Diff(tt.end, j))
				}
				continue
			}
			if c.out.String() != tt.out {
				t.Errorf("%s: %q", name, c.out.String())
			}
			for _, s := range tt.say {
				if !strings.Contains(c.err.String(), s) {
					t.Errorf("%s: %q", name, c.err.String())
				}
			}
		}
	}
}

func TestSubmitAndWait(t *testing.T) {
	h := newJobHost()
	h.watch = func(_ context.Context, id string, _ int) (run.Job, error) {
		return run.Job{ID: id, State: run.JobSettled, Mode: "invoke", Receipt: &run.Receipt{Verdict: "ok", Result: run.Blob("69732")}}, nil
	}
	c := newServed(t, h)
	if code := c.main([]string{"submit", "--wait", "--invoke", "f", wasmFile(t)}); code != 0 || c.out.String() != "69732\n" || !strings.HasPrefix(c.err.String(), "note:  job job-0001\nok  ") {
		t.Errorf("exit code %d, %q\n%s", code, c.out.String(), c.err.String())
	}
}

func TestWaitingForSeveralJobs(t *testing.T) {
	for name, tt := range map[string]struct {
		ids  []string
		want int
		out  string
	}{
		"both ok":   {[]string{"job-0001", "job-0005"}, 0, "job-0001 ok\njob-0005 ok\n"},
		"one is":    {[]string{"job-0001", "job-0004"}, exitSome, "job-0001 ok\njob-0004 canceled canceled.deadline\n"},
		"none is":   {[]string{"job-0004", "job-0006"}, exitCanceled, "job-0004 canceled canceled.deadline\njob-0006 guest guest.trap\n"},
		"one is no": {[]string{"job-0001", "nobody"}, exitSome, "job-0001 ok\n"},
	} {
		h := newJobHost(append(slices.Clone(trial), run.Job{ID: "job-0005", State: run.JobSettled, Receipt: &run.Receipt{Verdict: "ok"}},
			run.Job{ID: "job-0006", State: run.JobSettled, Receipt: &run.Receipt{Verdict: "guest", Fault: "guest.trap"}})...)
		c := newServed(t, h)
		if code := c.main(append([]string{"job", "wait"}, tt.ids...)); code != tt.want || c.out.String() != tt.out {
			t.Errorf("%s: exit code %d, %q\n%s", name, code, c.out.String(), c.err.String())
		}
	}
}

// Whoever stops waiting does not stop the job, and is told so.
func TestWaitsThatEndEarly(t *testing.T) {
	goesOn := "hint:  the job goes on: 'troupe job wait job-0002' waits again, 'troupe job cancel --reason WHY job-0002' ends it\n"
	for name, tt := range map[string]struct {
		args []string
		fail error
		want int
		say  string
	}{
		"by a signal":    {nil, nil, exitCanceled, goesOn},
		"by time":        {[]string{"--timeout", "300ms"}, nil, exitCanceled, goesOn},
		"by the host":    {nil, fault.New(fault.CanceledStopped, "watch", "", nil), exitCanceled, "hint:  the job is kept: start 'troupe serve' again, then 'troupe job wait job-0002'\n"},
		"without a host": {nil, fault.New(fault.CallerClosed, "watch", "", nil), exitUnreachable, "code:  caller.host_closed"},
	} {
		h := newJobHost(trial[1])
		c := newServed(t, h)
		h.watch = func(ctx context.Context, id string, _ int) (run.Job, error) {
			switch {
			case tt.fail != nil:
				return run.Job{}, tt.fail
			case tt.args == nil:
				c.interrupts <- os.Interrupt
			}
			<-ctx.Done()
			return run.Job{ID: id, State: run.JobRunning}, ctx.Err()
		}
		if code := c.main(append([]string{"job", "wait", "job-0002"}, tt.args...)); code != tt.want || !strings.Contains(c.err.String(), tt.say) || len(h.calls) > 0 {
			t.Errorf("%s: exit code %d, %q\n%s", name, code, h.calls, c.err.String())
		}
	}
}

func TestProgressOfAWait(t *testing.T) {
	for mode, want := range map[string]string{"terminal": "\r\x1b[Krunning ", "plain": "running ", "pipe": ""} {
		h := newJobHost(trial[1])
		c := newServed(t, h)
		seen := newWatcher(&c.err, "running ")
		c.app.err = seen
		h.watch = func(_ context.Context, id string, n int) (run.Job, error) {
			j := run.Job{ID: id, State: run.JobRunning, Events: make([]run.JobEvent, n+1)}
			if n > 0 {
				if want != "" {
					<-seen.found
				}
				j.State, j.Receipt = run.JobSettled, &run.Receipt{Verdict: "ok"}
			}
			return j, nil
		}
		args := []string{"job", "wait", "job-0002"}
		switch mode {
		case "terminal":
			c.errTerminal = true
		case "plain":
			args = append(args, "--progress", "plain")
		}
		if code := c.main(args); code != 0 || !strings.Contains(c.err.String(), want) || want == "" && strings.Contains(c.err.String(), "running") {
			t.Errorf("%s: exit code %d, %q", mode, code, c.err.String())
		}
	}
}

// What a job says, and what is said of it, prints and does nothing else.
func TestHostileTextsOfJobs(t *testing.T) {
	evil := "\x1b[2J\x1b]0;owned\x07\r\b\u202egnp\u009b1A\tx\ny\xff"
	oneEvilLine := strings.ReplaceAll(evil, "\n", "") // a guest may write lines
	worst := run.Job{
		ID: "job-0001", Key: evil, Tenant: evil, State: run.JobSettled, Priority: evil, CodeHash: evil, Mode: evil, Validity: evil, RetryOf: evil, SubmittedAt: day,
		Fault: evil, Message: evil, Hint: evil, Events: []run.JobEvent{{At: day, What: evil, From: evil, To: evil, By: evil}},
	}
	said := worst
	said.ID, said.Receipt = "job-0002", &run.Receipt{
		Verdict: "guest", Fault: "guest.trap", Message: evil, Hint: evil, Result: run.Blob(evil), Stdout: run.Blob(oneEvilLine), Stderr: run.Blob(oneEvilLine), Cache: evil, Artifact: evil, Sandbox: evil,
	}
	h := newJobHost(worst, said)
	h.warmed = []inspect.Warm{{CodeHash: evil, Tenant: evil, Artifact: evil, State: evil}}
	up := []inspect.Escalation{{From: evil, To: evil, By: evil}}
	h.state = inspect.Host{
		Jobs: map[string]int{evil: 1}, Queues: []inspect.Queue{{Name: evil, Preparations: []inspect.Preparation{{Artifact: evil, CodeHash: evil, Tenant: evil, Priority: evil, State: evil, Held: evil, Escalations: up}}}},
		Artifacts: []inspect.Artifact{{Key: hash, Priority: evil, Fault: "guest.trap", Message: evil, Pins: []string{evil}, Escalations: up}},
	}
	for _, args := range [][]string{
		{"job", "list", "--all"}, {"job", "list", "--all", "-o", "wide"}, {"job", "show", "job-0001"}, {"job", "show", "job-0002"}, {"job", "wait", "job-0001"}, {"job", "wait", "job-0002"},
		{"job", "wait", "job-0001", "job-0002"}, {"job", "timeline", "job-0001"}, {"job", "cancel", "--reason", "r", "job-0001", "job-0002"}, {"queue", "show"}, {"queue", "show", "-o", "wide"}, {"queue", "revoke", evil},
		{"artifact", "warm", "--list"}, {"artifact", "warm", evil}, {"artifact", "cool", evil}, {"artifact", "show", hash}, {"status"}, {"job", "show", evil}, {"submit", evil}, {"submit", "--deadline", evil, "x"},
	} {
		c := newServed(t, h)
		c.outTerminal, c.errTerminal = true, true
		home := c.getenv
		c.getenv = func(name string) string {
			if name == "NO_COLOR" { // ours would be mistaken for theirs
				return "1"
			}
			return home(name)
		}
		c.main(append(args, "--progress", "none"))
		text := c.out.String() + c.err.String()
		for _, r := range text {
			if r != '\n' && r != '\t' && r != '…' && r != unicode.ReplacementChar && !unicode.IsPrint(r) {
				t.Errorf("%q prints %U: %q", args, r, text)
				break
			}
		}
		if strings.Contains(text, "\ny") {
			t.Errorf("%q breaks a line: %q", args, text)
		}
		if len(text) == 0 {
			t.Errorf("%q prints nothing", args)
		}
	}
}

// A pipe gets what the guest wrote, byte by byte.
func TestOutputOfJobsInAPipe(t *testing.T) {
	raw := []byte("\x1b[1mbold\xff")
	h := newJobHost(run.Job{ID: "job-0001", State: run.JobSettled, Receipt: &run.Receipt{Verdict: "ok", Stdout: raw}})
	c := newServed(t, h)
	if code := c.main([]string{"job", "wait", "job-0001"}); code != 0 || !bytes.Equal(c.out.Bytes(), raw) {
		t.Errorf("exit code %d, %q", code, c.out.String())
	}
}
