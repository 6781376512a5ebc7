package host_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/run"
)

// act is one request to a host that may die, as its client saw it. Times are ticks of one clock of the client's.
type act struct {
	Op         string    `json:"op"`             // execute, precheck, announce, submit, job
	Code       string    `json:"code,omitempty"` // what was run or judged
	Key        string    `json:"key,omitempty"`  // submit: the idempotency key; job: its id
	Want       string    `json:"want,omitempty"` // the right result
	Begin, End int64     // End 0: no answer came, and the host lived
	Died       bool      `json:"died,omitempty"` // the host was killed in between
	Torn       bool      `json:"torn,omitempty"` // a worker was killed in between
	Err        string    `json:"err,omitempty"`  // a fault code: there is no verdict
	Fault      string    `json:"fault,omitempty"`
	Result     string    `json:"result,omitempty"`
	Hit        bool      `json:"hit,omitempty"`
	Stored     bool      `json:"stored,omitempty"`
	Jobs       []run.Job `json:"jobs,omitempty"` // what was said of jobs
}

func (a act) String() string {
	b, err := json.Marshal(a)
	return fmt.Sprint(string(b), err)
}

// forgivable faults are those that say no more than that something was killed, or was about to stop.
func forgivable(code string) bool {
	return strings.HasPrefix(code, "suspect.") || strings.HasPrefix(code, "host.") || code == "busy.draining" || code == "caller.host_closed"
}

// judged says what is wrong with a history; wants has the right result of each idempotency key. It knows nothing of how a
// host works.
func judged(history []act, wants map[string]string) (wrong []string) {
	slices.SortFunc(history, func(a, b act) int { return cmp.Compare(a.Begin, b.Begin) })
	bad := func(why string, a act) { wrong = append(wrong, why+": "+a.String()) }
	stored := map[string]int64{} // since when the artifact of a code is known to be on disk
	for _, a := range history {
		if a.Stored && a.End > 0 && (stored[a.Code] == 0 || a.End < stored[a.Code]) {
			stored[a.Code] = a.End
		}
	}
	for _, a := range history {
		switch {
		case a.Died:
			continue
		case a.End == 0:
			bad("no answer", a)
			continue
		case a.Err != "" || a.Fault != "":
			remembered := a.Op == "precheck" && a.Hit // which tries nothing again; an execution does
			if code := a.Err + a.Fault; !a.Torn && !remembered || !forgivable(code) {
				bad("an error that nothing explains", a)
			}
			continue
		}
		if a.Op == "execute" && a.Result != a.Want {
			bad("a wrong result", a)
		}
		if at := stored[a.Code]; (a.Op == "execute" || a.Op == "precheck") && at > 0 && a.Begin > at && !a.Hit && !a.Torn { // what was killed over an artifact has it made again
			bad("an acknowledged artifact is lost", a)
		}
	}
	return append(wrong, judgedJobs(history, wants)...)
}

// judgedJobs looks at all that was ever said of jobs.
func judgedJobs(history []act, wants map[string]string) (wrong []string) {
	type known struct {
		id      string
		since   int64 // acknowledged
		settled string
		at      int64
	}
	byKey, byID := map[string]*known{}, map[string]*known{}
	var said []act
	for _, a := range history {
		if len(a.Jobs) > 0 && a.End > 0 && !a.Died {
			said = append(said, a)
		}
		if a.Op == "job" && a.Err != "" && a.End > 0 && !a.Died {
			wrong = append(wrong, "an acknowledged job is lost: "+a.String())
		}
	}
	slices.SortFunc(said, func(a, b act) int { return cmp.Compare(a.End, b.End) })
	for _, a := range said {
		for _, j := range a.Jobs {
			bad := func(why string) {
				wrong = append(wrong, fmt.Sprintf("%s: %s, said at %d to %s %s", why, jobLine(j), a.End, a.Op, a.Key))
			}
			if _, ours := wants[j.Key]; !ours {
				bad("a job that nobody submitted")
				continue
			}
			k := byKey[j.Key]
			if k == nil {
				k = &known{id: j.ID, since: a.End}
				byKey[j.Key] = k
			}
			if other := byID[j.ID]; other != nil && other != k {
				bad("one id for two keys")
			}
			byID[j.ID] = k
			if k.id != j.ID {
				bad("a second job of one key, the first is " + k.id)
				continue
			}
			if j.State != run.JobSettled {
				if k.settled != "" && a.Begin > k.at {
					bad("a settled job is not settled any more")
				}
				continue
			}
			if j.Events != nil {
				n := 0
				for _, e := range j.Events {
					if e.What == "settled" {
						n++
					}
				}
				if n != 1 {
					bad(fmt.Sprintf("settled %d times", n))
				}
			}
			switch {
			case j.Receipt == nil && j.Fault == "":
				bad("settled with nothing")
			case j.Receipt != nil && j.Receipt.Fault == "" && a.Op == "job" && string(j.Receipt.Result) != wants[j.Key]:
				bad("a wrong result, want " + wants[j.Key])
			case j.Receipt != nil && j.Receipt.Fault != "" && !forgivable(j.Receipt.Fault), j.Receipt == nil && !forgivable(j.Fault):
				bad("a fault that nothing explains")
			}
			if a.Op != "job" {
				continue // lists leave output out
			}
			switch b := jobLine(j); {
			case k.settled == "":
				k.settled, k.at = b, a.End
			case k.settled != b:
				bad("it was " + k.settled)
			}
		}
	}
	return wrong
}

// jobLine is what must not change once a job is settled.
func jobLine(j run.Job) string {
	j.ExpiresAt = time.Time{} // counted while the host runs
	b, err := json.Marshal(j)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestTheHistoryCheckerFinds gives the checker one good history and one for each rule that is broken.
func TestTheHistoryCheckerFinds(t *testing.T) {
	wants := map[string]string{"k": "3", "l": "4"}
	job := func(id, key string, state run.JobState, result string) run.Job {
		j := run.Job{ID: id, Key: key, State: state}
		if state == run.JobSettled {
			j.Receipt = &run.Receipt{Verdict: "ok", Result: run.Blob(result)}
			j.Events = []run.JobEvent{{What: "submitted"}, {What: "settled"}}
		}
		return j
	}
	say := func(at int64, op string, jobs ...run.Job) act {
		return act{Op: op, Key: jobs[0].ID, Begin: at, End: at + 1, Jobs: jobs}
	}
	good := []act{
		{Op: "precheck", Code: "a", Begin: 1, End: 4, Stored: true},
		{Op: "precheck", Code: "a", Begin: 2, End: 3},
		{Op: "execute", Code: "a", Begin: 5, End: 6, Hit: true, Want: "3", Result: "3"},
		{Op: "execute", Code: "a", Begin: 7, End: 8, Torn: true, Fault: "suspect.worker_died"},
		{Op: "execute", Code: "a", Begin: 9, End: 10, Died: true},
		{Op: "precheck", Code: "b", Begin: 9, End: 10, Hit: true, Fault: "suspect.prepare_worker_died"},
		say(11, "submit", job("1", "k", run.JobQueued, "")),
		say(13, "submit", job("1", "k", run.JobRunning, "")),
		say(15, "job", job("1", "k", run.JobSettled, "3")),
		say(17, "job", job("1", "k", run.JobSettled, "3")),
		say(19, "jobs", job("1", "k", run.JobSettled, ""), job("2", "l", run.JobQueued, "")),
	}
	if wrong := judged(slices.Clone(good), wants); len(wrong) > 0 {
		t.Errorf("a good history: %q", wrong)
	}
	twice := job("1", "k", run.JobSettled, "3")
	twice.Events = append(twice.Events, run.JobEvent{What: "settled"})
	blamed := job("1", "k", run.JobSettled, "3")
	blamed.Receipt.Fault = "guest.trap"
	later := job("1", "k", run.JobSettled, "3")
	later.Starts = 2
	for want, more := range map[string]act{
		"no answer":                             {Op: "execute", Code: "a", Begin: 30},
		"an error that nothing explains":        {Op: "execute", Begin: 30, End: 31, Fault: "suspect.worker_died"},
		"an error that nothing explains: ":      {Op: "execute", Begin: 30, End: 31, Torn: true, Fault: "guest.trap"},
		"an error that nothing explains: {":     {Op: "execute", Begin: 30, End: 31, Hit: true, Fault: "suspect.prepare_worker_died"},
		"a wrong result":                        {Op: "execute", Begin: 30, End: 31, Want: "3", Result: "4"},
		"an acknowledged artifact is lost":      {Op: "precheck", Code: "a", Begin: 30, End: 31},
		"an acknowledged job is lost":           {Op: "job", Key: "1", Begin: 30, End: 31, Err: "caller.not_found"},
		"a job that nobody submitted":           say(30, "jobs", job("9", "z", run.JobQueued, "")),
		"a second job of one key":               say(30, "submit", job("9", "k", run.JobQueued, "")),
		"one id for two keys":                   say(30, "jobs", job("1", "l", run.JobQueued, "")),
		"a settled job is not settled":          say(30, "job", job("1", "k", run.JobRunning, "")),
		"settled 2 times":                       say(30, "job", twice),
		"a wrong result, want 3":                say(30, "job", job("1", "k", run.JobSettled, "5")),
		"a fault that nothing explains":         say(30, "job", blamed),
		"it was ":                               say(30, "job", later),
		"settled with nothing":                  say(30, "job", run.Job{ID: "2", Key: "l", State: run.JobSettled}),
		"an acknowledged artifact is lost: {\"": {Op: "execute", Code: "a", Begin: 30, End: 31},
	} {
		wrong := judged(append(slices.Clone(good), more), wants)
		if !slices.ContainsFunc(wrong, func(w string) bool { return strings.HasPrefix(w, want) }) {
			t.Errorf("want %q, found %q", want, wrong)
		}
	}
}
