package follow

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// world is all ports of a follower, on one ledger and one host.
type world struct {
	mu    sync.Mutex
	l     *ledger
	h     *hostModel
	wake  chan struct{} // closed and made anew with each block
	ended int           // of Follow
}

func (w *world) mine(ops ...op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.l.mine(ops...)
	close(w.wake)
	w.wake = make(chan struct{})
}

func (w *world) act(a Action) (any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.h.act(w.l, a)
}

func actAs[T any](w *world, a Action) (T, error) {
	v, err := w.act(a)
	out, _ := v.(T)
	return out, err
}

// port is the ledger as a chain.Port that blocks as one does.
type port struct{ *world }

func (p port) Info(ctx context.Context) (chain.Info, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.l.Info(ctx)
}
func (port) Account(context.Context, [32]byte) (chain.Account, error) { return chain.Account{}, nil }
func (port) Sign(chain.Call, chain.Signing) (chain.Tx, error)         { return chain.Tx{}, nil }
func (port) Submit(context.Context, []byte) error                     { return nil }
func (p port) Query(ctx context.Context, path string, params, out any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.l.Query(ctx, path, params, out)
}

func (p port) Follow(ctx context.Context, after chain.Cursor, use func(chain.Block) error) error {
	defer func() { p.mu.Lock(); p.ended++; p.mu.Unlock() }()
	for {
		p.mu.Lock()
		b, ok := p.l.after(after)
		wake := p.wake
		p.mu.Unlock()
		if !ok {
			select {
			case <-wake:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		after = b.Cursor
		if err := use(b); err != nil {
			return err
		}
	}
}

type ports struct{ *world }

func (p ports) List(context.Context) ([]App, error) { return actAs[[]App](p.world, ListApps{}) }
func (p ports) Announce(_ context.Context, m []byte) error {
	_, err := p.act(Announce{m})
	return err
}
func (p ports) Deploy(_ context.Context, m []byte, bench bool) (App, error) {
	return actAs[App](p.world, Deploy{m, bench})
}
func (p ports) Remove(_ context.Context, a manifest.Address) error {
	_, err := p.act(Remove{a})
	return err
}
func (p ports) SetBench(_ context.Context, a manifest.Address) error {
	_, err := p.act(SetBench{a})
	return err
}
func (p ports) Settle(_ context.Context, a manifest.Address) error {
	_, err := p.act(Settle{a})
	return err
}
func (p ports) Manifest(_ context.Context, cid string, a manifest.Address) ([]byte, error) {
	return actAs[[]byte](p.world, FetchManifest{cid, a})
}
func (p ports) Blob(context.Context, string, string) error { return nil }
func (p ports) Image(_ context.Context, url string) (Image, error) {
	return actAs[Image](p.world, FetchImage{url})
}
func (p ports) Config(context.Context, string) ([]byte, error) { return []byte("config"), nil }
func (p ports) Load(context.Context) (Saved, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.h.saved, nil
}
func (p ports) SaveCursor(_ context.Context, genesis chain.Hash, at chain.Cursor) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.h.saved.Genesis, p.h.saved.Cursor = genesis, at
	return nil
}
func (p ports) SavePlaced(_ context.Context, x Placed) error {
	_, err := p.act(SavePlaced{x})
	return err
}
func (p ports) DropPlaced(_ context.Context, request string) error {
	_, err := p.act(ForgetPlaced{request})
	return err
}

// apps has the Stop of an app, outbox and agent what else has names in common.
type apps struct{ ports }

func (p apps) Stop(_ context.Context, a manifest.Address) error {
	_, err := p.act(Stop{a})
	return err
}

type outbox struct{ *world }

func (p outbox) Submit(_ context.Context, _ string, c chain.Call) error {
	p.mu.Lock()
	o, err := p.l.call(c)
	p.mu.Unlock()
	if err == nil {
		for _, o := range []op{o, opIPs(), opIPs(), opIPs()} {
			p.mine(o)
		}
	}
	return err
}

type agent struct{ *world }

func (p agent) Create(_ context.Context, x Placement) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.h.made++
	p.h.jobs["job-1"] = &hostJob{request: x.Request}
	return "job-1", nil
}
func (p agent) Find(context.Context, string) (string, error) { return "", notFound() }
func (p agent) Status(_ context.Context, job string) (Progress, error) {
	return actAs[Progress](p.world, JobStatus{job})
}
func (p agent) do(job, kind string, gb uint32) error {
	_, err := p.act(JobDo{Job: job, Kind: kind, GB: gb})
	return err
}
func (p agent) Stop(_ context.Context, job string) error   { return p.do(job, kindStop, 0) }
func (p agent) Boot(_ context.Context, job string) error   { return p.do(job, kindBoot, 0) }
func (p agent) Reboot(_ context.Context, job string) error { return p.do(job, kindReboot, 0) }
func (p agent) Delete(_ context.Context, job string) error { return p.do(job, kindDelete, 0) }
func (p agent) Resize(_ context.Context, job string, gb uint32) error {
	return p.do(job, kindResize, gb)
}
func (p agent) VNC(_ context.Context, job string) (VNC, error) {
	return actAs[VNC](p.world, JobVNC{job})
}

// TestShell runs the actor: tickets and requests become what they demand, questions are answered, and it stops.
func TestShell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{l: newLedger(), h: newHost(), wake: make(chan struct{})}
		w.l.mine(opMember(1, true), opIPs("127.0.0.2"), opTicket(1, appNo(1), 1, 100), opRequest("1", plainPlan))
		sys, err := kernel.New(kernel.Config{Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		ref, err := Spawn(sys, Config{
			Limits: Limits{Worker: chain.Hash{7}, Images: true}, Chain: port{w}, Store: ports{w}, Apps: apps{ports{w}}, Reports: ports{w}, Outbox: outbox{w},
			Sources: ports{w}, Agent: agent{w},
		})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		page, err := kernel.Ask(t.Context(), ref, func(r kernel.Reply[Page]) Message { return List{Reply: r} })
		if err != nil || len(page.Demands) != 2 || page.Demands[0].State != "running" || page.Demands[1].State != "running" {
			t.Fatalf("%+v, %v", page, err)
		}
		claims, err := kernel.Ask(t.Context(), ref, func(r kernel.Reply[map[manifest.Address][]uint64]) Message {
			return Claims{Addresses: []manifest.Address{appNo(1)}, Reply: r}
		})
		if err != nil || len(claims) != 1 {
			t.Errorf("%v, %v", claims, err)
		}
		w.mine(opClosing(1), opSide("1", kindDelete, 1))
		for range 12 { // what is read is final only with blocks that come after
			w.mine()
			<-time.After(5 * time.Second)
		}
		synctest.Wait()
		w.mu.Lock()
		if len(w.h.apps) != 0 || len(w.h.jobs) != 0 || w.h.settled[appNo(1)] != 1 || len(w.h.saved.Placed) != 0 || len(w.h.problems) != 0 {
			t.Errorf("something is left: %+v", w.h)
		}
		w.mu.Unlock()
		status, err := kernel.Ask(t.Context(), ref, func(r kernel.Reply[inspect.Follower]) Message { return Status{Reply: r} })
		if err != nil || status.State != "following" {
			t.Errorf("%+v, %v", status, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := sys.Stop(ctx); err != nil {
			t.Error(err)
		}
		if w.ended != 1 {
			t.Error("the chain is followed on")
		}
		if err := ref.Send(Changed{}); fault.CodeOf(err) != fault.CallerClosed {
			t.Error(err)
		}
	})
}
