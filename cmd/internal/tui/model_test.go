package tui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle/bundletest"
	"github.com/troupehost/troupe/host/control/client"
)

func rich(t *testing.T, view string, rights ...api.Right) *bench {
	return newBench(t, bundletest.Rich(0), 120, 30, view, "", rights...)
}

// TestKillASpinningGuest: from the list of guests to the end of the operation, by keys only.
func TestKillASpinningGuest(t *testing.T) {
	k := rich(t, "guests")
	k.keys("/", "'cpu>50% kind=job", "enter")
	k.sees("01JQ7SPIN", "10s of 12s", "1 of 3 guests")
	k.keys("t")
	if got := k.m.tracing.filter.Cause; got != bundletest.Cause {
		t.Errorf("traced cause %q", got)
	}
	k.sees("worker.Assign", "budget left 1m00s")
	k.keys("esc", "K")
	k.sees("why:")
	k.keys("enter")
	k.sees("say why")
	k.keys("'it spins", "enter")
	k.sees("type 01JQ7SPI to do it", "1 run lost")
	k.keys("enter")
	if len(k.applied) > 0 {
		t.Fatal("applied without a word")
	}
	k.sees("this is not 01JQ7SPI")
	k.keys("'01JQ7SPI", "enter")
	if len(k.applied) != 1 || k.applied[0].Verb != "job.cancel" || k.applied[0].Reason != "it spins" || !slices.Equal(k.applied[0].IDs, []string{bundletest.Spinning}) {
		t.Fatalf("applied %+v", k.applied)
	}
	k.sees("cancel …")
	k.step(operated{k.m.running[0].seq, api.Operation{ID: "op", Verb: "job.cancel", State: "done", Done: 1, Results: []api.PlanOutcome{{ID: bundletest.Spinning, State: "done"}}}, nil})
	k.sees("cancel done", "job.cancel done: 1 done, 0 failed")
	k.now = k.now.Add(trackedFor + time.Second)
	k.step(ticked{})
	k.seesNot("cancel done")
}

// TestRaiseAndRetry: a plan without danger needs one key to confirm.
func TestRaiseAndRetry(t *testing.T) {
	k := rich(t, "jobs").keys("/", "'id~WAIT000000000000000BB", "enter", "u")
	k.sees("job.raise  1 target", "enter: do it")
	k.keys("enter")
	k.keys(":", "'failures kind=artifact", "enter", "r", "y")
	var verbs []string
	for _, w := range k.applied {
		verbs = append(verbs, w.Verb+" "+w.IDs[0])
	}
	if want := []string{"job.raise " + bundletest.Waiting, "artifact.retry " + bundletest.BadKey}; !slices.Equal(verbs, want) {
		t.Errorf("%v", verbs)
	}
}

// TestGenerations: a wish holds the host to what was seen.
func TestGenerations(t *testing.T) {
	for view, want := range map[string]uint64{"actors path~worker-13": 6, "artifacts state=failed": 3, "workers id=execute-12": 4012} {
		k := rich(t, "overview").keys(":", "'"+view, "enter")
		key := map[string]string{"actors": "R", "artifacts": "r", "workers": "R"}[strings.Fields(view)[0]]
		k.keys(key)
		if len(k.wish.IDs) != 1 || k.wish.Match[k.wish.IDs[0]] != want {
			t.Errorf("%s: %+v", view, k.wish)
		}
	}
}

// TestBulk: marks, ranges and all, the number typed back, and results for each.
func TestBulk(t *testing.T) {
	k := rich(t, "jobs").keys("space", "j", "ctrl+@")
	k.sees("3 marked")
	k.keys("*")
	k.seesNot("marked")
	k.keys("*", "K", "'no longer wanted", "enter")
	k.sees("5 targets", "1 left out", "it is settled", "type 5 to do it")
	k.keys("'6", "enter")
	if len(k.applied) != 0 {
		t.Fatal("applied with the wrong number")
	}
	k.keys("backspace", "'5", "enter")
	if len(k.applied) != 1 || len(k.applied[0].IDs) != 6 {
		t.Fatalf("applied %+v", k.applied)
	}
	k.step(operated{k.m.running[0].seq, api.Operation{ID: "op", Verb: "job.cancel", State: "failed", Done: 4, Failed: 1, Results: []api.PlanOutcome{{ID: bundletest.Spinning, State: "failed", Code: "caller.stale", Why: "it has changed"}}}, nil})
	k.sees("4 done, 1 failed", "it has changed")
}

// TestMarkAllThatMatch: what the window does not show is named by the query.
func TestMarkAllThatMatch(t *testing.T) {
	k := newBench(t, bundletest.Rich(2000), 120, 30, "actors", "kind=worker")
	k.sees("first 500 of 1989 matching")
	k.keys("*", "R")
	k.keys("'a test", "enter")
	if k.wish.Selector != "kind=worker" || len(k.wish.IDs) != 0 {
		t.Errorf("%q, %d ids", k.wish.Selector, len(k.wish.IDs))
	}
}

// TestRights: who may only look is not shown what changes something, and no key does.
func TestRights(t *testing.T) {
	for _, view := range []string{"actors", "jobs", "queues", "artifacts", "workers", "guests", "dead", "failures", "apps", "chain", "overview"} {
		k := rich(t, view, api.View)
		for _, key := range strings.Split("PRruKxDpv", "") {
			k.keys(key)
			if k.m.dialog != nil || k.wish.Verb != "" {
				t.Errorf("%s: %s did something", view, key)
			}
		}
		for _, v := range api.Verbs {
			k.m.help = true
			if v.Key != "" && strings.Contains(k.text(), v.Effect) {
				t.Errorf("%s is shown", v.Name)
			}
			k.m.help = false
		}
		k.keys(":", "'node drain", "enter")
		k.sees("needs the right to admin")
	}
	k := rich(t, "workers", api.View, api.Operate)
	k.keys("K", "D")
	if k.m.dialog != nil {
		t.Error("an operator killed")
	}
	k.seesNot("K kill")
	k.keys("R")
	if k.wish.Verb != "worker.recycle" {
		t.Errorf("%+v", k.wish)
	}
}

// TestOffline: a bundle takes no verb, and its time stands still.
func TestOffline(t *testing.T) {
	k := rich(t, "actors")
	k.m.offline, k.m.since = "x.bundle", bundletest.At
	k.now = k.now.Add(time.Hour)
	k.keys("K", "R", "P")
	if k.m.dialog != nil {
		t.Error("a verb began")
	}
	k.sees("OFFLINE  snapshot of 2026-03-14 09:26:53Z", "42s")
}

// TestFreeze: the display stands still and says so; the rows behind it do not.
func TestFreeze(t *testing.T) {
	k := rich(t, "jobs").keys("f")
	b := bundletest.Rich(0)
	b.Jobs = b.Jobs[:1]
	f, _ := frameOf(b, "jobs", client.Find{})
	k.now = k.now.Add(time.Minute)
	k.step(framed{k.m.gen, false, f})
	k.sees("FROZEN 1m00s", "6 of 6 jobs", "12s")
	before := len(k.done)
	k.step(ticked{})
	if len(k.done) != before {
		t.Errorf("asked the host %v", k.done[before:])
	}
	k.keys("f")
	k.sees("1 of 1 jobs")
	k.seesNot("FROZEN")
}

// TestDisconnect: the last frame stays with its age, and back-off grows and is bounded.
func TestDisconnect(t *testing.T) {
	k := rich(t, "jobs")
	lost := fault.New(fault.CallerUnreachable, "connect", "x", nil)
	var waits []time.Duration
	for range 30 {
		k.done = nil
		k.step(broken{k.m.gen, false, "", lost})
		waits = append(waits, k.done[len(k.done)-1].(later).d)
	}
	if !slices.IsSorted(waits) || waits[0] > time.Second || waits[29] != 10*time.Second {
		t.Errorf("back-off %v", waits)
	}
	k.now = k.now.Add(9 * time.Second)
	k.step(ticked{})
	k.sees("DISCONNECTED 9s", "01JQ7SPIN", "caller.host_unreachable")
	k.m.looks = Colour
	if f := k.m.Frame().lines[3]; !strings.HasPrefix(f, sgr[chosen][0]) && !strings.HasPrefix(f, sgr[dim][0]) {
		t.Errorf("not dimmed: %q", f)
	}
	k.m.looks = Mono
	k.step(retried{k.m.gen, false}) // watches again, and a frame comes
	k.sees("READY")
	k.seesNot("DISCONNECTED")
	f, _ := frameOf(k.b, "jobs", client.Find{})
	f.Boot = "5eed0002"
	k.step(framed{k.m.gen, false, f})
	k.sees("the host has started anew, counters begin at zero; boot 5eed0002")
	k.keys("j")
	k.seesNot("started anew")
}

// TestWatchOnlyWhatIsSeen: each view replaces the one before, and a screen of details watches none.
func TestWatchOnlyWhatIsSeen(t *testing.T) {
	k := rich(t, "actors")
	k.done = nil
	k.keys("4")
	if w := k.done[0].(watch); w.view != "jobs" || len(k.done) != 1 {
		t.Errorf("%v", k.done)
	}
	k.done = nil
	k.keys("enter")
	if _, ok := k.done[0].(unwatch); !ok {
		t.Errorf("%v", k.done)
	}
	old := k.m.gen
	k.keys("esc")
	f, _ := frameOf(k.b, "queues", client.Find{})
	k.step(framed{old, false, f}) // of a view that was left
	k.sees("01JQ7SPIN")
}

// TestSorts: by level it is the host that sorts, by change it is us; both say so.
func TestSorts(t *testing.T) {
	k := rich(t, "actors").keys("s", "s", "s", "s", "s")
	if k.view.find.Sort != "-mailbox" {
		t.Errorf("sorted by %q", k.view.find.Sort)
	}
	k.sees("by MAILBOX")
	k.keys("S")
	if k.view.find.Sort != "mailbox" {
		t.Errorf("reversed: %q", k.view.find.Sort)
	}
	k.keys("s")
	k.sees("by MAILBOX change/10s")
	if k.view.find.Limit != maxRows {
		t.Errorf("limit %d", k.view.find.Limit)
	}
	b := bundletest.Rich(0)
	b.Host.Actors[7].Depth = 50 // from nothing, where another has 31 all the time
	f, _ := frameOf(b, "actors", client.Find{})
	k.now = k.now.Add(2 * time.Second)
	k.step(framed{k.m.gen, false, f})
	if k.m.shown[0].id != b.Host.Actors[7].Path {
		t.Errorf("first is %s", k.m.shown[0].id)
	}
	k.sees("50/64+")
	k.now = k.now.Add(markFades + time.Second)
	k.step(ticked{})
	k.seesNot("50/64+")
}

// TestWindow: going down widens what is asked for; the end asks for all.
func TestWindow(t *testing.T) {
	k := newBench(t, bundletest.Rich(10_204), 100, 30, "actors", "")
	k.sees("first 500 of 10204 matching")
	k.keys("G")
	if k.view.find.Limit != maxRows || len(k.m.shown) != maxRows {
		t.Errorf("limit %d, %d rows", k.view.find.Limit, len(k.m.shown))
	}
	k.sees("worker-10108") // the last one of the window
	if n := testing.AllocsPerRun(5, func() { k.m.Frame() }); n > 5000 {
		t.Errorf("a frame of 10,000 rows takes %v allocations", n)
	}
}

// TestTree: branches fold, and children stand under their parents.
func TestTree(t *testing.T) {
	k := rich(t, "tree")
	k.sees("- execute", "worker-12")
	for k.m.cursor != "troupe/execute" {
		k.keys("j")
	}
	k.keys("left")
	k.sees("+ execute")
	k.seesNot("worker-12")
	k.keys("right")
	k.sees("worker-12")
}

// TestHistory: back and forth, filters too.
func TestHistory(t *testing.T) {
	k := rich(t, "actors").keys("/", "'state=busy", "enter", "4", "[")
	k.sees(":actors state=busy")
	k.keys("[")
	k.sees("15 of 15 actors")
	k.keys("]", "]")
	k.sees(":jobs")
	k.keys(":", "up", "esc", "3", "/", "up", "enter")
	k.sees(":actors state=busy")
}

// TestCopies: ids and commands, quoted for a shell.
func TestCopies(t *testing.T) {
	k := rich(t, "actors")
	k.keys("/", "'path~follower", "enter", "y")
	if got := k.done[len(k.done)-1].(copied).text; got != bundletest.Wedged {
		t.Error(got)
	}
	k.keys("Y")
	if got := k.done[len(k.done)-1].(copied).text; got != "troupe actor list --selector 'path~follower'" {
		t.Error(got)
	}
	k.keys("m", "Y")
	if got := k.done[len(k.done)-1].(copied).text; got != "troupe actor mailbox "+bundletest.Wedged {
		t.Error(got)
	}
	if got := quoted("a'; rm -rf /; '\x1b[0m"); strings.Contains(got, "\x1b") || !strings.HasPrefix(got, `'a'\''; rm`) {
		t.Errorf("%q", got)
	}
}

// TestTraceBudget: messages that were lost are counted, the end is told, and the ring is bounded.
func TestTraceBudget(t *testing.T) {
	k := rich(t, "actors").keys("t")
	gen := k.m.tracing.gen
	for i := range maxTraces + 500 {
		k.step(traced{gen, inspect.Trace{Seq: uint64(i + 100), Actor: "troupe/x", Type: fmt.Sprint("T", i), Dropped: 7}})
	}
	k.sees("7 lost", fmt.Sprint("T", maxTraces+499))
	if len(k.m.tracing.rows) != maxTraces {
		t.Errorf("%d rows", len(k.m.tracing.rows))
	}
	k.step(traced{gen - 1, inspect.Trace{Seq: 1, Type: "OLD"}})
	k.step(traceEnded{gen, nil})
	k.sees("its budget is used up")
	k.seesNot("OLD")
}

// TestLogFollows: new lines are seen if the cursor is on the last one, and else do not move what is read.
func TestLogFollows(t *testing.T) {
	k := rich(t, "log")
	add := func(seq int) {
		k.step(framed{k.m.gen, false, api.Frame{Boot: k.b.Host.Boot, At: k.b.At, Matched: 1, Total: 99, Rows: []api.Row{{ID: fmt.Sprint(seq), Row: []byte(fmt.Sprintf(`{"seq":%d,"level":"info","message":"line %d"}`, seq, seq))}}}})
	}
	k.keys("G")
	add(1000)
	k.sees("line 1000")
	k.keys("g")
	add(1001)
	k.seesNot("line 1001")
	for i := range maxTail + 10 {
		add(2000 + i)
	}
	if len(k.m.list.rows) != maxTail {
		t.Errorf("%d lines", len(k.m.list.rows))
	}
}

// TestAnyKey: no key in any state breaks anything.
func TestAnyKey(t *testing.T) {
	all := strings.Split("jkgG/:[]sSftmlewoyYPRruKxDpv?+-*q123456789ä 'x", "")
	all = append(all, "enter", "esc", "tab", "shift+tab", "up", "down", "left", "right", "pgup", "pgdown", "home", "end", "space", "ctrl+@", "backspace", "delete", "ctrl+w", "ctrl+u", "ctrl+k")
	for seed := range 60 {
		k := newBench(t, bundletest.Rich(20), 60+seed, 8+seed%30, specs()[seed%16].name, "")
		state := uint32(seed*7919 + 1)
		for range 150 {
			state = state*1664525 + 1013904223
			key := all[int(state>>8)%len(all)]
			if len([]rune(key)) == 1 {
				k.step(pressed{key, key})
			} else {
				k.keys(key)
			}
			if len(k.m.Frame().lines) != k.m.h {
				t.Fatalf("seed %d: after %s: %d lines", seed, key, len(k.m.Frame().lines))
			}
		}
	}
}

// TestCommandsOfTheCommandLine: what is typed at ':' is a view, a plan, a trace, an explanation, or a verb whose output is shown.
func TestCommandsOfTheCommandLine(t *testing.T) {
	k := newBench(t, bundletest.Rich(20), 100, 30, "overview", "")
	k.keys(":", "'explain "+bundletest.Waiting, "enter").sees("it waits for its code to be prepared")
	k.keys("esc", ":", "'trace troupe/execute type=Assign min=1ms rows=50 for=30s", "enter").sees("budget left 30s, 4")
	if f := k.m.tracing.filter; f.Actor != "troupe/execute" || f.Type != "Assign" || f.MinMicros != 1000 || f.Rows != 50 || f.ForMicros != 30_000_000 {
		t.Errorf("%+v", f)
	}
	k.keys(":", "'trace rows=many", "enter").sees("not understood: rows=many", "sample=10")
	k.keys(":", "'job retry "+bundletest.Crashed, "enter").sees("job.retry", "1 target")
	k.keys("esc")

	k.done = nil
	k.keys(":", "'troupe app logs 'a b' --limit 3", "enter")
	var asked runs
	for _, e := range k.done {
		if r, ok := e.(runs); ok {
			asked = r
		}
	}
	if want := []string{"app", "logs", "a b", "--limit", "3"}; !slices.Equal(asked.words, want) {
		t.Fatalf("asked for %q", asked.words)
	}
	k.step(ran{asked.seq, asked.words, "one\ttab\nan\x1b[31mother\n", 4})
	k.sees("troupe app logs a b --limit 3  exit code 4", "one  tab", "esc: back")
	k.seesNot("\x1b[31m")
	k.keys("esc").seesNot("exit code")
	k.step(ran{asked.seq, asked.words, "late", 0}) // it was shown already
	k.seesNot("late")
	k.keys("o", ":", "'outbox", "enter").sees(":outbox") // and never the keys o, u, t, …
	k.keys("?", ":", "'jobs", "enter").sees(":jobs")
	k.keys(":", "'top", "enter").sees("wants a terminal of its own")
}

// TestProgram: what the program of 'troupe dev' prints comes first, its end stays in sight, and the views are below it.
func TestProgram(t *testing.T) {
	k := rich(t, "overview")
	k.keys("O")
	k.sees("only of a program that 'troupe dev' runs")
	k.m.program, k.m.printed = "app.wasm", []string{}
	k.keys("O")
	k.sees("output of app.wasm")
	var lines []string
	for n := range 2 * maxPrinted {
		lines = append(lines, fmt.Sprintf("line %d\tof \x1b[2Jit", n))
	}
	k.step(said{lines[:3]})
	k.sees("line 2  of")
	k.step(said{lines})
	k.sees(fmt.Sprintf("line %d  of", 2*maxPrinted-1))
	k.seesNot("\x1b[2J")
	if len(k.m.printed) != maxPrinted {
		t.Errorf("%d lines are kept", len(k.m.printed))
	}
	k.keys("g") // who reads what is above is left alone
	k.step(said{append(lines, "news")})
	k.seesNot("news")
	k.keys("esc")
	k.seesNot("output of app.wasm")
	k.keys(":", "'output", "enter")
	k.sees("output of app.wasm", "news")
	k.keys(":", "'serve", "enter")
	k.sees("'serve' cannot be typed here")
}
