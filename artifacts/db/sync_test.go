package db

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// power is a disk that has of each log only what was synced, which is what an end of the power leaves at worst.
type power struct {
	mu   sync.Mutex
	logs map[string][]byte // path -> content at its last sync
	fail error
}

func (p *power) sync(path string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	b, err := os.ReadFile(path)
	if err == nil {
		p.logs[path] = b
	}
	return err
}

// cut copies a directory as it is after the power went, while its database is open and nobody writes.
func (p *power) cut(t *testing.T, dir string) string {
	t.Helper()
	for {
		before := names(t, dir)
		to := t.TempDir()
		err := os.CopyFS(to, os.DirFS(dir))
		if errors.Is(err, fs.ErrNotExist) || names(t, dir) != before {
			continue // tables are being made of logs
		}
		if err != nil {
			t.Fatal(err)
		}
		logs, err := filepath.Glob(filepath.Join(to, "*", "*.mem"))
		if err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, log := range logs {
			rel, err := filepath.Rel(to, log)
			if err != nil {
				t.Fatal(err)
			}
			if b, ok := p.logs[filepath.Join(dir, rel)]; !ok {
				err = os.Remove(log)
			} else {
				err = os.WriteFile(log, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return to
	}
}

// names lists the files of the state database, and how long its manifest is.
func names(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(dir, stateDir))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintln(&b, f.Name())
		if st, err := f.Info(); err == nil && f.Name() == "MANIFEST" {
			fmt.Fprintln(&b, st.Size())
		}
	}
	return b.String()
}

func powered(t *testing.T) (*Dir, *power) {
	t.Helper()
	p := &power{logs: map[string][]byte{}}
	d := openDir(t, DirConfig{Path: filepath.Join(t.TempDir(), "data"), FS: FS{SyncFile: p.sync}})
	t.Cleanup(func() { _ = d.Close() })
	return d, p
}

func (d *DB) number(t *testing.T, key string) uint64 {
	t.Helper()
	n := uint64(0)
	if err := d.Get([]byte(key), func(v []byte) error { n = binary.BigEndian.Uint64(v); return nil }); err != nil && !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	return n
}

func number(key string, n uint64, more int) Op {
	return Op{Key: []byte(key), Value: append(binary.BigEndian.AppendUint64(nil, n), make([]byte, more)...)}
}

// TestWhatIsOnDiskStaysWhenThePowerGoes notes and writes, so much that logs are replaced all the time, and cuts the power.
func TestWhatIsOnDiskStaysWhenThePowerGoes(t *testing.T) {
	d, p := powered(t)
	dir, ctx := filepath.Dir(d.State.path), t.Context()
	for round := uint64(1); round <= 8; round++ {
		// Notes until the log has been replaced: what was noted just before is in the old one.
		for before := len(logsOf(t, d.State)); len(logsOf(t, d.State)) <= before; {
			if err := d.State.Note(ctx, number("noted", round, MaxValue-8)); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.State.Note(ctx, number(fmt.Sprint("k", round), round, 10)); err != nil {
			t.Fatal(err)
		}
		var err error
		if round%2 == 0 {
			err = d.State.Sync(ctx)
		} else {
			err = d.State.Write(ctx, number("written", round, 10))
		}
		if err != nil {
			t.Fatal(err)
		}
		cut := openDir(t, DirConfig{Path: p.cut(t, dir)})
		if n := cut.State.number(t, "noted"); n != round {
			t.Errorf("round %d: the last note is of round %d", round, n)
		}
		if n := cut.State.number(t, "written"); n != round-(1-round%2) {
			t.Errorf("round %d: the last write is of round %d", round, n)
		}
		for n := uint64(1); n <= round; n++ {
			if cut.State.number(t, fmt.Sprint("k", n)) != n {
				t.Errorf("round %d: key %d is lost", round, n)
			}
		}
		if err := cut.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func logsOf(t *testing.T, d *DB) map[uint64]string {
	t.Helper()
	logs, _, err := d.sync.logs()
	if err != nil {
		t.Fatal(err)
	}
	return logs
}

// TestEveryLogThatIsThereIsSynced has an old log kept by a reader, as one is for a while after it was replaced.
func TestEveryLogThatIsThereIsSynced(t *testing.T) {
	var synced []string
	dir := t.TempDir()
	s := syncer{dir: dir, whole: map[uint64]bool{}, file: func(path string) error {
		synced = append(synced, filepath.Base(path))
		return nil
	}}
	look := func(want string, files ...string) {
		t.Helper()
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		synced = nil
		if err, _ := s.wait(s.commits.Add(1)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(len(synced), " ", strings.Join(synced, " ")); got != want {
			t.Errorf("synced %s, want %s", got, want)
		}
	}
	look("1 00001.mem", "00001.mem", "000001.sst", "MANIFEST")
	look("1 00001.mem")
	if err, _ := s.wait(s.commits.Load()); err != nil || len(synced) != 1 {
		t.Errorf("what is on disk was synced again: %v, %v", synced, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "99999.mem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synced = nil
	if err, _ := s.wait(s.commits.Add(1)); err != nil || len(synced) != 2 {
		t.Errorf("the old one and the new one: %v, %v", synced, err)
	}
	synced = nil
	if err := os.WriteFile(filepath.Join(dir, "100000.mem"), nil, 0o600); err != nil { // comes before 99999 by its letters
		t.Fatal(err)
	}
	if err, _ := s.wait(s.commits.Add(1)); err != nil || len(synced) != 2 || s.newest != 100000 {
		t.Errorf("%v, newest %d, %v", synced, s.newest, err)
	}
	look("1 100000.mem")
}

// TestASyncThatFailedIsNotForgotten: the kernel says once that it could not write, and then takes the pages for written.
func TestASyncThatFailedIsNotForgotten(t *testing.T) {
	d, p := powered(t)
	ctx := t.Context()
	if err := d.State.Note(ctx, number("k", 1, 0)); err != nil {
		t.Fatal(err)
	}
	p.fail = &fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}
	if err := d.State.Sync(ctx); !errors.Is(err, fault.HostDiskIO) || d.State.Failed() != nil {
		t.Errorf("no file to be had: %v, %v", err, d.State.Failed())
	}
	p.fail = nil
	if err := d.State.Sync(ctx); err != nil {
		t.Error(err)
	}
	if err := d.State.Note(ctx, number("k", 2, 0)); err != nil {
		t.Fatal(err)
	}
	p.fail = syscall.EIO
	if err := d.State.Sync(ctx); !errors.Is(err, fault.HostDiskIO) {
		t.Error(err)
	}
	p.fail = nil
	for what, err := range map[string]error{"sync": d.State.Sync(ctx), "write": d.State.Write(ctx, number("k", 3, 0)), "note": d.State.Note(ctx, number("k", 3, 0))} {
		if !errors.Is(err, fault.HostDiskIO) {
			t.Errorf("%s after it: %v", what, err)
		}
	}
	if err := d.Cache.Write(ctx, number("k", 1, 0)); err != nil {
		t.Errorf("the other database: %v", err)
	}
}

// TestNobodyWaitsForTheDiskToNote holds a sync while others note.
func TestNobodyWaitsForTheDiskToNote(t *testing.T) {
	var hold atomic.Bool
	entered, leave := make(chan struct{}), make(chan struct{})
	d := openDir(t, DirConfig{Path: t.TempDir(), FS: FS{SyncFile: func(path string) error {
		if hold.CompareAndSwap(true, false) {
			close(entered)
			<-leave
		}
		return syncFile(path)
	}}})
	defer d.Close()
	hold.Store(true)
	done := make(chan error)
	go func() { done <- d.State.Write(t.Context(), number("written", 1, 0)) }()
	select {
	case <-entered:
	case err := <-done:
		t.Fatalf("written without a sync: %v", err)
	}
	for n := range uint64(3 * memTable / MaxValue) { // more than a log holds
		if err := d.State.Note(t.Context(), number("noted", n+1, MaxValue-8)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-done:
		t.Errorf("the write was told before it was on disk: %v", err)
	default:
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

const noteChild = "TROUPE_DB_TEST_NOTES"

// TestANoteSurvivesTheEndOfTheProcess kills a child that notes from several goroutines and says what was acknowledged.
func TestANoteSurvivesTheEndOfTheProcess(t *testing.T) {
	if dir := os.Getenv(noteChild); dir != "" {
		noteForEver(dir)
	}
	dir := filepath.Join(t.TempDir(), "data")
	acked := map[string]uint64{}
	for round := range 4 {
		c := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		c.Env = append(os.Environ(), noteChild+"="+dir)
		out, err := c.StdoutPipe()
		if err := errors.Join(err, c.Start()); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for in := bufio.NewScanner(out); in.Scan(); {
			var key string
			var n uint64
			if _, err := fmt.Sscanf(in.Text(), "ack %s %d", &key, &n); err != nil {
				t.Fatalf("the child says %q", in.Text())
			}
			acked[key] = n
			if lines++; lines == 200+round*400 { // the rest of what it has said by then counts as well
				if err := c.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := c.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		d := openDir(t, DirConfig{Path: dir})
		for key, n := range acked {
			if got := d.State.number(t, key); got < n {
				t.Errorf("round %d: %s was acknowledged at %d and is %d", round, key, n, got)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acked) != 4 {
		t.Errorf("only %d keys", len(acked))
	}
}

func noteForEver(dir string) {
	d, err := OpenDir(DirConfig{Path: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			key := fmt.Sprint("k", g)
			n := uint64(0)
			_ = d.State.Get([]byte(key), func(v []byte) error { n = binary.BigEndian.Uint64(v); return nil })
			for {
				n++
				if err := d.State.Note(context.Background(), number(key, n, 20_000)); err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				fmt.Println("ack", key, n)
			}
		})
	}
	wg.Wait()
}

// BenchmarkNote measures notes of 300 bytes, of one goroutine and of 64, each alone and in shared transactions.
func BenchmarkNote(b *testing.B) {
	value := bytes.Repeat([]byte{'x'}, 300)
	for _, how := range []struct {
		goroutines int
		shared     bool
	}{{1, false}, {64, false}, {1, true}, {64, true}} {
		b.Run(fmt.Sprintf("%d,shared=%v", how.goroutines, how.shared), func(b *testing.B) {
			dir, err := OpenDir(DirConfig{Path: filepath.Join(b.TempDir(), "data")})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = dir.Close() }()
			note := dir.State.Note
			if how.shared {
				note = NewNoter(dir.State).Write
			}
			var next atomic.Uint64
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range how.goroutines {
				wg.Go(func() {
					for n := next.Add(1); n <= uint64(b.N); n = next.Add(1) {
						if err := note(context.Background(), Op{Key: fmt.Appendf(nil, "k%04d", n%1000), Value: value}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
