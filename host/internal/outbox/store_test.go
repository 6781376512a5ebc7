package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
)

func openDir(t testing.TB, path string) *db.Dir {
	t.Helper()
	d, err := db.OpenDir(db.DirConfig{Path: path, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newStore(t testing.TB, d *db.Dir) *Store {
	t.Helper()
	s, err := New(d.State)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// must is for what cannot fail on a disk that works.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func record(n uint64) chain.Record {
	return chain.Record{Number: n, Key: fmt.Sprint("key/", n), Sender: chain.Hash{1, byte(n)}, Class: chain.Report, Name: "Wapod.ticket_settle", Bytes: 600,
		Accepted: time.Unix(int64(n), 5).UTC(), Transient: []string{"Wapod.Busy"}, Retries: 3, Progress: chain.Waiting}
}

func TestAnEntryFromBeginToEnd(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "data")
	d := openDir(t, path)
	s := newStore(t, d)
	again := func() {
		must(t, d.Close())
		d = openDir(t, path)
		s = newStore(t, d)
	}
	defer func() { _ = d.Close() }()
	load := func(want chain.Saved) {
		t.Helper()
		got, err := s.Load(ctx)
		must(t, err)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	}
	load(chain.Saved{Next: 1})

	r := record(7)
	call := chain.Call{Pallet: "Wapod", Name: "ticket_settle", Args: json.RawMessage("{ \"signed\" :\t\"<&>\"}")}
	old, err := s.Add(ctx, r, call)
	must(t, err)
	if old != nil {
		t.Fatal("there was none before")
	}
	other := record(8)
	other.Key = r.Key
	if old, err = s.Add(ctx, other, call); err != nil || old == nil || old.Number != 7 {
		t.Fatalf("the key names %v, %v", old, err)
	}
	again()
	load(chain.Saved{Records: []chain.Record{r}, Next: 8})
	got, err := s.Call(ctx, 7)
	must(t, err)
	if d := cmp.Diff(call, got); d != "" {
		t.Error(d)
	}
	if _, err := s.Tx(ctx, 7); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("a transaction that was not made: %v", err)
	}

	r.Progress, r.Nonce, r.Hash, r.ValidUntil, r.Genesis, r.Made = chain.Signed, 4, chain.Hash{9}, 70, chain.Hash{2}, 1
	must(t, s.Save(ctx, r, []byte("tx")))
	mark := chain.Mark{Genesis: chain.Hash{2}, Cursor: chain.Cursor{Height: 3, Hash: chain.Hash{4}}, Nonces: map[chain.Hash]uint64{{5}: 6}}
	must(t, s.SaveMark(ctx, mark))
	again()
	load(chain.Saved{Mark: mark, Records: []chain.Record{r}, Next: 8})
	tx, err := s.Tx(ctx, 7)
	must(t, err)
	if string(tx) != "tx" {
		t.Errorf("the transaction is %q", tx)
	}
	r.Progress, r.Hash = chain.Waiting, chain.Hash{}
	must(t, s.Save(ctx, r, nil))
	if _, err := s.Tx(ctx, 7); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("a transaction that was forgotten: %v", err)
	}

	r.Progress, r.Finished = chain.Done, time.Unix(50, 0).UTC()
	r.Events = []chain.Event{{Tx: 1, Pallet: "Wapod", Name: "Settled", Fields: json.RawMessage(`{"a":1}`)}}
	must(t, s.Finish(ctx, r))
	again()
	load(chain.Saved{Mark: mark, Next: 8})
	if _, err := s.Call(ctx, 7); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("a call that was forgotten: %v", err)
	}
	for _, find := range []func() (*chain.Record, error){
		func() (*chain.Record, error) { return s.Find(ctx, r.Key) },
		func() (*chain.Record, error) { return s.Add(ctx, other, call) },
	} {
		found, err := find()
		must(t, err)
		if d := cmp.Diff(&r, found); d != "" {
			t.Error(d)
		}
	}
	if found, err := s.Find(ctx, "nobody"); found != nil || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
}

// TestTheHistoryInPages pages forwards and backwards over a history with gaps, and trims it.
func TestTheHistoryInPages(t *testing.T) {
	ctx := context.Background()
	d := openDir(t, filepath.Join(t.TempDir(), "data"))
	defer func() { _ = d.Close() }()
	s := newStore(t, d)
	numbers := func(from uint64) (out []uint64) {
		for n := from; n <= 900; n += 7 {
			if n != 7*40 {
				out = append(out, n)
			}
		}
		return out
	}
	must(t, s.Finish(ctx, record(7*10))) // they do not end in order
	for _, n := range numbers(7) {
		_, err := s.Add(ctx, record(n), chain.Call{})
		must(t, err)
		must(t, s.Finish(ctx, record(n)))
	}
	_, err := s.Add(ctx, record(7*40), chain.Call{})
	must(t, err)
	walk := func(newest bool) (out []uint64) {
		t.Helper()
		for after := uint64(0); ; {
			page, next, err := s.History(ctx, after, newest, 11)
			must(t, err)
			for _, r := range page {
				out = append(out, r.Number)
			}
			if next == 0 {
				return out
			}
			after = next
		}
	}
	check := func(want []uint64) {
		t.Helper()
		if d := cmp.Diff(want, walk(false)); d != "" {
			t.Fatal(d)
		}
		back := walk(true)
		for n, m := 0, len(back)-1; n < m; n, m = n+1, m-1 {
			back[n], back[m] = back[m], back[n]
		}
		if d := cmp.Diff(want, back); d != "" {
			t.Fatal(d)
		}
	}
	check(numbers(7))
	must(t, s.Trim(ctx, 100_000))
	check(numbers(7))
	must(t, s.Trim(ctx, 300))
	check(numbers(602))
	if r, err := s.Find(ctx, "key/7"); r != nil || err != nil {
		t.Errorf("a key that was forgotten: %v, %v", r, err)
	}
	must(t, s.Finish(ctx, record(7*40)))
	check(append([]uint64{7 * 40}, numbers(602)...))
	s = newStore(t, d)
	check(append([]uint64{7 * 40}, numbers(602)...))
	must(t, s.Trim(ctx, 300))
	check(numbers(602))
	if got, err := newStore(t, d).Load(ctx); err != nil || got.Next != 897 {
		t.Errorf("next is %d, %v", got.Next, err)
	}
}

func TestWhatDoesNotVerify(t *testing.T) {
	ctx := context.Background()
	d := openDir(t, filepath.Join(t.TempDir(), "data"))
	defer func() { _ = d.Close() }()
	s := newStore(t, d)
	_, err := s.Add(ctx, record(1), chain.Call{Pallet: "P", Args: json.RawMessage("{}")})
	must(t, err)
	swap, err := sealJSON(record(2))
	must(t, err)
	for _, tc := range []struct {
		key   []byte
		value []byte
		read  func() error
	}{
		{numbered(prefixRecord, 1), []byte("x"), func() error { _, err := s.Load(ctx); return err }},
		{numbered(prefixRecord, 1), swap, func() error { _, err := s.Load(ctx); return err }},
		{numbered(prefixCall, 1), []byte{}, func() error { _, err := s.Call(ctx, 1); return err }},
		{numbered(prefixTx, 1), []byte("12345"), func() error { _, err := s.Tx(ctx, 1); return err }},
		{[]byte(prefixKey + "key/1"), []byte("1"), func() error { _, err := s.Find(ctx, "key/1"); return err }},
		{[]byte(keyMark), seal([]byte("[")), func() error { _, err := s.Load(ctx); return err }},
		{numbered(prefixHistory, 1), []byte("x"), func() error { _, _, err := newStore(t, d).History(ctx, 0, false, 5); return err }},
	} {
		must(t, d.State.Write(ctx, db.Op{Key: tc.key, Value: tc.value}))
		if err := tc.read(); !errors.Is(err, fault.HostDataDirCorrupt) {
			t.Errorf("%q as %q: %v", tc.key, tc.value, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(sealCall(chain.Call{Pallet: "Wapod", Name: "ticket_settle", Args: json.RawMessage("{}")}))
	r, _ := sealJSON(record(3))
	f.Add(r)
	f.Add(seal([]byte{0, 200, 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, seal(b)} {
			if c, err := openCall(b); err == nil {
				if again, err := openCall(sealCall(c)); err != nil || cmp.Diff(c, again) != "" {
					t.Errorf("%v becomes %v, %v", c, again, err)
				}
			}
			_, _ = openRecord(prefixRecord, numbered(prefixRecord, 1), b)
		}
	})
}
