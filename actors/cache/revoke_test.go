package cache

import (
	"errors"
	"fmt"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// revoke returns what a Revoke was answered.
func (b *bench) revoke(tenant, tag string) int {
	b.t.Helper()
	n := -1
	b.step(Revoke{Tenant: tenant, Tag: tag, Reply: kernel.ReplyFunc(func(got int, err error) {
		if n != -1 || err != nil {
			b.t.Errorf("answered %d, %v after %d", got, err, n)
		}
		n = got
	})})
	return n
}

func (b *bench) wantError(id uint64, want fault.Code) {
	b.t.Helper()
	if b.done[id] != 1 || fault.CodeOf(b.err[id]) != want {
		b.t.Errorf("request %d: answered %d times, error %v, want %s", id, b.done[id], b.err[id], want)
	}
}

func TestRevoke(t *testing.T) {
	b := newBench(t, Limits{Requests: 5}, one(1))
	other := artifacts.Key{2}
	b.ask(Request{ID: 1, Kind: Execute, Tenant: "a", Validity: "leaf 1"}) // runs
	b.ask(Request{ID: 2, Kind: Precheck, Tenant: "a", Validity: "leaf 1", Key: other})
	b.ask(Request{ID: 3, Kind: Execute, Tenant: "a", Validity: "leaf 2", Key: other})
	b.ask(Request{ID: 4, Kind: Execute, Tenant: "b", Validity: "leaf 1", Key: other})
	b.ask(Request{ID: 5, Kind: Execute, Tenant: "a", Validity: "leaf 1"}) // runs
	b.ask(Request{ID: 6, Kind: Execute, Tenant: "a"})
	b.wantError(6, fault.BusyQueueFull) // the table is full
	if n := b.revoke("a", "leaf 1"); n != 3 {
		t.Errorf("ended %d", n)
	}
	b.wantError(2, fault.CanceledRevoked)
	if fmt.Sprint(b.stopped) != "[1 5]" || b.done[1]+b.done[3]+b.done[4]+b.done[5] != 0 || len(b.canceled) != 0 {
		t.Errorf("stopped runs %v, answered %v, canceled preparations %v", b.stopped, b.done, b.canceled)
	}
	if n := b.revoke("a", "leaf 1"); n != 0 || len(b.stopped) != 2 {
		t.Errorf("again, before their end: ended %d, stopped %v", n, b.stopped)
	}
	b.step(executed{id: 1, err: fault.New(fault.CanceledCaller, "", "", nil)})
	b.wantError(1, fault.CanceledRevoked)
	b.executed(5, run.Outcome{})
	b.wantFault(5, "") // it had ended well
	if n := b.revoke("a", "leaf 1"); n != 0 {
		t.Errorf("once more: ended %d", n)
	}
	b.ask(Request{ID: 7, Kind: Execute, Tenant: "a", Validity: "leaf 1"})
	b.wantError(7, fault.CanceledRevoked)
	if n := b.revoke("a", "leaf 2") + b.revoke("b", "leaf 1"); n != 2 || len(b.canceled) != 1 {
		t.Errorf("ended %d, canceled %v", n, b.canceled)
	}
	if n := b.revoke("a", ""); n != 0 {
		t.Errorf("no tag at all: ended %d", n)
	}
}

func TestRevokeStopsASecondAttempt(t *testing.T) {
	for _, code := range []fault.Code{fault.SuspectWorkerDied, fault.HostArtifactCorrupt, fault.GuestTrap} {
		b := newBench(t, Limits{}, one(1))
		b.ask(Request{ID: 1, Kind: Execute, Tenant: "a", Validity: "x"})
		b.revoke("a", "x")
		b.executed(1, run.Outcome{Fault: fault.New(code, "", "", nil)})
		b.wantError(1, fault.CanceledRevoked)
		if len(b.runs) != 1 || len(b.jobs) != 0 {
			t.Errorf("%s: %d runs, %d preparations", code, len(b.runs), len(b.jobs))
		}
	}
}

func TestRevokeWhileTheIndexIsRead(t *testing.T) {
	b := idle(t, Limits{Requests: 2})
	b.ask(Request{ID: 1, Kind: Execute, Tenant: "a", Validity: "x"})
	b.ask(Request{ID: 2, Kind: Execute, Tenant: "a", Validity: "y"})
	if n := b.revoke("a", "x"); n != 1 {
		t.Errorf("ended %d", n)
	}
	b.wantError(1, fault.CanceledRevoked)
	b.ask(Request{ID: 3, Kind: Execute, Tenant: "a", Validity: "x"})
	b.wantError(3, fault.CanceledRevoked)
	b.step(indexed{})
	b.prepared(prepare.Outcome{})
	b.executed(2, run.Outcome{})
	b.wantFault(2, "")
}

func TestRevokedTagsAreBounded(t *testing.T) {
	r := newRevocations()
	r.add("modest", "1")
	for n := range 3 * maxRevoked {
		r.add("greedy", fmt.Sprint(n))
	}
	if !r.has("modest", "1") || r.n != maxRevoked {
		t.Errorf("%d tags, those of others are there: %v", r.n, r.has("modest", "1"))
	}
	if last := fmt.Sprint(3*maxRevoked - 1); !r.has("greedy", last) || r.has("greedy", "0") {
		t.Error("of the greedy one, not the newest stayed")
	}
	r = newRevocations()
	for n := range maxRevoked + 1 {
		r.add(fmt.Sprint(n), "x")
	}
	if r.n != maxRevoked || len(r.tenants) != maxRevoked || r.has("0", "x") || !r.has(fmt.Sprint(maxRevoked), "x") {
		t.Errorf("one each: %d tags of %d tenants", r.n, len(r.tenants))
	}
	r.add("1", "x") // again: it is the newest now
	r.add("new", "x")
	if !r.has("1", "x") || r.has("2", "x") {
		t.Error("a tag that was revoked again is not the newest")
	}
}

func TestRevokeOfADepartedRequestIsNotCounted(t *testing.T) {
	b := newBench(t, Limits{}, one(1))
	b.ask(Request{ID: 1, Kind: Execute, Tenant: "a", Validity: "x"})
	b.step(Depart{ID: 1})
	if n := b.revoke("a", "x"); n != 0 {
		t.Errorf("ended %d", n)
	}
	b.step(executed{id: 1, err: fault.New(fault.CanceledCaller, "", "", nil)})
	if !errors.Is(b.err[1], fault.CanceledCaller) {
		t.Errorf("%v", b.err[1])
	}
}
