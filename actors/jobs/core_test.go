package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// desk drives a core by hand: writes succeed at once unless they are held, and answers are collected.
type desk struct {
	t       testing.TB
	s       *State
	now     time.Time
	records []Record // written, in order
	hold    bool     // writes stay in held
	held    []string
	opens   []string
	starts  map[string]cache.Request
	other   []Effect
	runs    uint64
}

func newDesk(t testing.TB, l Limits, records ...Record) *desk {
	d := &desk{t: t, s: NewState(l), now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), starts: map[string]cache.Request{}}
	d.step(loaded{records: records})
	return d
}

func (d *desk) step(m Message) {
	d.t.Helper()
	d.now = d.now.Add(time.Microsecond)
	for _, e := range d.s.Step(d.now, m) {
		switch e := e.(type) {
		case Write:
			d.records = append(d.records, e.Record)
			if d.hold {
				d.held = append(d.held, e.Record.ID)
				continue
			}
			d.step(wrote{id: e.Record.ID})
		case Erase:
			d.step(erased{ids: e.IDs})
		case Open:
			d.opens = append(d.opens, e.Record.ID)
			d.runs++
			d.step(opened{id: e.Record.ID, request: cache.Request{ID: d.runs, NoCode: !e.WithCode}})
		case Start:
			d.starts[e.ID] = e.Request
		default:
			d.other = append(d.other, e)
		}
	}
}

func (d *desk) reply() kernel.Reply[run.Job] { return kernel.Reply[run.Job]{} }

func (d *desk) submit(id string, change func(*Request)) {
	d.t.Helper()
	q := Request{ID: id, Tenant: "t", Priority: run.Normal, Body: &Body{}}
	if change != nil {
		change(&q)
	}
	d.step(Submit{Request: q, Reply: d.reply()})
}

// end ends a run.
func (d *desk) end(id string, err error) {
	d.t.Helper()
	r, ok := d.starts[id]
	if !ok {
		d.t.Fatalf("%s does not run", id)
	}
	delete(d.starts, id)
	d.step(ended{id: id, run: r.ID, err: err})
}

// wait lets time go by in steps, as ticks do.
func (d *desk) wait(span time.Duration) {
	for ; span > 0; span -= time.Second {
		d.now = d.now.Add(min(span, time.Second))
		d.step(tick{})
	}
}

func (d *desk) phase(id string) string {
	if j := d.s.jobs[id]; j != nil {
		return j.phase.String()
	}
	return "-"
}

func (d *desk) last(id string) Record {
	for _, r := range slices.Backward(d.records) {
		if r.ID == id {
			return r
		}
	}
	return Record{}
}

func has[E Effect](effects []Effect) (n int) {
	for _, e := range effects {
		if _, ok := e.(E); ok {
			n++
		}
	}
	return n
}

// TestACriticalJobDoesNotWaitBehindOthers fills the slots with jobs of each lower priority; one of each other starts at once.
func TestACriticalJobDoesNotWaitBehindOthers(t *testing.T) {
	d := newDesk(t, Limits{Active: 16})
	for n := range 100 {
		d.submit(fmt.Sprintf("b%03d", n), func(q *Request) { q.Priority = run.Background })
	}
	if len(d.starts) != 10 { // all but two for each of the three others
		t.Errorf("%d background jobs run", len(d.starts))
	}
	for _, p := range []run.Priority{run.Normal, run.High, run.Critical} {
		id := p.String()
		d.submit(id, func(q *Request) { q.Priority = p })
		if d.phase(id) != "running" {
			t.Errorf("%s is %s", id, d.phase(id))
		}
	}
	for n := range 100 {
		d.submit(fmt.Sprintf("c%03d", n), func(q *Request) { q.Priority = run.Critical })
	}
	if len(d.starts) > 16 {
		t.Errorf("%d jobs run", len(d.starts))
	}
	before := len(d.starts)
	d.end("b000", nil)
	if d.phase("b010") == "running" || len(d.starts) != before {
		t.Errorf("a slot goes to a background job before %d critical ones", 100)
	}
}

// TestTheOldestOfAPriorityGoesFirst also after a raise.
func TestTheOldestOfAPriorityGoesFirst(t *testing.T) {
	d := newDesk(t, Limits{Active: 8})
	for n := range 20 {
		d.submit(fmt.Sprintf("j%02d", n), nil)
	}
	want := []string{"j00", "j01", "j02", "j03", "j04"} // of 8, the three others have one each
	if diff := cmp.Diff(want, d.opens); diff != "" {
		t.Error(diff)
	}
	d.step(Raise{ID: "j15", Priority: run.High})
	d.end("j00", nil)
	d.end("j01", nil)
	if diff := cmp.Diff(append(want, "j15", "j05", "j06"), d.opens); diff != "" {
		t.Error(diff)
	}
}

func TestARefusalOfTheQueueIsTriedAgainForEver(t *testing.T) {
	d := newDesk(t, Limits{Retries: 2})
	d.submit("a", nil)
	for n := range 50 {
		d.end("a", fault.New([]fault.Code{fault.BusyQueueFull, fault.CanceledStopped, fault.BusyDisk, fault.HostGaveUp}[n%4], "", "", nil))
		if d.phase("a") != "delayed" {
			t.Fatalf("%d: %s", n, d.phase("a"))
		}
		d.wait(11 * time.Second)
	}
	if r := d.last("a"); len(d.s.jobs["a"].Events) > maxSteps+1 {
		t.Errorf("%d events", len(r.Events))
	}
	d.end("a", nil)
	if r := d.last("a"); r.State != run.JobSettled || r.Verdict != "ok" || r.Starts != 51 {
		t.Errorf("%+v", r)
	}
}

func TestHowAJobEnds(t *testing.T) {
	for _, row := range []struct {
		code    fault.Code
		tries   int // until it is settled
		verdict string
	}{
		{fault.HostSpawnFailed, 3, ""}, {fault.BugPanic, 3, ""}, {fault.CallerInvalid, 1, ""}, {fault.CanceledDeadline, 1, ""},
		{fault.CanceledRevoked, 1, ""}, {fault.CallerNotFound, 2, ""}, {fault.GuestTrap, 1, "guest"}, {fault.SuspectWorkerDied, 1, "suspect"},
	} {
		d := newDesk(t, Limits{Retries: 2})
		d.submit("a", nil)
		tries := 0
		for ; d.phase("a") != "settled" && tries < 9; tries++ {
			d.end("a", fault.New(row.code, "", "", nil))
			d.wait(11 * time.Second)
		}
		r := d.last("a")
		if tries != row.tries || r.Fault != row.code || r.Verdict != row.verdict || (r.Message == "") != (row.verdict != "") {
			t.Errorf("%s: %d tries, %+v", row.code, tries, r)
		}
	}
}

// TestTheCodeIsReadWhenItIsWanted starts without the code, and with it once the cache asks.
func TestTheCodeIsReadWhenItIsWanted(t *testing.T) {
	d := newDesk(t, Limits{})
	d.submit("a", nil)
	if !d.starts["a"].NoCode {
		t.Error("the code was read before it was wanted")
	}
	d.end("a", fault.New(fault.CallerNotFound, "", "", nil))
	if d.starts["a"].NoCode || d.s.jobs["a"].Starts != 1 {
		t.Errorf("%+v, %d starts", d.starts["a"], d.s.jobs["a"].Starts)
	}
}

// TestAClockThatJumpsExpiresNothing sets the clock an hour ahead and back, with jobs kept for half an hour and others that must
// start within it.
func TestAClockThatJumpsExpiresNothing(t *testing.T) {
	d := newDesk(t, Limits{Keep: 30 * time.Minute, Active: 8})
	d.submit("kept", nil)
	d.end("kept", nil)
	for n := range 10 {
		d.submit(fmt.Sprintf("w%02d", n), func(q *Request) { q.Deadline = d.now.Add(30 * time.Minute) })
	}
	for _, jump := range []time.Duration{time.Hour, -2 * time.Hour, time.Hour} {
		d.now = d.now.Add(jump)
		d.wait(10 * time.Second)
		if d.phase("kept") != "settled" || d.phase("w09") != "queued" || d.phase("w00") != "running" {
			t.Fatalf("after %v: %s %s %s", jump, d.phase("kept"), d.phase("w09"), d.phase("w00"))
		}
		d.submit("after"+jump.String(), nil)
	}
	stamps := d.s.newest
	d.wait(31 * time.Minute)
	if d.phase("kept") != "-" || d.phase("w09") != "settled" || d.s.newest < stamps {
		t.Errorf("in the end: %s, %s", d.phase("kept"), d.phase("w09"))
	}
	if !slices.IsSortedFunc(d.s.jobs["w00"].Events, func(a, b Event) int { return int(a.At - b.At) }) {
		t.Error("a timeline goes back")
	}
}

// TestWhatAStartFinds loads jobs of each state.
func TestWhatAStartFinds(t *testing.T) {
	key := func(id, k string, s run.JobState) Record {
		return Record{ID: id, Key: k, Tenant: "t", State: s, Priority: run.Normal, Keep: time.Hour, Expires: time.Hour}
	}
	canceled := key("e", "", run.JobRunning)
	canceled.Ending = fault.CanceledCaller
	d := newDesk(t, Limits{}, key("c", "", run.JobSettled), key("b", "k", run.JobQueued), key("a", "k", run.JobQueued), key("d", "", run.JobRunning), canceled)
	if diff := cmp.Diff([]string{"b", "d"}, d.opens); diff != "" {
		t.Error(diff)
	}
	got := map[string]string{}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		got[id] = d.phase(id)
	}
	if diff := cmp.Diff(map[string]string{"a": "-", "b": "running", "c": "settled", "d": "running", "e": "settled"}, got); diff != "" {
		t.Error(diff)
	}
	if e := d.s.jobs["d"].Events; len(e) != 2 || e[0].What != Requeued || e[1].What != Started {
		t.Errorf("%+v", e)
	}
	if r := d.last("e"); r.Fault != fault.CanceledCaller {
		t.Errorf("%+v", r)
	}
}

// TestAJournalThatCannotBeReadIsReadAgain answers those who came meanwhile.
func TestAJournalThatCannotBeReadIsReadAgain(t *testing.T) {
	d := &desk{t: t, s: NewState(Limits{}), now: time.Unix(1e9, 0), starts: map[string]cache.Request{}}
	d.submit("a", nil)
	d.step(tick{}) // it is still being read
	if has[Load](d.other) != 0 {
		t.Error("it is read twice at a time")
	}
	d.step(loaded{err: errors.New("no")})
	if has[Refuse](d.other) != 1 || has[Stuck](d.other) != 1 {
		t.Errorf("%T", d.other)
	}
	d.step(tick{})
	if has[Load](d.other) != 1 {
		t.Error("it is not read again")
	}
	d.step(loaded{})
	if d.submit("b", nil); d.phase("b") != "running" {
		t.Error(d.phase("b"))
	}
}

// TestARevokedJobIsNotStartedOnceItIsAccepted revokes while the first write is under way.
func TestARevokedJobIsNotStartedOnceItIsAccepted(t *testing.T) {
	d := newDesk(t, Limits{Tags: 2})
	d.hold = true
	d.submit("a", func(q *Request) { q.Validity = "x" })
	d.step(Revoke{Tenant: "t", Tag: "x"})
	d.hold = false
	d.step(wrote{id: "a"})
	if len(d.opens) > 0 || d.phase("a") != "settled" || d.last("a").Fault != fault.CanceledRevoked || has[Revoked](d.other) != 1 {
		t.Errorf("%v, %s, %+v", d.opens, d.phase("a"), d.other)
	}
	refused := func(tag string) bool {
		d.submit("n"+tag, func(q *Request) { q.Validity = tag })
		return d.phase("n"+tag) == "-"
	}
	if !refused("x") {
		t.Error("a later one is accepted")
	}
	for _, tag := range []string{"y", "z"} {
		d.step(Revoke{Tenant: "t", Tag: tag})
	}
	if refused("x") || !refused("z") {
		t.Error("the newest tags are remembered")
	}
}

// TestAnUnwatchThatOvertakesIsNotLost leaves before the watch arrives.
func TestAnUnwatchThatOvertakesIsNotLost(t *testing.T) {
	d := newDesk(t, Limits{})
	d.submit("a", nil)
	d.other = nil
	d.step(Unwatch{Watcher: 1})
	if has[Requeue](d.other) != 1 {
		t.Fatal("it is forgotten")
	}
	again := d.other[0].(Requeue).Message
	d.step(Watch{ID: "a", Seen: 9, Watcher: 1})
	d.other = nil
	d.step(again)
	if has[Reply](d.other) != 1 || len(d.s.watches) != 0 || len(d.s.jobs["a"].watchers) != 0 {
		t.Errorf("%+v", d.other)
	}
	if d.step(again); has[Requeue](d.other) != 0 {
		t.Error("it goes round for ever")
	}
}

// TestANewJobWaitsForAllThatLeaves refuses new jobs while others leave the disk, one after the other.
func TestANewJobWaitsForAllThatLeaves(t *testing.T) {
	full := fault.New(fault.CallerQuota, "submit", "", nil)
	begin := func(settled ...string) (step func(Message) []Effect, submit func(id string)) {
		d := newDesk(t, Limits{})
		for _, id := range settled {
			d.submit(id, nil)
			d.end(id, nil)
		}
		step = func(m Message) []Effect { return d.s.Step(d.now, m) }
		return step, func(id string) {
			t.Helper()
			m := Submit{Request: Request{ID: id, Tenant: "t", Priority: run.Normal, Body: &Body{}}, Reply: d.reply()}
			if out := step(m); has[Write](out) != 1 {
				t.Fatalf("%s: %v", id, out)
			}
		}
	}
	tell := func(t *testing.T, what string, out []Effect, writes, erases, replies int) {
		t.Helper()
		if has[Write](out) != writes || has[Erase](out) != erases || has[Reply](out) != replies {
			t.Fatalf("%s: %v", what, out)
		}
	}

	t.Run("two leave", func(t *testing.T) {
		step, submit := begin("1", "2")
		submit("3")
		submit("4")
		tell(t, "the first leaves", step(wrote{id: "3", err: full}), 0, 1, 0)
		tell(t, "the second is to leave", step(wrote{id: "4", err: full}), 0, 0, 0)
		tell(t, "the first has left", step(erased{ids: []string{"1"}}), 2, 1, 0)
		tell(t, "the second still leaves", step(wrote{id: "3", err: full}), 0, 0, 0)
		tell(t, "the second still leaves", step(wrote{id: "4", err: full}), 0, 0, 0)
		tell(t, "the second has left", step(erased{ids: []string{"2"}}), 2, 0, 0)
		tell(t, "it fits", step(wrote{id: "3"}), 0, 0, 1)
		tell(t, "nothing is left to leave", step(wrote{id: "4", err: full}), 0, 1, 1)
	})
	t.Run("a refusal out of date", func(t *testing.T) {
		step, submit := begin("1")
		submit("3")
		tell(t, "it leaves", step(wrote{id: "3", err: full}), 0, 1, 0)
		submit("4")
		tell(t, "it has left", step(erased{ids: []string{"1"}}), 1, 0, 0)
		tell(t, "that was before", step(wrote{id: "4", err: full}), 1, 0, 0)
		tell(t, "it does not fit", step(wrote{id: "4", err: full}), 0, 1, 1)
	})
}

// TestAMemoryOfManyJobs holds the core to tens of megabytes for 100,000 jobs.
func TestAMemoryOfManyJobs(t *testing.T) {
	d := newDesk(t, Limits{Queue: 200_000})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	func() {
		for n := range 100_000 {
			d.submit(NewID(d.now, [10]byte{byte(n >> 16), byte(n >> 8), byte(n)}), nil)
			d.records, d.other = d.records[:0], d.other[:0]
		}
	}()
	mib := (heap() - before) >> 20
	t.Logf("100,000 jobs take %d MiB", mib)
	if mib > 100 || len(d.s.jobs) != 100_000 {
		t.Errorf("%d jobs take %d MiB", len(d.s.jobs), mib)
	}
}

func TestIDsSortByTimeThenBytes(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123)
	a, b, c := NewID(at, [10]byte{1}), NewID(at, [10]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 1}), NewID(at.Add(time.Millisecond), [10]byte{})
	if len(a) != 26 || a >= b || b >= c || strings.Trim(a, idDigits) != "" {
		t.Errorf("%s %s %s", a, b, c)
	}
	if when, tail := ParseID(b); !when.Equal(at) || tail != [10]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 1} {
		t.Errorf("%v %v", when, tail)
	}
}

func TestARecordSurvivesItsForm(t *testing.T) {
	r := Record{ID: "a", Key: "k", Tenant: "t", State: run.JobSettled, Priority: run.High, Code: Digest{1, 2}, Fingerprint: Digest{3}, Starts: 2,
		Submitted: 1, Started: 2, Settled: 3, Deadline: 4, Keep: 5, Expires: 6, Verdict: "ok", Kept: 7, Events: []Event{{At: 1, What: Raised, From: 1, To: 2, By: "b"}}}
	b, err := json.Marshal(r)
	var back Record
	if err := errors.Join(err, json.Unmarshal(b, &back)); err != nil || !cmp.Equal(r, back) {
		t.Error(err, cmp.Diff(r, back))
	}
}
