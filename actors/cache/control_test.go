package cache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
)

// asking asks beside the test. The function that it returns waits for the end, and says when it came.
func (s *stage) asking(r Request) func() (Answer, time.Duration, error) {
	type end struct {
		a   Answer
		err error
		at  time.Duration
	}
	ends := make(chan end, 1)
	go func() {
		a, err := s.ask(context.Background(), r)
		ends <- end{a, err, time.Since(s.begin)}
	}()
	synctest.Wait()
	return func() (Answer, time.Duration, error) {
		e := <-ends
		return e.a, e.at, e.err
	}
}

func TestShellExtendsAndMarksAPreparation(t *testing.T) {
	onStage(t, Config{}, func(t *testing.T, s *stage) {
		<-time.After(2 * storeTime)
		first, second := s.request(1, 9, Precheck), s.request(2, 9, Precheck)
		first.Budget, first.Tenant, second.Tenant, second.Priority = strict, "a", "b", run.High
		one, two := s.asking(first), s.asking(second)
		want := []prepare.Raise{{Job: s.enqueued[0].Job.ID, Priority: run.High, Budget: loose, Marks: []prepare.Budget{strict}, By: "precheck of b"}}
		if d := cmp.Diff(want, s.raised, cmpopts.IgnoreUnexported(prepare.Raise{})); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		_ = s.cache.Control(Raise{ID: 1, Priority: run.Critical, By: "jobs"})
		synctest.Wait()
		if r := s.raised[len(s.raised)-1]; r.Priority != run.Critical || r.By != "jobs" {
			t.Errorf("%+v", r)
		}
		// A queue that restarts is asked for what is wanted by now.
		_ = s.prepare.Send(prepare.Inspect{})
		<-time.After(10 * time.Second)
		synctest.Wait()
		if len(s.enqueued) != 2 {
			t.Fatalf("%d preparations were asked for", len(s.enqueued))
		}
		if j := s.enqueued[1].Job; j.Budget != loose || j.Priority != run.Critical || len(j.Marks) != 1 {
			t.Errorf("asked again for %+v", j)
		}
		now := time.Since(s.begin)
		s.enqueued[1].Passed(strict)
		if a, at, err := one(); err != nil || !errors.Is(a.Outcome.Fault, fault.GuestPrepareCPU) || at != now {
			t.Errorf("who had less: %v, %v after %v, the mark was at %v", a.Outcome.Fault, err, at, now)
		}
		if a, at, err := two(); err != nil || a.Outcome.Fault != nil || at <= now {
			t.Errorf("who had more: %v, %v after %v", a.Outcome.Fault, err, at)
		}
		s.enqueued[1].Passed(loose) // late
	})
}

func TestShellRaisesRuns(t *testing.T) {
	onStage(t, Config{}, func(t *testing.T, s *stage) {
		<-time.After(2 * storeTime)
		end := s.asking(s.request(1, 1, Execute))
		_ = s.cache.Control(Raise{ID: 1, Priority: run.High})
		synctest.Wait()
		if len(s.lifted) != 1 || s.lifted[0].Run != 1 || s.lifted[0].Priority != run.High {
			t.Errorf("%+v", s.lifted)
		}
		if _, _, err := end(); err != nil {
			t.Error(err)
		}
	})
}

func (s *stage) revoke(tenant, tag string) int {
	s.t.Helper()
	got := make(chan int, 1)
	_ = s.cache.Control(Revoke{Tenant: tenant, Tag: tag, Reply: kernel.ReplyFunc(func(n int, err error) {
		if err != nil {
			n = -1
		}
		got <- n
	})})
	return <-got
}

// TestRevokeUnderOverload revokes while the work lane is full and refuses, while the index is read, and over a restart.
func TestRevokeUnderOverload(t *testing.T) {
	onStage(t, Config{Mailbox: 8}, func(t *testing.T, s *stage) {
		tagged := func(id uint64, k byte) Request {
			r := s.request(id, k, Execute)
			r.Tenant, r.Validity = "a", "x"
			return r
		}
		early := s.asking(tagged(1, 9)) // the index is not there
		if n := s.revoke("a", "x"); n != 1 {
			t.Errorf("while the index is read: ended %d", n)
		}
		if _, at, err := early(); !errors.Is(err, fault.CanceledRevoked) || at > storeTime/2 {
			t.Errorf("%v after %v", err, at)
		}
		<-time.After(2 * storeTime)
		running := s.request(2, 1, Execute)
		running.Tenant, running.Validity = "a", "y"
		runs := s.asking(running)
		free := make(chan struct{})
		_ = s.cache.Send(List{Reply: kernel.ReplyFunc(func([]inspect.Artifact, error) { <-free })}) // the actor stands still
		synctest.Wait()
		var ends []func() (Answer, time.Duration, error)
		for id := range uint64(20) {
			r := tagged(100+id, 1)
			r.Validity = "y"
			ends = append(ends, s.asking(r))
		}
		go func() {
			<-time.After(time.Second)
			close(free)
		}()
		if n := s.revoke("a", "y"); n != 1 {
			t.Errorf("under overload: ended %d", n)
		}
		refused := 0
		for _, end := range ends {
			_, _, err := end()
			if errors.Is(err, fault.BusyQueueFull) {
				refused++
			} else if !errors.Is(err, fault.CanceledRevoked) {
				t.Errorf("behind the revocation: %v", err)
			}
		}
		if refused != 12 {
			t.Errorf("%d were refused", refused)
		}
		if _, _, err := runs(); !errors.Is(err, fault.CanceledRevoked) {
			t.Errorf("the one that ran: %v", err)
		}
		s.crash()
		<-time.After(10 * time.Second)
		if _, _, err := s.asking(tagged(3, 1))(); !errors.Is(err, fault.CanceledRevoked) {
			t.Errorf("after a restart: %v", err)
		}
	})
}

// TestShellWithAMailboxOfOne has many callers, of whom all but one are refused at a time, come through.
func TestShellWithAMailboxOfOne(t *testing.T) {
	onStage(t, Config{Mailbox: 1}, func(t *testing.T, s *stage) {
		var wg sync.WaitGroup
		for n := range uint64(60) {
			wg.Go(func() {
				r := s.request(n+1, byte(n%5), Kind(1+n%3))
				for {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+n%7)*30*time.Second)
					_, err := s.ask(ctx, r)
					cancel()
					if !errors.Is(err, fault.Busy) {
						if err != nil && !errors.Is(err, fault.Canceled) {
							t.Errorf("request %d: %v", r.ID, err)
						}
						return
					}
					<-time.After(time.Duration(1+n) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		<-time.After(2 * time.Minute) // what was withdrawn ends
		list, err := kernel.Ask(context.Background(), s.cache, func(r kernel.Reply[[]inspect.Artifact]) Message { return List{Reply: r} })
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if a.Waiting+a.InUse != 0 {
				t.Errorf("left: %+v", a)
			}
		}
	})
}
