package calls

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
)

func TestKeysAndValues(t *testing.T) { // W32
	g := newGuest(t, newApp(t, AppConfig{KV: newSpace(200 << 10), Grants: manifest.Grants{KVBytes: 200 << 10}}), InstanceConfig{})
	g.fails(abi.ErrNotFound, abi.OpKVGet, n(100), "k")
	g.ok(abi.OpKVPut, nil, "k", "value")
	if a := g.ok(abi.OpKVGet, n(3), "k"); string(a.Data) != "val" || a.Nums[0] != 5 {
		t.Errorf("got %q of %d", a.Data, a.Nums[0])
	}
	full := strings.Repeat("v", abi.MaxKVValue)
	g.ok(abi.OpKVPut, nil, strings.Repeat("k", abi.MaxKey), full)
	g.fails(abi.ErrParam, abi.OpKVPut, nil, "k", full+"v")
	g.fails(abi.ErrParam, abi.OpKVPut, nil, strings.Repeat("k", abi.MaxKey+1), "")
	g.fails(abi.ErrParam, abi.OpKVPut, nil, "", "")
	g.fails(abi.ErrParam, abi.OpKVPut, nil, "a\x00b", "")
	g.ok(abi.OpKVPut, nil, "a", full)
	g.ok(abi.OpKVPut, nil, "b", full)
	g.fails(abi.ErrLimited, abi.OpKVPut, nil, "c", full)
	g.ok(abi.OpKVDelete, nil, "b")
	g.fails(abi.ErrNotFound, abi.OpKVDelete, nil, "b")
	g.ok(abi.OpKVPut, nil, "kk", "")
	if a := g.ok(abi.OpKVList, n(1000), "k", ""); string(a.Data) != "k\x00kk\x00"+strings.Repeat("k", abi.MaxKey)+"\x00" {
		t.Errorf("listed %q", a.Data)
	}
	if a := g.ok(abi.OpKVList, n(4), "k", ""); string(a.Data) != "k\x00" || a.Nums[0] != 2 {
		t.Errorf("listed %q", a.Data)
	}
	if a := g.ok(abi.OpKVList, n(5), "k", "k"); string(a.Data) != "kk\x00" {
		t.Errorf("listed %q", a.Data)
	}
	g.fails(abi.ErrParam, abi.OpKVList, n(100), "k", "kk") // the one that follows does not fit
	if a := g.ok(abi.OpKVList, n(100), "z", ""); len(a.Data) != 0 {
		t.Errorf("listed %q", a.Data)
	}
	none := newGuest(t, newApp(t, AppConfig{KV: newSpace(1)}), InstanceConfig{})
	none.fails(abi.ErrForbidden, abi.OpKVGet, n(100), "k") // the manifest grants none
	none.fails(abi.ErrForbidden, abi.OpKVList, n(100), "", "")
}

// files is a Blobs.
type files map[string]string

func (f files) ReadAt(_ context.Context, _, hash string, p []byte, off int64) (int, int64, error) {
	s, ok := f[hash]
	if !ok {
		return 0, 0, fault.New(fault.CallerBlobMissing, "read", hash, nil)
	}
	return copy(p, s[min(off, int64(len(s))):]), int64(len(s)), nil
}

func TestOnlyNamedBlobsAreRead(t *testing.T) {
	s := New(Config{BlobReader: files{"sha256:a": "content", "sha256:b": "secret"}})
	m := &tally{}
	g := newGuest(t, s.App(AppConfig{Blobs: []string{"sha256:a", "sha256:gone"}}), InstanceConfig{Meter: m})
	if a := g.ok(abi.OpBlobRead, n(2, 3), "sha256:a"); string(a.Data) != "nte" || a.Nums[0] != 7 {
		t.Errorf("read %q of %d", a.Data, a.Nums[0])
	}
	if a := g.ok(abi.OpBlobRead, n(100, 3), "sha256:a"); len(a.Data) != 0 || a.Nums[0] != 7 {
		t.Errorf("read %q of %d", a.Data, a.Nums[0])
	}
	g.ok(abi.OpBlobRead, n(0, 1), "sha256:a")
	g.fails(abi.ErrParam, abi.OpBlobRead, n(-1, 3), "sha256:a")
	g.fails(abi.ErrForbidden, abi.OpBlobRead, n(0, 3), "sha256:b")
	g.fails(abi.ErrNotFound, abi.OpBlobRead, n(0, 3), "sha256:gone")
	g.i.Flush()
	if u := m.total(); u.StorageRead != 3+1 {
		t.Errorf("counted %d bytes read, want 4", u.StorageRead)
	}
}

func TestFacts(t *testing.T) {
	s := New(Config{BlockTime: func() (time.Time, bool) { return time.UnixMilli(12345), true }})
	g := newGuest(t, s.App(AppConfig{Address: manifest.Address{1}, Session: [32]byte{2}, WorkerSession: [32]byte{3}, Label: "label", Config: []byte("config"),
		Keys: signer{}, KV: &space{used: 9, quota: 10}, Grants: manifest.Grants{KVBytes: 10}}), InstanceConfig{ID: 77, GasLimit: 100})
	le := func(v ...uint64) (s string) {
		for _, v := range v {
			s += string(binary.LittleEndian.AppendUint64(nil, v))
		}
		return s
	}
	id := func(b byte) string { return string([]byte{b}) + strings.Repeat("\x00", 31) }
	for which, want := range map[int64]string{abi.FactAddress: id(1), abi.FactAppSession: id(2), abi.FactWorkerKey: id(7), abi.FactWorkerSession: id(3),
		abi.FactInstance: le(77), abi.FactLabel: "label", abi.FactConfig: "config", abi.FactStorage: le(9, 10), abi.FactBlockTime: le(12345)} {
		if a := g.ok(abi.OpFact, n(which, 100)); string(a.Data) != want || a.Nums[0] != uint64(len(want)) {
			t.Errorf("fact %d is %q, want %q", which, a.Data, want)
		}
	}
	if a := g.ok(abi.OpFact, n(abi.FactLabel, 2)); string(a.Data) != "la" || a.Nums[0] != 5 {
		t.Errorf("the label is %q of %d", a.Data, a.Nums[0])
	}
	g.fails(abi.ErrParam, abi.OpFact, n(99, 100))
	bare := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
	bare.fails(abi.ErrNotFound, abi.OpFact, n(abi.FactBlockTime, 8))
	bare.fails(abi.ErrUnsupported, abi.OpQuote, n(100), "x")
	bare.fails(abi.ErrUnsupported, abi.OpSign, n(64), "x")
	bare.fails(abi.ErrUnsupported, abi.OpGasToken, n(72))
	if got := bare.ok(abi.OpGasLeft, nil).Nums[0]; got != math.MaxUint64 {
		t.Errorf("gas left is %d without a limit", got)
	}
	g.Gas = 30
	if got := g.ok(abi.OpGasLeft, nil).Nums[0]; got != 70 {
		t.Errorf("gas left is %d, want 70", got)
	}
}

func TestSignaturesAndSecretsAreTheApps(t *testing.T) { // W33
	s := New(Config{})
	a := newGuest(t, s.App(AppConfig{Address: manifest.Address{1}, Keys: signer{}}), InstanceConfig{})
	b := newGuest(t, s.App(AppConfig{Address: manifest.Address{2}, Keys: signer{}}), InstanceConfig{})
	one, two := a.ok(abi.OpDeriveSecret, n(64), "path").Data, b.ok(abi.OpDeriveSecret, n(64), "path").Data
	if want := mix('d', manifest.Address{1}, []byte("path")); string(one) != string(want[:]) || string(one) == string(two) {
		t.Errorf("derived %q and %q", one, two)
	}
	if want := mix('s', manifest.Address{1}, []byte("data")); string(a.ok(abi.OpSign, n(64), "data").Data) != string(want[:]) {
		t.Error("the signature is not that of the app's key")
	}
	a.fails(abi.ErrParam, abi.OpDeriveSecret, n(63), "path")
	a.fails(abi.ErrParam, abi.OpSign, n(63), "data")
	a.fails(abi.ErrParam, abi.OpDeriveSecret, n(64), strings.Repeat("p", abi.MaxSecret+1))
}

type lines struct{ out []string }

func (l *lines) Write(level int, text []byte) {
	l.out = append(l.out, string(rune('0'+level))+string(text))
}

func TestLog(t *testing.T) {
	l := &lines{}
	g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Log: l})
	g.ok(abi.OpLog, n(1), "bad")
	g.ok(abi.OpLog, n(5), "")
	g.fails(abi.ErrParam, abi.OpLog, n(0), "x")
	g.fails(abi.ErrParam, abi.OpLog, n(6), "x")
	g.fails(abi.ErrParam, abi.OpLog, n(1), strings.Repeat("x", abi.MaxBytes+1))
	if diff := cmp.Diff([]string{"1bad", "5"}, l.out); diff != "" {
		t.Error(diff)
	}
}

func TestAGasTokenIsOfAllThatWasUsed(t *testing.T) {
	m := &tally{}
	app := newApp(t, AppConfig{Token: func(context.Context) (uint64, meter.Token, error) {
		return m.committed.Gas, meter.Token{SN: 5, Session: [32]byte{6}, Nonce: [32]byte{7}}, nil
	}})
	g := newGuest(t, app, InstanceConfig{Meter: m})
	g.Gas = 1234
	a := g.ok(abi.OpGasToken, n(72))
	want := binary.LittleEndian.AppendUint64(nil, 5)
	want = append(append(want, 6), make([]byte, 31)...)
	want = append(append(want, 7), make([]byte, 31)...)
	if a.Nums[0] != 1234 || string(a.Data) != string(want) {
		t.Errorf("gas %d, token %x", a.Nums[0], a.Data)
	}
	g.fails(abi.ErrParam, abi.OpGasToken, n(71))
	m.fail = errors.New("disk")
	g.fails(abi.ErrIO, abi.OpGasToken, n(72))
}

func TestStorageAndMemoryOverTime(t *testing.T) { // W40
	for range 2 { // the same each time
		synctest.Test(t, func(t *testing.T) {
			m := &tally{}
			app := newApp(t, AppConfig{KV: newSpace(1 << 20), Grants: manifest.Grants{KVBytes: 1 << 20}})
			one := newGuest(t, app, InstanceConfig{Meter: m})
			two := newGuest(t, app, InstanceConfig{Meter: m})
			one.MemoryBytes = 65536
			one.ok(abi.OpKVPut, nil, "key", strings.Repeat("v", 997)) // 1000 bytes
			pass(10*time.Second + 300*time.Microsecond)
			one.MemoryBytes = 131072
			one.ok(abi.OpKVGet, n(1000), "key")
			two.ok(abi.OpTip, n(1))
			pass(5*time.Second + 700*time.Microsecond)
			one.ok(abi.OpKVDelete, nil, "key")
			pass(time.Second)
			one.i.End(nil)
			two.i.End(nil)
			u := m.total()
			want := meter.Use{StorageRead: 997, StorageWrite: 1003, Tip: 1,
				StorageUsed: meter.Uint128{Lo: 1000 * 15001},
				MemoryUsed:  meter.Uint128{Lo: 131072 * 16001}} // it may have grown at once
			if diff := cmp.Diff(want, u); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStorageIsCountedWithoutAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t, AppConfig{KV: &space{used: 10, quota: 100}})
		pass(time.Second)
		if u := app.Stored(); u.StorageUsed.Lo != 10*1000 {
			t.Errorf("%d byte-ms, want 10000", u.StorageUsed.Lo)
		}
		if u := app.Stored(); u.StorageUsed.Lo != 0 {
			t.Error("the same time was counted twice")
		}
	})
}

func TestGasIsTheDifference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tally{}
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Meter: m})
		for _, gas := range []int64{100, 50, 250, -7, math.MinInt64} { // it never goes back, whatever a worker says
			g.Gas = gas
			g.ok(abi.OpTip, n(0))
		}
		g.i.Finish(300, 0)
		g.i.End(nil)
		if u := m.total(); u.Gas != 300 {
			t.Errorf("gas %d, want 300", u.Gas)
		}
	})
}

func TestUseIsPassedOnNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tally{}
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Meter: m})
		g.ok(abi.OpTip, n(7))
		if m.total().Tip != 0 {
			t.Error("a call alone was passed on")
		}
		pass(flushEvery)
		g.ok(abi.OpTip, n(5))
		if m.total().Tip != 7 {
			t.Errorf("tip %d was passed on, want 7", m.total().Tip)
		}
		g.i.End(nil)
		if m.total().Tip != 12 {
			t.Errorf("tip %d, want 12", m.total().Tip) // W41
		}
	})
}

func TestTipsSaturate(t *testing.T) { // W41
	m := &tally{}
	g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Meter: m})
	g.ok(abi.OpTip, n(-1)) // 2^64-1
	g.ok(abi.OpTip, n(5))
	g.i.End(nil)
	if m.total().Tip != math.MaxUint64 {
		t.Errorf("tip %d, want the greatest", m.total().Tip)
	}
}

// TestMemoryBetweenQuestions: a guest that is small when it asks, grows, and does nothing for a long time is counted for what it holds.
func TestMemoryBetweenQuestions(t *testing.T) { // W40
	synctest.Test(t, func(t *testing.T) {
		m := &tally{}
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Meter: m})
		pass(time.Minute) // it has not begun
		g.MemoryBytes = 65536
		g.ok(abi.OpTip, n(1))
		for range 10 {
			pass(time.Second)
			g.i.Flush() // as the host does
		}
		g.i.Finish(0, 1<<20)
		g.i.End(nil)
		if got, want := m.total().MemoryUsed, (meter.Uint128{Lo: 10000 << 20}); got != want {
			t.Errorf("%v, want %v", got, want)
		}
		m = &tally{}
		g = newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Meter: m})
		g.MemoryBytes = 65536
		g.fails(abi.ErrPending, abi.OpAccept, n(10_000)) // it waits, and cannot grow
		g.MemoryBytes = 1 << 20
		g.ok(abi.OpTip, n(1))
		g.i.End(nil)
		if got, want := m.total().MemoryUsed, (meter.Uint128{Lo: 65536 * 10_000}); got != want {
			t.Errorf("while it waited: %v, want %v", got, want)
		}
	})
}
