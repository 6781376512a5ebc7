package cache

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

func one(k byte) Entry {
	return Entry{Key: artifacts.Key{k}, Bytes: 60, Meta: artifacts.Meta{Key: artifacts.Key{k}, Parts: []artifacts.Part{{Bytes: 60}}}}
}

func TestLeavingWhileTheArtifactIsStoredKeepsIt(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck})
	j := b.jobs[0]
	b.step(prepared{key: key, gen: j.Gen, outcome: prepare.Outcome{Meta: artifacts.Meta{Key: key, Parts: []artifacts.Part{{Bytes: 60}}}}})
	b.step(Depart{ID: 1})
	b.step(stored{key: key, gen: j.Gen, bytes: 60})
	if e := b.s.entries[key]; e == nil || e.state != artifacts.Prepared || b.s.total() != 60 || len(b.canceled) != 0 {
		t.Errorf("entry %+v, %d bytes, canceled %v", e, b.s.total(), b.canceled)
	}
	b.ask(Request{ID: 2, Kind: Precheck})
	if b.wantFault(2, ""); !b.answer[2].Hit {
		t.Error("it was prepared again")
	}
}

func TestADepartureThatCameFirstIsPassedOn(t *testing.T) {
	b := newBench(t, Limits{})
	out := b.s.Step(b.now, Depart{ID: 9})
	q, ok := out[0].(Requeue)
	if !ok {
		t.Fatalf("%+v", out)
	}
	b.ask(Request{ID: 9, Kind: Execute})
	b.step(q.Message)
	if !errors.Is(b.err[9], fault.CanceledCaller) || len(b.canceled) != 1 {
		t.Errorf("%v, canceled %v", b.err[9], b.canceled)
	}
	out = b.s.Step(b.now, q.Message)
	if c, ok := out[0].(CancelExecute); !ok || c.Run != 9 {
		t.Errorf("%+v: a run of an earlier incarnation goes on", out)
	}
}

func TestAWallLimitBindsSmallerBudgetsOnly(t *testing.T) {
	tight, wide := prepare.Budget{CPU: time.Minute, Wall: time.Millisecond}, prepare.Budget{CPU: time.Minute, Wall: time.Minute}
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: tight})
	b.ask(Request{ID: 2, Kind: Execute, Budget: wide})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareWall, "", "", nil), Budget: tight})
	b.wantFault(1, fault.SuspectPrepareWall)
	if b.done[2] != 0 || len(b.jobs) != 2 || b.jobs[1].Job.Budget != wide {
		t.Fatalf("who had more time: answered %d times, %d preparations", b.done[2], len(b.jobs))
	}
	b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareWall, "", "", nil)})
	b.ask(Request{ID: 3, Kind: Execute, Budget: wide})
	b.wantFault(3, fault.SuspectPrepareWall)
	b.ask(Request{ID: 4, Kind: Precheck, Budget: prepare.Budget{CPU: time.Minute, Wall: time.Hour}})
	if len(b.jobs) != 3 {
		t.Error("a larger budget was answered from the record")
	}
}

func TestTheReasonOfAFailureIsRemembered(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Execute})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.GuestInvalid, "prepare", "function[0]", errors.New("not enough results\x1b"))})
	f := b.s.entries[key].failure
	b = newBench(t, Limits{}, Entry{Key: key, Failure: &f})
	b.ask(Request{ID: 2, Kind: Execute})
	if got := b.answer[2].Outcome.Fault.Error(); !strings.Contains(got, "function[0]") || !strings.Contains(got, "not enough results\uFFFD") {
		t.Errorf("after a restart: %q", got)
	}
}

func TestASecondRunIsAnsweredFromTheFailure(t *testing.T) {
	b := newBench(t, Limits{}, one(1))
	b.ask(Request{ID: 1, Kind: Execute})
	b.ask(Request{ID: 2, Kind: Execute})
	b.executed(1, run.Outcome{Fault: fault.New(fault.HostArtifactCorrupt, "", "", nil)})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareDied, "", "", nil)})
	b.executed(2, run.Outcome{Fault: fault.New(fault.HostArtifactCorrupt, "", "", nil)})
	b.wantFault(1, fault.SuspectPrepareDied)
	b.wantFault(2, fault.SuspectPrepareDied)
}

func TestPinsHoldFromTheRequestOn(t *testing.T) {
	b := newBench(t, Limits{Pins: 1}, one(1), one(2))
	b.hold = true
	b.step(Pin{Key: key, Tenant: "a"})
	b.step(Pin{Key: artifacts.Key{2}, Tenant: "a"})
	if len(b.ops) != 1 || !errors.Is(b.ops[0], fault.CallerQuota) {
		t.Errorf("a pin past the one on its way: %v", b.ops)
	}
	b.step(Evict{Key: key})
	if !errors.Is(b.ops[1], fault.CallerConflict) {
		t.Errorf("evict of what is about to be pinned: %v", b.ops[1])
	}
	b.s.limits.Policy.LimitBytes = 60
	b.step(Prune{})
	if b.s.entries[key] == nil || b.s.entries[artifacts.Key{2}] != nil {
		t.Error("the wrong one was pruned")
	}
	b.storeErr = fault.New(fault.BusyDisk, "", "", nil)
	b.release()
	b.step(Pin{Key: key, Tenant: "a"}) // the store refuses
	b.storeErr = nil
	b.step(Pin{Key: key, Tenant: "a"})
	if err := b.ops[len(b.ops)-1]; err != nil {
		t.Errorf("a pin that was refused counts: %v", err)
	}
}

func TestPinsOutliveTheirArtifacts(t *testing.T) {
	pinned := one(1)
	pinned.Pins = []string{"a"}
	b := newBench(t, Limits{Pins: 1}, pinned, Entry{Key: artifacts.Key{7}, Absent: true, Pins: []string{"b"}})
	e := b.s.entries[key]
	b.step(verified{key: key, gen: e.gen, err: fault.New(fault.HostArtifactCorrupt, "", "", nil)})
	list := b.s.list()
	if len(list) != 2 || list[0].State != "absent" || list[1].State != "absent" {
		t.Errorf("%+v", list)
	}
	b.ask(Request{ID: 1, Kind: Execute})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.GuestInvalid, "", "", nil)})
	b.step(Pin{Key: key, Tenant: "a", Off: true})
	b.step(Pin{Key: artifacts.Key{7}, Tenant: "b", Off: true})
	for n, err := range b.ops[1:] {
		if err != nil {
			t.Errorf("unpin %d: %v", n, err)
		}
	}
	if len(b.s.pins) != 0 {
		t.Errorf("pins %v", b.s.pins)
	}
}

func TestWhatCannotBeRemovedComesBack(t *testing.T) {
	b := newBench(t, Limits{}, one(1))
	b.storeErr = fault.New(fault.BusyDisk, "", "", nil)
	b.step(Evict{Key: key})
	if !errors.Is(b.ops[0], fault.BusyDisk) || b.s.entries[key] == nil || b.s.total() != 60 {
		t.Errorf("%v, %d bytes", b.ops, b.s.total())
	}
	b.step(Evict{Key: key, Reply: kernel.Reply[struct{}]{}})
	b.storeErr = nil
	b.step(Evict{Key: key})
	if err := b.ops[2]; err != nil || b.s.total() != 0 || len(b.s.leaving) != 0 {
		t.Errorf("%v, %d bytes", err, b.s.total())
	}
}

func TestRoomIsMadeBeforeAnArtifactIsWritten(t *testing.T) {
	b := newBench(t, Limits{Policy: artifacts.PrunePolicy{LimitBytes: 130}}, one(1), one(2))
	b.now = b.now.Add(time.Second)
	b.ask(Request{ID: 1, Kind: HeadsUp, Key: artifacts.Key{3}})
	b.prepared(prepare.Outcome{})
	if len(b.deleted) != 1 || b.puts[0].MemoryOnly || b.s.total() != 120 {
		t.Errorf("removed %d, %+v, %d bytes", len(b.deleted), b.puts, b.s.total())
	}
	for k := range b.s.entries {
		b.s.pins[k] = []string{"a"}
	}
	b.ask(Request{ID: 2, Kind: HeadsUp, Key: artifacts.Key{4}})
	b.step(prepared{key: artifacts.Key{4}, gen: b.jobs[1].Gen, outcome: prepare.Outcome{Meta: artifacts.Meta{Key: artifacts.Key{4}, Parts: []artifacts.Part{{Bytes: 60}}}}})
	if !b.puts[1].MemoryOnly || len(b.deleted) != 1 {
		t.Errorf("beside what is pinned: %+v, removed %d", b.puts[1], len(b.deleted))
	}
	b.step(stored{key: artifacts.Key{4}, gen: b.jobs[1].Gen})
	clear(b.s.pins)
	b.now = b.now.Add(b.s.limits.Persist)
	b.ask(Request{ID: 3, Kind: Precheck, Key: artifacts.Key{4}})
	if len(b.again) != 1 || len(b.deleted) != 2 {
		t.Errorf("with room again: written again %d times, removed %d", len(b.again), len(b.deleted))
	}
}

func TestWhatCouldNotBeWrittenIsTriedAgain(t *testing.T) {
	b := newBench(t, Limits{Unstored: 1})
	for n := range byte(2) {
		b.ask(Request{ID: uint64(n), Kind: HeadsUp, Key: artifacts.Key{n + 2}})
		j := b.jobs[n]
		b.step(prepared{key: j.Job.Key, gen: j.Gen, outcome: prepare.Outcome{Meta: artifacts.Meta{Key: j.Job.Key, Parts: []artifacts.Part{{Bytes: 60}}}}})
		b.step(stored{key: j.Job.Key, gen: j.Gen})
		b.now = b.now.Add(time.Second)
	}
	if len(b.s.entries) != 1 {
		t.Errorf("%d artifacts in memory only, the limit is 1", len(b.s.entries))
	}
	second := artifacts.Key{3}
	b.step(Verify{Key: second})
	if !errors.Is(b.ops[0], fault.CallerConflict) || b.s.entries[second] == nil {
		t.Errorf("verify of what is not on disk: %v", b.ops)
	}
	b.step(Prune{})
	if len(b.again) != 0 {
		t.Error("tried again at once")
	}
	b.step(Persist{})
	if len(b.again) != 1 {
		t.Fatalf("there is room, and it was tried again %d times", len(b.again))
	}
	b.step(Evict{Key: second})
	if !errors.Is(b.ops[2], fault.CallerConflict) {
		t.Errorf("evict while it is written: %v", b.ops[2])
	}
	b.step(stored{key: second, gen: b.again[0].Gen, bytes: 60})
	if b.s.total() != 60 {
		t.Errorf("%d bytes", b.s.total())
	}
}

func TestDescriptionsAreLoadedOnceAndBounded(t *testing.T) {
	var list []Entry
	for n := range byte(50) {
		list = append(list, one(n+1))
	}
	b := newBench(t, Limits{Descriptions: 2000}, list...)
	b.hold = true
	b.ask(Request{ID: 1, Kind: Precheck, Key: artifacts.Key{1}})
	b.ask(Request{ID: 2, Kind: Execute, Key: artifacts.Key{1}})
	b.step(Show{Key: artifacts.Key{1}})
	b.step(Evict{Key: artifacts.Key{1}})
	if len(b.held) != 1 || !errors.Is(b.ops[0], fault.CallerConflict) {
		t.Errorf("%d loads, evict %v", len(b.held), b.ops)
	}
	b.release()
	b.wantFault(1, "")
	if len(b.answer[1].Meta.Module.Exports) != 1 || len(b.runs) != 1 {
		t.Errorf("%+v, %d runs", b.answer[1], len(b.runs))
	}
	for n := range byte(50) {
		b.ask(Request{ID: uint64(100) + uint64(n), Kind: Precheck, Key: artifacts.Key{n + 1}})
		b.wantFault(uint64(100)+uint64(n), "")
	}
	loaded, total := 0, int64(0)
	for _, e := range b.s.entries {
		if e.module != nil {
			loaded++
			total += weight(*e.module)
		}
	}
	if loaded == 0 || total != b.s.described || total > 2000 {
		t.Errorf("%d loaded, %d bytes, counted %d", loaded, total, b.s.described)
	}
	b.describe = func(Describe) error { return fault.New(fault.HostArtifactCorrupt, "", "", nil) }
	b.ask(Request{ID: 200, Kind: Execute, Key: artifacts.Key{1}})
	if len(b.jobs) != 1 {
		t.Error("an artifact without a description is not prepared again")
	}
}

func TestAdmission(t *testing.T) {
	b := newBench(t, Limits{Preparing: 1, Requests: 3}, one(5))
	b.ask(Request{ID: 1, Kind: HeadsUp, NoCode: true})
	if !errors.Is(b.err[1], fault.CallerNotFound) || b.accepted != 0 {
		t.Errorf("without code: %v, accepted %d", b.err[1], b.accepted)
	}
	b.ask(Request{ID: 2, Kind: HeadsUp})
	b.ask(Request{ID: 3, Kind: HeadsUp, NoCode: true}) // somebody else has it
	b.ask(Request{ID: 4, Kind: HeadsUp, Key: artifacts.Key{2}})
	if b.accepted != 2 || !errors.Is(b.err[4], fault.BusyQueueFull) {
		t.Errorf("accepted %d, over the queue: %v", b.accepted, b.err[4])
	}
	b.step(Depart{ID: 2})
	b.step(Depart{ID: 3})
	b.ask(Request{ID: 5, Kind: HeadsUp, Key: artifacts.Key{2}})
	if !errors.Is(b.err[5], fault.BusyQueueFull) {
		t.Error("the place of a preparation was given away before the queue said that it has ended")
	}
	b.step(prepared{key: key, gen: b.jobs[0].Gen, err: fault.New(fault.CanceledCaller, "", "", nil)})
	for n := range uint64(4) {
		b.ask(Request{ID: 10 + n, Kind: Execute, Key: artifacts.Key{5}, NoCode: true})
	}
	if len(b.runs) != 3 || !errors.Is(b.err[13], fault.BusyQueueFull) {
		t.Errorf("%d runs, over the limit: %v", len(b.runs), b.err[13])
	}
}
