package appdata

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/manifest"
)

const childEnv = "TROUPE_APPDATA_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "note":
		noteForEver(os.Args[1])
	case "log":
		logForEver(os.Args[1])
	}
	os.Exit(m.Run())
}

func dataDir(t testing.TB) *db.Dir {
	t.Helper()
	d, err := db.OpenDir(db.DirConfig{Path: filepath.Join(t.TempDir(), "data"), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func reopen(t testing.TB, path string) *db.Dir {
	t.Helper()
	d, err := db.OpenDir(db.DirConfig{Path: path, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func app(n byte) manifest.Address { return manifest.Address{n, 31: n} }

func progress(n uint64) sessions.Progress {
	return sessions.Progress{
		Totals: meter.Metrics{Address: app(1), Session: [32]byte{2}, RunningTimeMS: n, Gas: n + 1, NetworkIngress: n + 2, NetworkEgress: n + 3, StorageRead: n + 4, StorageWrite: n + 5,
			StorageUsed: meter.Uint128{Lo: n + 6, Hi: n + 7}, MemoryUsed: meter.Uint128{Lo: n + 8, Hi: n + 9}, Tip: n + 10, Starts: n + 11},
		GasRest: n + 12, Runs: n + 13, Complete: n + 15, TimedOut: n + 16, Skipped: n + 17, LastEnd: "guest.trap", LastAt: time.Unix(1, 5).UTC(), Restarts: n + 14,
	}
}

func record(n byte) sessions.Record {
	return sessions.Record{Address: app(n), Session: [32]byte{3}, Manifest: []byte("manifest"), Config: []byte{0, 1}, Tenant: "tenant", Deployed: time.Unix(7, 9).UTC(),
		Sequence: uint64(n), Reuse: manifest.Process, Entry: manifest.Service, Wanted: 4, Bench: true, Held: true, State: progress(uint64(n))}
}

func session() sessions.WorkerSession {
	return sessions.WorkerSession{ID: [32]byte{1}, CNonce: [32]byte{2}, PNonce: []byte("p"), Recipient: []byte("r"), SN: 9, Opened: time.Unix(3, 4).UTC()}
}

// full fails for a field that is zero, so that a new field is not forgotten.
func full(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	if v.IsZero() {
		t.Errorf("%s is zero in the test", path)
	}
	if v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]() {
		for n := range v.NumField() {
			full(t, v.Field(n), path+"."+v.Type().Field(n).Name)
		}
	}
}

func TestWhatWasSavedIsLoaded(t *testing.T) {
	d, ctx := dataDir(t), t.Context()
	s := NewStore(d.State)
	if got, err := s.Load(ctx); err != nil || got.Session != nil || len(got.Apps) != 0 {
		t.Fatalf("a new one has %+v, %v", got, err)
	}
	full(t, reflect.ValueOf(session()), "session")
	full(t, reflect.ValueOf(record(1)), "record")
	empty := sessions.Record{Address: app(3)}
	want := sessions.Saved{Session: new(session()), Apps: []sessions.Record{record(1), record(2), empty}}
	err := errors.Join(s.SaveSession(ctx, sessions.WorkerSession{}), s.SaveSession(ctx, session()))
	for _, r := range append(want.Apps, record(4)) {
		err = errors.Join(err, s.SaveApp(ctx, r))
	}
	want.Apps[1].State = progress(1000)
	err = errors.Join(err, s.Note(ctx, app(2), progress(1000)), s.RemoveApp(ctx, app(4)), s.RemoveApp(ctx, app(5)), s.Note(ctx, app(4), progress(1)), s.Sync(ctx))
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewStore(d.State).Load(ctx)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	large := record(6)
	large.Config = make([]byte, maxRecord)
	if err := s.SaveApp(ctx, large); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("a large one: %v", err)
	}
	large.Config = large.Config[:maxRecord-len(large.Manifest)]
	if err := s.SaveApp(ctx, large); err != nil {
		t.Error(err)
	}
}

func TestADamagedRecordStopsTheLoad(t *testing.T) {
	for what, key := range map[string][]byte{"session": []byte(keySession), "record": recordKey(app(1)), "progress": progressKey(app(1))} {
		for harm, change := range map[string]func(v []byte) []byte{
			"a bit":       func(v []byte) []byte { v[len(v)/2] ^= 4; return v },
			"its end":     func(v []byte) []byte { return v[:len(v)-1] },
			"all of it":   func([]byte) []byte { return nil },
			"more of it":  func(v []byte) []byte { return encoder(append(v[:len(v)-4], 0)).done() },
			"less of it":  func(v []byte) []byte { return encoder(v[:len(v)-5]).done() },
			"its version": func(v []byte) []byte { v[0] = 2; return encoder(v[:len(v)-4]).done() },
		} {
			d, ctx := dataDir(t), t.Context()
			s := NewStore(d.State)
			err := errors.Join(s.SaveSession(ctx, session()), s.SaveApp(ctx, record(1)))
			var v []byte
			err = errors.Join(err, d.State.Get(key, func(b []byte) error { v = bytes.Clone(b); return nil }))
			err = errors.Join(err, d.State.Write(ctx, db.Op{Key: key, Value: change(v)}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Load(ctx); !errors.Is(err, fault.HostDataDirCorrupt) {
				t.Errorf("%s of the %s: %v", harm, what, err)
			}
		}
	}
	d := dataDir(t)
	s := NewStore(d.State)
	if err := errors.Join(s.SaveApp(t.Context(), record(1)), d.State.Remove(t.Context(), progressKey(app(1)))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, fault.HostDataDirCorrupt) {
		t.Errorf("no metrics: %v", err)
	}
}

func FuzzRecords(f *testing.F) {
	for _, b := range [][]byte{encodeSession(session()), encodeRecord(record(1)), encodeProgress(progress(1))} {
		f.Add(b[:len(b)-4])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = encoder(bytes.Clone(b)).done()
		if s, err := decodeSession(b); err == nil && !bytes.Equal(encodeSession(s), b) {
			t.Errorf("session %x", b)
		}
		if r, err := decodeRecord(b); err == nil && !bytes.Equal(encodeRecord(r), b) {
			t.Errorf("record %x", b)
		}
		if p, err := decodeProgress(b); err == nil && !bytes.Equal(encodeProgress(p), b) {
			t.Errorf("progress %x", b)
		}
	})
}

// TestMetricsSurviveAKill kills a child that notes the metrics of several apps, and compares with what it acknowledged.
func TestMetricsSurviveAKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	acked := map[byte]uint64{}
	for range 3 {
		c := exec.Command(os.Args[0], dir)
		c.Env = append(os.Environ(), childEnv+"=note")
		out, err := c.StdoutPipe()
		if err := errors.Join(err, c.Start()); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for in := bufio.NewScanner(out); in.Scan(); {
			var a byte
			var n uint64
			if _, err := fmt.Sscanf(in.Text(), "ack %d %d", &a, &n); err != nil {
				t.Fatalf("the child says %q", in.Text())
			}
			acked[a] = n
			if lines++; lines == 2000 {
				if err := c.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := c.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		d := reopen(t, dir)
		saved, err := NewStore(d.State).Load(t.Context())
		if err != nil || len(saved.Apps) != 4 {
			t.Fatalf("%d apps, %v", len(saved.Apps), err)
		}
		for _, r := range saved.Apps {
			if got := r.State.Totals.Gas; got < acked[r.Address[0]] {
				t.Errorf("app %d has gas %d, and was acknowledged %d", r.Address[0], got, acked[r.Address[0]])
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func noteForEver(dir string) {
	d, err := db.OpenDir(db.DirConfig{Path: dir, Log: zerolog.Nop()})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	s, ctx := NewStore(d.State), context.Background()
	saved, err := s.Load(ctx)
	for n := len(saved.Apps); n < 4 && err == nil; n++ {
		err = s.SaveApp(ctx, record(byte(n+1)))
	}
	if err == nil {
		saved, err = s.Load(ctx)
	}
	var wg sync.WaitGroup
	for _, r := range saved.Apps {
		wg.Go(func() {
			for {
				r.State.Totals.Gas++
				if err := s.Note(ctx, r.Address, r.State); err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				fmt.Println("ack", r.Address[0], r.State.Totals.Gas)
			}
		})
	}
	wg.Wait()
	fmt.Println(err)
	os.Exit(1)
}

// BenchmarkNote measures notes of an app's progress by 64 goroutines.
func BenchmarkNote(b *testing.B) {
	s := NewStore(dataDir(b).State)
	var next atomic.Uint64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for n := next.Add(1); n <= uint64(b.N); n = next.Add(1) {
				if err := s.Note(context.Background(), app(byte(n)), progress(n)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
