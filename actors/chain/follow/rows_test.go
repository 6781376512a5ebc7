package follow

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// A host that was never told anything serves what is on chain.
func TestW75StartWithoutOperator(t *testing.T) {
	r := newRig(t, Limits{})
	r.l.mine(opTicket(1, appNo(1), 1, 100), opTicket(2, appNo(2), 2, 100), opBench(appNo(3)))
	r.settle(time.Minute)
	if r.h.apps[appNo(1)] == nil || r.h.bench != appNo(3) || len(r.h.apps) != 2 {
		t.Errorf("%d apps: %+v", len(r.h.apps), r.s.list(List{}))
	}
	if r.h.announce[appNo(1)] != 1 {
		t.Error("it was not announced before it was deployed")
	}
}

// A worker that lost its session and its apps has them again without anybody's help.
func TestW76AppsComeBack(t *testing.T) {
	r := newRig(t, Limits{})
	r.l.mine(opTicket(1, appNo(1), 1, 100))
	r.settle(time.Minute)
	delete(r.h.apps, appNo(1))
	sessionless := r.now.Add(5 * time.Second)
	r.fault = func(a Action) (any, error, bool) {
		_, deploy := a.(Deploy)
		return nil, fault.New(fault.CallerNoSession, "deploy", "", nil), deploy && r.now.Before(sessionless)
	}
	r.settle(30 * time.Second)
	if r.h.apps[appNo(1)] == nil {
		t.Errorf("after 30 s: %+v", r.s.list(List{}))
	}
}

func TestW78BenchPinned(t *testing.T) {
	r := newRig(t, Limits{})
	ops := []op{opBench(appNo(0))}
	for n := range 140 {
		ops = append(ops, opTicket(uint64(n+1), appNo(n+1), 1, uint64(1000+n)))
	}
	r.l.mine(ops...)
	r.settle(10 * time.Minute)
	if r.h.bench != appNo(0) || r.h.apps[appNo(0)] == nil {
		t.Error("the benchmark is not deployed")
	}
	if len(r.h.apps) != 129 {
		t.Errorf("%d apps, want 128 and the benchmark", len(r.h.apps))
	}
	for n := range 140 {
		if has := r.h.apps[appNo(n+1)] != nil; has != (n >= 12) {
			t.Errorf("the app that is paid %d: %v", 1000+n, has)
		}
	}
	if r.h.announce[appNo(1)] != 1 {
		t.Error("one that is next was not announced")
	}
	r.mine(opBench(appNo(199)))
	r.final()
	if r.h.bench != appNo(199) || r.h.apps[appNo(0)] != nil {
		t.Error("another benchmark is not followed")
	}
}

// steps are what is done when nobody pays an app any more.
func steps(r *rig, a manifest.Address) []Action {
	var out []Action
	for _, x := range r.acts {
		switch x := x.(type) {
		case Stop, Settle, Remove:
			out = append(out, x)
		}
	}
	return out
}

func TestW79UnpaidIsStopped(t *testing.T) {
	for name, end := range map[string]func(r *rig){
		"empty":                  func(r *rig) { r.mine(opBalance(1, 0)) },
		"only what it must keep": func(r *rig) { r.mine(opBalance(1, 1)) },
		"closing":                func(r *rig) { r.mine(opClosing(1)) },
		"not of the list":        func(r *rig) { r.mine(opMember(1, false)) },
		"told by who reports": func(r *rig) {
			st := r.l.state()
			ticket := st.tickets[1]
			ticket.balance = 0
			st.tickets[1] = ticket // no event says so
			r.queue = append(r.queue, Unpaid{appNo(1)})
			r.settle(0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Limits{})
			r.l.mine(opTicket(1, appNo(1), 1, 100), opTicket(2, appNo(2), 1, 100))
			r.settle(time.Minute)
			r.mine(opTicket(3, appNo(2), 2, 100))
			end(r)
			if len(steps(r, appNo(1))) != 0 {
				t.Error("it is stopped before that is final")
			}
			r.final()
			want := []Action{Stop{appNo(1)}, Settle{appNo(1)}, Remove{appNo(1)}}
			if name == "not of the list" {
				if len(r.h.apps) != 0 || r.h.settled[appNo(2)] != 1 {
					t.Errorf("both are of that list: %v", r.acts)
				}
				return
			}
			if diff := cmp.Diff(want, steps(r, appNo(1))); diff != "" {
				t.Error(diff)
			}
			if r.h.apps[appNo(1)] != nil || r.h.apps[appNo(2)] == nil {
				t.Error("only the one that nobody pays goes")
			}
		})
	}
}

func TestW80WrongManifestIsNotDeployed(t *testing.T) {
	r := newRig(t, Limits{})
	r.fault = func(a Action) (any, error, bool) {
		_, is := a.(FetchManifest)
		return fakeManifest(2).Encode(), nil, is // whoever verified it was wrong
	}
	r.l.mine(opTicket(1, appNo(1), 1, 100))
	r.settle(30 * time.Minute)
	if n := len(did[FetchManifest](r)); n != 1 || len(r.h.apps) != 0 || r.state("app/"+appNo(1).String()) != "refused" {
		t.Errorf("fetched %d times, %d apps: a refusal is remembered", n, len(r.h.apps))
	}
	r.fault = nil
	r.mine(opTicket(2, appNo(1), 1, 100))
	r.settle(time.Second)
	if r.h.apps[appNo(1)] == nil {
		t.Error("with another ticket it is tried again")
	}
}

func TestW80FailedFetchIsTriedAgain(t *testing.T) {
	r := newRig(t, Limits{})
	var times []time.Time
	r.fault = func(a Action) (any, error, bool) {
		if _, is := a.(FetchBlob); is {
			times = append(times, r.now)
			return nil, fault.New(fault.CallerNotFound, "fetch", "", nil), len(times) < 9
		}
		return nil, nil, false
	}
	r.l.mine(opTicket(1, appNo(1), 1, 100))
	r.settle(time.Hour)
	var gaps []time.Duration
	for i := range times[1:] {
		gaps = append(gaps, times[i+1].Sub(times[i]))
	}
	s := time.Second
	if diff := cmp.Diff([]time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 300 * s, 300 * s}, gaps); diff != "" {
		t.Error(diff)
	}
	if r.h.apps[appNo(1)] == nil {
		t.Error("it is not deployed")
	}
}

func TestW81FinalReportBeforeRemoval(t *testing.T) {
	r := newRig(t, Limits{})
	r.l.mine(opTicket(1, appNo(1), 1, 100))
	r.settle(time.Minute)
	tries := 0
	r.fault = func(a Action) (any, error, bool) {
		if _, is := a.(Settle); is {
			tries++
			return nil, fault.New(fault.BusyChain, "report", "", nil), tries < 4
		}
		return nil, nil, false
	}
	r.mine(opClosing(1))
	r.final()
	if got := r.s.claims([]manifest.Address{appNo(1)}); !slices.Equal(got[appNo(1)], []uint64{1}) {
		t.Errorf("the final report names no ticket: %v", got)
	}
	if len(did[Remove](r)) != 0 || tries != 1 {
		t.Error("it is removed before its report is settled")
	}
	r.settle(time.Minute)
	if r.h.settled[appNo(1)] != 1 || r.h.apps[appNo(1)] != nil {
		t.Errorf("tried %d times: %+v", tries, r.s.list(List{}))
	}
	// A report that nobody takes any more keeps nothing here.
	r.l.mine(opTicket(2, appNo(2), 1, 100))
	r.settle(time.Minute)
	r.h.apps[appNo(2)].settled = true // so the model lets it go
	r.fault = func(a Action) (any, error, bool) {
		_, is := a.(Settle)
		return nil, fault.New(fault.CallerTxFailed, "report", "", nil), is
	}
	r.mine(opClosing(2))
	r.final()
	if r.h.apps[appNo(2)] != nil {
		t.Error("it stays")
	}
}

func TestW82ReadsGrowWithChanges(t *testing.T) {
	r := newRig(t, Limits{})
	var ops []op
	for n := range 10_000 {
		ops = append(ops, opTicket(uint64(n+1), appNo(n%100), 1, 100))
	}
	for n := range 10_000 {
		ops = append(ops, opTicket(uint64(n+20_001), appNo(n%100), 2, 100)) // of other workers
	}
	r.l.mine(ops...)
	r.l.mine()
	r.l.mine()
	r.l.mine()
	r.settle(time.Minute)
	reads := func() int {
		n := 0
		for _, m := range r.l.queries {
			n += m
		}
		return n
	}
	start := reads()
	if start > 120 || len(r.s.tickets) != 10_000 {
		t.Errorf("%d reads for %d tickets at the start, want about 100 pages", start, len(r.s.tickets))
	}
	for range 50 {
		r.mine()
	}
	if n := reads() - start; n != 0 {
		t.Errorf("%d reads for 50 blocks in which nothing happened", n)
	}
	start = reads()
	for n := range uint64(20) {
		others := []op{opBalance(20_001+n, 5), opTicket(40_000+n, appNo(1), 2, 5), opClosing(21_000 + n)}
		r.mine(append(others, opBalance(n+1, 200), opBalance(n+1, 300), opClosing(n+101))...)
	}
	if n := reads() - start; n != 40 {
		t.Errorf("%d reads for 40 tickets that changed, and 60 of other workers", n)
	}
}

func TestTwoTicketsOneApp(t *testing.T) {
	r := newRig(t, Limits{})
	r.l.mine(opTicket(5, appNo(1), 1, 100), opTicket(3, appNo(1), 1, 50), opTicket(9, appNo(1), 1, 0), opTicket(7, appNo(1), 1, 10), opTicket(8, appNo(1), 2, 10))
	r.settle(time.Minute)
	if n := len(did[Deploy](r)); n != 1 {
		t.Errorf("deployed %d times", n)
	}
	claims := func() []uint64 { return r.s.claims([]manifest.Address{appNo(1), appNo(2)})[appNo(1)] }
	if diff := cmp.Diff([]uint64{3, 5, 7}, claims()); diff != "" {
		t.Error(diff)
	}
	r.mine(opClosing(7))
	if diff := cmp.Diff([]uint64{7, 3, 5}, claims()); diff != "" {
		t.Errorf("those that close come first: %s", diff)
	}
	r.mine(opBalance(3, 0), opClosed(7))
	r.final()
	if r.h.apps[appNo(1)] == nil {
		t.Error("one ticket still pays")
	}
}

func TestDeployedByHand(t *testing.T) {
	r := newRig(t, Limits{MaxApps: 1})
	r.h.apps[appNo(1)] = &hostApp{}
	r.h.apps[appNo(5)] = &hostApp{}
	r.l.mine(opTicket(1, appNo(1), 1, 100), opTicket(2, appNo(2), 1, 100))
	r.settle(time.Minute)
	if len(did[Deploy](r)) != 1 || r.h.apps[appNo(2)] == nil {
		t.Errorf("an operator's app takes no place: %v", r.acts)
	}
	if got := r.s.claims([]manifest.Address{appNo(1)}); len(got) != 1 {
		t.Error("its ticket is not claimed")
	}
	r.mine(opClosed(1), opClosed(2))
	r.final()
	if len(r.h.apps) != 2 || len(did[Remove](r)) != 1 {
		t.Errorf("what an operator deployed is left alone: %v", r.acts)
	}
}

func TestOtherChain(t *testing.T) {
	r := newRig(t, Limits{Images: true})
	r.l.mine(opTicket(1, appNo(1), 1, 100), opRequest("1", plainPlan))
	r.settle(time.Minute)
	r.final()
	r.settle(time.Minute)
	old := r.l
	r.l = newLedger()
	r.l.genesis = chain.Hash{10}
	r.l.mine(opMember(1, true), opIPs("127.0.0.9"))
	r.restart()
	r.settle(time.Hour)
	if r.s.status().State != "other_chain" || r.h.apps[appNo(1)] == nil || len(r.h.jobs) != 1 {
		t.Errorf("it is followed all the same: %+v", r.s.status())
	}
	r.l = old
	r.settle(time.Minute)
	if r.s.status().State != "following" {
		t.Errorf("the one of before is not followed again: %+v", r.s.status())
	}
	// An operator may say that it is right: then nothing of the one before is left.
	r.l = newLedger()
	r.l.genesis = chain.Hash{10}
	r.l.mine(opMember(1, true), opIPs("127.0.0.9"), opRequest("1", plainPlan))
	r.cfg.AnyGenesis = true
	r.restart()
	r.settle(time.Minute)
	r.final()
	r.settle(time.Minute)
	if r.h.apps[appNo(1)] != nil {
		t.Error("the app of the chain before is still here")
	}
	if r.h.created["1"] != 2 || len(r.h.jobs) != 1 || !r.l.state().vms["1"].fulfilled {
		t.Errorf("the request of the same number: %v, %+v", r.h.jobs, r.l.state().vms)
	}
}

func TestShownInPages(t *testing.T) {
	r := newRig(t, Limits{MaxApps: 2, Ahead: 1})
	var ops []op
	for n := range 9 {
		ops = append(ops, opTicket(uint64(n+1), appNo(n), 1, uint64(100*n)))
	}
	r.l.mine(append(ops, opRequest("1", `{"gpu":true}`))...)
	r.settle(time.Minute)
	var ids []string
	for after := ""; ; {
		p := r.s.list(List{After: after, Limit: 4})
		for _, d := range p.Demands {
			ids = append(ids, d.ID)
			if d.State == "" || d.State != "running" && d.Reason == "" {
				t.Errorf("%+v does not say why", d)
			}
		}
		if after = p.Next; after == "" {
			break
		}
	}
	if len(ids) < 9 || !slices.IsSorted(ids) || len(slices.Compact(ids)) != len(ids) {
		t.Errorf("%v", ids)
	}
	f := r.s.status()
	if f.Tickets != 9 || f.Apps["running"] != 2 || f.State != "following" {
		t.Errorf("%+v", f)
	}
	r.l.down = true
	r.queue = append(r.queue, lost{r.run, fault.New(fault.BusyChain, "fake", "", nil)})
	r.settle(time.Hour)
	if f := r.s.status(); f.State != "lost" || f.Reason == "" || r.h.apps[appNo(8)] == nil {
		t.Errorf("%+v", f)
	}
	r.l.down = false
	r.settle(time.Minute)
	if f := r.s.status(); f.State != "following" {
		t.Errorf("%+v", f)
	}
}
