package cache

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

func made(k artifacts.Key) prepare.Outcome {
	return prepare.Outcome{Meta: artifacts.Meta{Key: k, Module: module, Parts: []artifacts.Part{{Bytes: 60}}}}
}

// unstored makes the artifact of key, which could not be written.
func (b *bench) unstored(id uint64) {
	b.t.Helper()
	b.ask(Request{ID: id, Kind: HeadsUp})
	j := b.jobs[len(b.jobs)-1]
	b.step(prepared{key: key, gen: j.Gen, outcome: made(key)})
	b.step(stored{key: key, gen: j.Gen})
}

func TestNothingIsRepeatedForADepartedCaller(t *testing.T) {
	for _, code := range []fault.Code{fault.SuspectWorkerDied, fault.HostArtifactMissing} {
		b := newBench(t, Limits{}, one(1))
		b.ask(Request{ID: 1, Kind: Execute})
		b.step(Depart{ID: 1})
		b.executed(1, run.Outcome{Fault: fault.New(code, "", "", nil)})
		if len(b.runs) != 1 || len(b.jobs) != 0 || !errors.Is(b.err[1], fault.CanceledCaller) {
			t.Errorf("%s: %d runs, %d preparations, %v", code, len(b.runs), len(b.jobs), b.err[1])
		}
	}
}

func TestAFailedStoreForgetsTheDescription(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: HeadsUp})
	b.step(prepared{key: key, gen: b.jobs[0].Gen, outcome: made(key)})
	b.step(stored{key: key, gen: b.jobs[0].Gen, err: fault.New(fault.BugProtocol, "", "", nil)})
	if b.s.described != 0 || len(b.s.entries) != 0 {
		t.Errorf("%d bytes of descriptions, %d entries", b.s.described, len(b.s.entries))
	}
}

// TestAnEntryComesBackFree has a removal fail after the entry was written once more on its way out.
func TestAnEntryComesBackFree(t *testing.T) {
	b := newBench(t, Limits{})
	b.unstored(1)
	b.now = b.now.Add(time.Minute)
	b.ask(Request{ID: 2, Kind: Execute})
	b.hold = true
	b.storeErr = fault.New(fault.BusyDisk, "", "", nil)
	b.executed(2, run.Outcome{Fault: fault.New(fault.SuspectArtifact, "", "", nil)})
	b.step(stored{key: key, gen: b.again[0].Gen, bytes: 60})
	b.step(Depart{ID: 2})
	b.release()
	if e := b.s.entries[key]; e == nil || e.storing || e.reserved != 0 || e.bytes != 60 {
		t.Fatalf("%+v", e)
	}
	b.storeErr = nil
	b.step(Evict{Key: key})
	if err := b.ops[len(b.ops)-1]; err != nil || b.s.total() != 0 {
		t.Errorf("%v, %d bytes", err, b.s.total())
	}
}

func TestARetryThatComesToNothingForgetsNothing(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: strict})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.GuestPrepareCPU, "", "", nil), CPU: time.Minute})
	b.ask(Request{ID: 2, Kind: Execute})
	b.step(Depart{ID: 2})
	b.ask(Request{ID: 3, Kind: Precheck, Budget: strict})
	if b.wantFault(3, fault.GuestPrepareCPU); len(b.jobs) != 2 {
		t.Errorf("%d preparations", len(b.jobs))
	}

	b = newBench(t, Limits{Cooldown: time.Minute, Retries: 1})
	b.ask(Request{ID: 1, Kind: Execute})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareDied, "", "", nil)})
	b.now = b.now.Add(time.Minute)
	b.ask(Request{ID: 2, Kind: Execute})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.GuestInvalid, "", "", nil)})
	b.wantFault(2, fault.GuestInvalid)
	b.ask(Request{ID: 3, Kind: Execute})
	if b.wantFault(3, fault.GuestInvalid); len(b.jobs) != 2 {
		t.Errorf("%d preparations", len(b.jobs))
	}

	b = newBench(t, Limits{Cooldown: time.Minute, Retries: 2})
	b.ask(Request{ID: 1, Kind: Execute})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareDied, "", "", nil)})
	b.now = b.now.Add(time.Minute)
	b.ask(Request{ID: 2, Kind: Execute})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.HostSpawnFailed, "", "", nil)})
	if e := b.s.entries[key]; e == nil || e.failure.Count != 1 || e.fault.Code != fault.SuspectPrepareDied {
		t.Errorf("a fault of the host wiped out %+v", e)
	}
}

// TestTheMostThatWasUsedIsRemembered has a second attempt use less than the first one did.
func TestTheMostThatWasUsedIsRemembered(t *testing.T) {
	b := newBench(t, Limits{})
	for id, cpu := range []time.Duration{strict.CPU + time.Second, time.Second} {
		b.ask(Request{ID: uint64(id), Kind: Execute})
		b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareDied, "", "", nil), CPU: cpu})
		b.now = b.now.Add(time.Hour)
	}
	b.ask(Request{ID: 2, Kind: Precheck, Budget: strict})
	b.wantFault(2, fault.GuestPrepareCPU)
}

// TestBytesOfTwoGenerationsCountUntilTheyAreGone removes a generation while the removal of the one before, which took more, is
// under way.
func TestBytesOfTwoGenerationsCountUntilTheyAreGone(t *testing.T) {
	b := newBench(t, Limits{}, one(1))
	b.hold = true
	b.step(Evict{Key: key})
	b.ask(Request{ID: 1, Kind: Execute})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareDied, "", "", nil)})
	b.step(Evict{Key: key})
	if n := b.s.total(); n != 60 {
		t.Errorf("%d bytes are counted, but 60 are on disk", n)
	}
	b.release()
	if n := b.s.total(); n != 0 {
		t.Errorf("%d bytes are counted at the end", n)
	}
}

func TestRemovalsDoNotMeet(t *testing.T) {
	b := newBench(t, Limits{}, one(1))
	b.hold = true
	b.storeErr = fault.New(fault.BusyDisk, "", "", nil)
	b.step(Evict{Key: key})
	b.step(Prune{})
	if len(b.deleted) != 1 {
		t.Errorf("%d removals of one artifact", len(b.deleted))
	}
	b.release()
	if b.s.entries[key] == nil || b.s.total() != 60 {
		t.Errorf("%d bytes are counted", b.s.total())
	}
}

// TestRoomIsNotMadeInVain has what is pinned leave no room for a new artifact.
func TestRoomIsNotMadeInVain(t *testing.T) {
	pin, free := one(2), one(3)
	pin.Pins, free.Bytes = []string{"a"}, 20
	limits := Limits{Policy: artifacts.PrunePolicy{LimitBytes: 100}}
	b := newBench(t, limits, pin, free)
	b.unstored(1)
	if !b.puts[0].MemoryOnly || len(b.deleted) > 0 {
		t.Errorf("memory only %v, removed %d", b.puts[0].MemoryOnly, len(b.deleted))
	}
	b.now = b.now.Add(time.Hour)
	b.ask(Request{ID: 2, Kind: HeadsUp})
	b.step(Persist{})
	if len(b.deleted) > 0 || len(b.again) > 0 {
		t.Errorf("tried again: removed %d, written %d", len(b.deleted), len(b.again))
	}

	b = newBench(t, limits, one(2))
	b.now = b.now.Add(time.Second)
	b.unstored(1)
	b.now = b.now.Add(time.Second)
	b.ask(Request{ID: 2, Kind: HeadsUp, Key: artifacts.Key{9}})
	b.prepared(prepare.Outcome{})
	if len(b.deleted) != 1 || b.deleted[0] != (artifacts.Key{2}) {
		t.Errorf("removed %v: what is in memory only takes no room", b.deleted)
	}
}

// TestManyUnstoredAreOneStep counts what the policy is asked, since the actor stands still meanwhile.
func TestManyUnstoredAreOneStep(t *testing.T) {
	var list []Entry
	for i := range 3000 {
		e := one(1)
		binary.BigEndian.PutUint64(e.Key[:], uint64(i)*0x9e3779b97f4a7c15)
		e.Meta.Key = e.Key
		list = append(list, e)
	}
	b := newBench(t, Limits{Policy: artifacts.PrunePolicy{LimitBytes: 3000 * 60}}, list...)
	for _, e := range list[:1000] {
		b.s.entries[e.Key].bytes = 0
	}
	b.s.limits.Policy.LimitBytes = 2500 * 60
	out := b.s.Step(b.now, Persist{})
	again, removed := 0, 0
	for _, e := range out {
		switch e := e.(type) {
		case StoreAgain:
			again++
		case Delete:
			removed += len(e.Gone)
		}
	}
	if again != 501 || removed != 1 {
		t.Errorf("%d are written and %d removed, want 500 that fit and one that room is made for", again, removed)
	}
}
