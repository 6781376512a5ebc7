package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/blob"
	"github.com/troupehost/troupe/artifacts/db"
)

func testJournal(t *testing.T, path string, limit int64, fs db.FS) (*journal, func()) {
	t.Helper()
	d, err := db.OpenDir(db.DirConfig{Path: path, Owner: db.Owner{PID: os.Getpid(), Kind: "test"}, FS: fs, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(t.Context(), d.State, limit)
	if err != nil {
		t.Fatal(err)
	}
	j, err := openJournal(t.Context(), d.State, blobs, limit)
	if err != nil {
		t.Fatal(err)
	}
	return j, func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestACrashOfTheJournalLosesAndLeaksNothing lets the disk die before each commit in the life of two jobs that share a code and
// have large bodies and results. What was acknowledged is there after it, and no blob that no job needs.
func TestACrashOfTheJournalLosesAndLeaksNothing(t *testing.T) {
	code, large := bytes.Repeat([]byte("code"), 1000), bytes.Repeat([]byte("large"), 10_000)
	for at := 1; ; at++ {
		path, ctx := filepath.Join(t.TempDir(), "data"), t.Context()
		commits := 0
		j, shut := testJournal(t, path, 64<<20, db.FS{Commit: func(_ string, commit func() error) error {
			if commits++; commits >= at {
				return errors.New("the power is gone")
			}
			return commit()
		}})
		want := map[string]run.JobState{} // acknowledged
		rec := func(id string, s run.JobState) jobs.Record {
			return jobs.Record{ID: id, State: s, Priority: run.Normal, Code: jobs.Digest(blob.HashOf(code))}
		}
		for _, id := range []string{"a", "b"} {
			if _, err := j.Write(ctx, rec(id, run.JobQueued), &jobs.Body{Spec: append([]byte(id), large...), Code: code}, nil); err == nil {
				want[id] = run.JobQueued
			}
		}
		for id := range want {
			if _, err := j.Write(ctx, rec(id, run.JobSettled), nil, &cache.Answer{Outcome: run.Outcome{Stdout: append([]byte(id), large...)}}); err == nil {
				want[id] = run.JobSettled
			}
		}
		if _, ok := want["a"]; ok && j.Erase(ctx, []string{"a"}) == nil {
			delete(want, "a")
		}
		done := commits < at
		shut()

		j, shut = testJournal(t, path, 64<<20, db.FS{})
		records, _, err := j.Load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]run.JobState{}
		blobs := 0
		for _, r := range records {
			got[r.ID] = r.State
			if spec, err := j.Spec(ctx, r.ID); err != nil || string(spec) != r.ID+string(large) {
				t.Errorf("death at commit %d: the body of %s: %d bytes, %v", at, r.ID, len(spec), err)
			}
			blobs++
			if r.State == run.JobSettled {
				if o, err := j.Receipt(ctx, r.ID, true); err != nil || string(o.Stdout) != r.ID+string(large) || o.Verdict != "ok" {
					t.Errorf("death at commit %d: the receipt of %s: %v", at, r.ID, err)
				}
				blobs++
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("death at commit %d: %s", at, d)
		}
		names, chunks := 0, map[string]bool{}
		_ = j.db.Scan([]byte("bn"), func(_, _ []byte) error { names++; return nil })
		_ = j.db.Scan([]byte("bc"), func(k, _ []byte) error { chunks[string(k[2:34])] = true; return nil })
		if len(got) > 0 {
			blobs++ // the code
		}
		if names != blobs || len(chunks) != blobs {
			t.Errorf("death at commit %d: %d names and %d blobs for %d that are needed", at, names, len(chunks), blobs)
		}
		shut()
		if done {
			if at < 10 {
				t.Fatalf("only %d commits", at)
			}
			return
		}
	}
}

// TestTheShareOfJobs refuses new jobs over the limit, and no results.
func TestTheShareOfJobs(t *testing.T) {
	j, shut := testJournal(t, filepath.Join(t.TempDir(), "data"), 100<<10, db.FS{})
	defer shut()
	ctx := t.Context()
	write := func(id string, n int) error {
		_, err := j.Write(ctx, jobs.Record{ID: id, State: run.JobQueued, Code: jobs.Digest(blob.HashOf([]byte("x")))}, &jobs.Body{Spec: make([]byte, n), Code: []byte("x")}, nil)
		return err
	}
	if err := write("a", 60<<10); err != nil {
		t.Fatal(err)
	}
	if err := write("b", 60<<10); !errors.Is(err, fault.CallerQuota) {
		t.Errorf("a second: %v", err)
	}
	if err := write("b", 60<<10); !errors.Is(err, jobs.ErrNeverFits) {
		t.Errorf("while the first is not settled: %v", err)
	}
	over, err := j.Write(ctx, jobs.Record{ID: "a", State: run.JobSettled}, nil, &cache.Answer{Outcome: run.Outcome{Stdout: make([]byte, 60<<10)}})
	if err != nil || !over {
		t.Errorf("its result: over %v, %v", over, err)
	}
	if err := write("b", 90<<10); !errors.Is(err, fault.CallerQuota) || errors.Is(err, jobs.ErrNeverFits) {
		t.Errorf("one that fits without the first: %v", err)
	}
	if err := write("b", 101<<10); !errors.Is(err, jobs.ErrNeverFits) {
		t.Errorf("one that never fits: %v", err)
	}
	if n, all := j.freed(), j.total(); n != all {
		t.Errorf("%d of %d bytes would be freed", n, all)
	}
	if _, err := j.blobs.Put(ctx, []byte("x"), "warm"); err != nil {
		t.Fatal(err)
	}
	if n, all := j.freed(), j.total(); n != all-1 {
		t.Errorf("%d of %d bytes would be freed, one of them is another's", n, all)
	}
	if err := j.blobs.Unref(ctx, blob.HashOf([]byte("x")), "warm"); err != nil {
		t.Fatal(err)
	}
	if err := j.Erase(ctx, []string{"a", "none"}); err != nil {
		t.Fatal(err)
	}
	if err := write("b", 60<<10); err != nil {
		t.Errorf("when there is room: %v", err)
	}
	if err := j.Erase(ctx, []string{"b"}); err != nil || j.total() != 0 || len(j.codes) != 0 {
		t.Errorf("%v, %d bytes, %d codes are left", err, j.total(), len(j.codes))
	}
}

func TestTheClockOfJobsIsSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	j, shut := testJournal(t, path, 64<<20, db.FS{})
	if err := j.SaveClock(t.Context(), 5*time.Hour); err != nil {
		t.Fatal(err)
	}
	shut()
	j, shut = testJournal(t, path, 64<<20, db.FS{})
	defer shut()
	if _, clock, err := j.Load(context.Background()); err != nil || clock != 5*time.Hour {
		t.Error(clock, err)
	}
}

// TestJobIDsNeverGoBack sets the clock back, and starts with an id from the future.
func TestJobIDsNeverGoBack(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	for _, last := range []string{"", jobs.NewID(now.Add(time.Hour), [10]byte{9}), jobs.NewID(now, [10]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})} {
		g := newJobIDs(last)
		g.rand = rand.NewChaCha8([32]byte{})
		clock := now
		g.now = func() time.Time { return clock }
		ids := []string{last}
		for n := range 3000 {
			switch n {
			case 1000:
				clock = clock.Add(-time.Hour)
			case 2000:
				clock = clock.Add(2 * time.Hour)
			}
			clock = clock.Add(time.Duration(n%3) * time.Millisecond)
			id, err := g.next()
			if err != nil || len(id) != 26 {
				t.Fatal(id, err)
			}
			ids = append(ids, id)
		}
		if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 3001 {
			t.Errorf("ids after %q are not in order or not unique", last)
		}
	}
}

func TestASpecSurvivesItsForm(t *testing.T) {
	for _, s := range []jobSpec{
		{Entry: run.Entry{Mode: run.Command, Args: []string{"a"}}, Limits: run.Limits{CPU: time.Second}},
		{input: []byte{}, stdin: []byte("in")}, {input: []byte("x"), stdin: []byte{}}, {input: []byte("x")},
	} {
		b, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeSpec(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(s, got, cmp.AllowUnexported(jobSpec{}), cmpopts.IgnoreFields(jobSpec{}, "Input", "Stdin")); d != "" {
			t.Error(d)
		}
		for n := range b {
			if short, err := decodeSpec(b[:n]); err == nil && (len(s.input)+len(s.stdin) == 0 || len(short.input)+len(short.stdin) > 0) {
				t.Errorf("%d of %d bytes are a request", n, len(b))
			}
		}
	}
	if _, err := decodeSpec([]byte(fmt.Sprint("\x00\x00\x00\x02", "{}"))); err != nil {
		t.Error(err)
	}
}
