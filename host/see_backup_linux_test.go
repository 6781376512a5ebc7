package host_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/chainbridge/devchain"
	"github.com/troupehost/troupe/host"
)

func restored(t *testing.T, b []byte, resume bool) (string, host.Restored) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	r, err := host.Restore(t.Context(), bytes.NewReader(b), dir, resume)
	if err != nil {
		t.Fatal(err)
	}
	return dir, r
}

// TestABackupHasAllThatWasAcknowledged makes backups while eight callers submit jobs: what was acknowledged before one began is in it,
// and a host that is restored from it runs the jobs.
func TestABackupHasAllThatWasAcknowledged(t *testing.T) {
	h := start(t, host.Config{HoldJobs: true, Name: "first"})
	code := guest(t, "hash-puzzle")
	var mu sync.Mutex
	var acknowledged []string
	stop := make(chan struct{})
	var callers sync.WaitGroup
	begun := make(chan struct{}, 8)
	for range 8 {
		callers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				j, err := h.Submit(t.Context(), host.JobRequest{Request: host.Request{Code: code, Entry: invoke("run", "0", "1")}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, j.ID)
				mu.Unlock()
				if n == 0 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range 8 {
		<-begun
	}
	var last []byte
	var want []string
	for range 3 {
		mu.Lock()
		want = append([]string(nil), acknowledged...)
		mu.Unlock()
		var b bytes.Buffer
		rep, err := h.Backup(t.Context(), &b)
		if err != nil || !rep.Verified || rep.Bytes != int64(b.Len()) || rep.Sealed {
			t.Fatalf("%+v, %v", rep, err)
		}
		if v, err := host.VerifyBackup(t.Context(), bytes.NewReader(b.Bytes()), t.TempDir()); err != nil || v.Checksum != rep.Checksum || !v.Verified {
			t.Fatalf("%+v, %v", v, err)
		}
		last = b.Bytes()
	}
	close(stop)
	callers.Wait()
	dir, r := restored(t, last, false)
	if r.Version != host.Version || r.Chain || r.Resumed {
		t.Errorf("%+v", r)
	}
	again := start(t, host.Config{DataDir: dir})
	for n, id := range want {
		j, err := again.Job(t.Context(), id)
		if err != nil {
			t.Fatalf("job %d of %d, which was acknowledged: %v", n, len(want), err)
		}
		if n > 0 {
			continue // that it runs is seen of one
		}
		for seen := 0; j.State != run.JobSettled; seen = len(j.Events) {
			if j, err = again.WatchJob(t.Context(), id, seen); err != nil {
				t.Fatal(err)
			}
		}
		if j.Receipt == nil || j.Receipt.Verdict != "ok" {
			t.Errorf("%+v", j)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestASessionGoesOnOrEnds restores apps with and without --resume.
func TestASessionGoesOnOrEnds(t *testing.T) {
	h := start(t, host.Config{Apps: host.AppConfig{Resume: true}})
	if _, err := h.OpenSession(t.Context(), host.SessionRequest{}); err != nil {
		t.Fatal(err)
	}
	address := deploy(t, h, appOf(t, h, "c-handler", nil)).Address
	for range 3 {
		ask(t, h, address, "echo", "hello")
	}
	before, err := h.AppMetrics(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	session, err := h.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := h.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	dir, r := restored(t, b.Bytes(), true)
	if !r.Resumed || r.Forgotten != 0 {
		t.Errorf("%+v", r)
	}
	same := start(t, host.Config{DataDir: dir, Apps: host.AppConfig{Resume: true}})
	now, err := same.Session(t.Context())
	if err != nil || now.ID != session.ID || now.WorkerKey != session.WorkerKey || now.SN < session.SN {
		t.Errorf("%+v, %v; it was %+v", now, err, session)
	}
	ask(t, same, address, "echo", "again")
	after, err := same.AppMetrics(t.Context(), address)
	if err != nil || after[0].Gas <= before[0].Gas || after[0].RunningTimeMS < before[0].RunningTimeMS || after[0].Starts <= before[0].Starts || after[0].Session != before[0].Session {
		t.Errorf("totals %+v, %v; they were %+v", after, err, before)
	}
	dir, r = restored(t, b.Bytes(), false)
	if r.Resumed || r.Forgotten != 1 {
		t.Errorf("%+v", r)
	}
	other := start(t, host.Config{DataDir: dir, Apps: host.AppConfig{Resume: true}})
	now, err = other.Session(t.Context())
	if err != nil || now.ID != "" || now.Apps != 0 || now.WorkerKey != session.WorkerKey {
		t.Errorf("%+v, %v: the session of another host goes on", now, err)
	}
	if _, err := other.OpenSession(t.Context(), host.SessionRequest{}); err != nil {
		t.Error(err)
	}
}

// TestAnEmbeddedChainIsSavedWithItsHost makes a backup while reports go to the chain, and has both go on elsewhere.
func TestAnEmbeddedChainIsSavedWithItsHost(t *testing.T) {
	r := newChainRig(t, "saved", chainBlock, nil)
	dataDir := t.TempDir()
	h := r.host(func(c *host.Config) { c.DataDir, c.Apps.Resume = dataDir, true })
	r.ready(h)
	before := r.view(h)
	var b bytes.Buffer
	rep, err := h.Backup(t.Context(), &b)
	if err != nil || !rep.Verified {
		t.Fatalf("%+v, %v", rep, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	dir, out := restored(t, b.Bytes(), true)
	if !out.Chain || out.Held != 0 {
		t.Errorf("%+v", out)
	}
	// The rig goes on with the restored chain.
	r.shut()
	r.dir = filepath.Join(dir, "chain", "blocks")
	r.begin()
	if err := r.c.Verify(t.Context(), true, func(uint64, uint64) {}); err != nil {
		t.Error(err)
	}
	again := r.host(func(c *host.Config) { c.DataDir, c.Apps.Resume = dir, true })
	r.ready(again)
	now := r.view(again)
	if now.Reporter.Session != before.Reporter.Session || now.Chain.Genesis != before.Chain.Genesis || now.Chain.Head < before.Chain.Finalized || now.Chain.Forks != 0 {
		t.Errorf("before %s, now %s", chainText(before), chainText(now))
	}
	// What the chain does not have is held: the same without the chain, and with a call that waits.
	if err := again.PauseChain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestCallsToTheChainOfOthersAreHeld restores a host whose calls may have been sent after the backup.
func TestCallsToTheChainOfOthersAreHeld(t *testing.T) {
	r := newChainRig(t, "others", chainBlock, nil)
	away := struct{ notBacked }{notBacked{r.c}}
	h := start(t, r.config(away))
	if err := h.PauseChain(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.until("a call that waits", func() (bool, string) {
		v := r.view(h)
		return v.Chain.Outbox["waiting"]+v.Chain.Outbox["signed"] > 0, chainText(v)
	})
	var b bytes.Buffer
	if rep, err := h.Backup(t.Context(), &b); err != nil || len(rep.Without) != 4 {
		t.Fatalf("%+v, %v", rep, err)
	}
	if err := h.ResumeChain(t.Context()); err != nil { // after the backup it is sent
		t.Fatal(err)
	}
	r.ready(h)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	dir, out := restored(t, b.Bytes(), true)
	if out.Held == 0 || out.Chain {
		t.Errorf("%+v", out)
	}
	cfg := r.config(away)
	cfg.DataDir = dir
	again := start(t, cfg)
	if v := r.view(again); !v.Chain.Paused || !warnsOf(t, again, "chain.paused") {
		t.Errorf("%s", chainText(v))
	}
}

// notBacked is a chain that is somebody else's.
type notBacked struct{ *devchain.Chain }

func (notBacked) Snapshot() {} // of another form

func TestBackupOfADirectoryThatNobodyHas(t *testing.T) {
	dir := t.TempDir()
	h, err := host.Start(t.Context(), host.Config{DataDir: dir, BallastBytes: host.NoLimit, Apps: host.AppConfig{Passphrase: []byte("long enough")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.BackupDir(t.Context(), dir, io.Discard); fault.CodeOf(err) != fault.HostDataDirLocked {
		t.Errorf("of a host that runs: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "accounts"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "accounts", "root.key"), []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	rep, err := host.BackupDir(t.Context(), dir, &b)
	if err != nil || !rep.Verified || !rep.Sealed || fmt.Sprint(rep.Files) != "[VERSION host.key worker.key accounts/root.key state.db]" {
		t.Fatalf("%+v, %v", rep, err)
	}
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := host.BackupDir(t.Context(), missing, io.Discard); fault.CodeOf(err) != fault.CallerNotFound {
		t.Error(err)
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Error("a directory was made of nothing")
	}
}

// TestABackupEndsWithItsHostOrItsCaller has a writer that takes nothing.
func TestABackupEndsWithItsHostOrItsCaller(t *testing.T) {
	h, err := host.Start(t.Context(), host.Config{DataDir: t.TempDir(), BallastBytes: host.NoLimit, StopTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { _, err := h.Backup(t.Context(), w); ended <- err }()
	if _, err := r.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	if _, err := h.Backup(t.Context(), io.Discard); fault.CodeOf(err) != fault.BusyQueueFull {
		t.Errorf("a second one: %v", err)
	}
	_ = r.CloseWithError(errors.New("the reader left"))
	if err := <-ended; err == nil {
		t.Error("a backup that nobody has read succeeded")
	}
	r, w = io.Pipe()
	go func() { _, err := h.Backup(t.Context(), w); ended <- err }()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil { // while nobody reads
		t.Error(err)
	}
	_ = r.Close()
	if err := <-ended; fault.CodeOf(err) != fault.BusyDraining {
		t.Errorf("when the host stops: %v", err)
	}
	if _, err := h.Backup(t.Context(), io.Discard); err == nil {
		t.Error("a closed host makes backups")
	}
}
