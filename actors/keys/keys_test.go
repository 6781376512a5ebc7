package keys

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

var cheap = cost{Passes: 1, KiB: 64, Lanes: 1}

// memory is a Store that fails when it is told to.
type memory struct {
	b    []byte
	load error
	save error
}

func (m *memory) Load() ([]byte, error) {
	if m.load == nil && m.b == nil {
		return nil, fs.ErrNotExist
	}
	return m.b, m.load
}

func (m *memory) Save(b []byte) error {
	if m.save == nil {
		m.b = bytes.Clone(b)
	}
	return m.save
}

func must(t *testing.T, store Store, u Unlock) *Keyring {
	t.Helper()
	k, err := open(store, u, rand.Reader, cheap)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pass(s string) Unlock { return Unlock{Passphrase: []byte(s)} }

func keyFile(b byte) Unlock { return Unlock{KeyFile: append(bytes.Repeat([]byte{b}, 31), b+1)} }

// facts is what must stay the same over a restart.
type facts struct {
	Public, Secret, Other string
}

func of(k *Keyring) facts {
	a, b := k.Secret(manifest.Address{1}, []byte("path")), k.Secret(manifest.Address{2}, []byte("path"))
	p := k.Public()
	return facts{string(p[:]), string(a[:]), string(b[:])}
}

func TestSecretsSurviveARestart(t *testing.T) {
	for _, c := range []struct {
		name   string
		unlock Unlock
		locked bool
	}{
		{"in clear", Unlock{}, false},
		{"passphrase", pass("open sesame"), true},
		{"key file", keyFile(7), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &memory{}
			k := must(t, m, c.unlock)
			seed := k.Worker().Seed()
			if k.Locked() != c.locked || bytes.Contains(m.b, seed[:]) == c.locked {
				t.Errorf("locked: %t, in the file: %t", k.Locked(), bytes.Contains(m.b, seed[:]))
			}
			before := of(k)
			if before.Secret == before.Other {
				t.Error("two apps have one secret")
			}
			again := must(t, m, c.unlock)
			if diff := cmp.Diff(before, of(again)); diff != "" || again.Locked() != c.locked {
				t.Errorf("after a restart, locked %t: %s", again.Locked(), diff)
			}
		})
	}
}

func TestTwoHostsHaveTwoKeys(t *testing.T) {
	a, b := of(must(t, &memory{}, Unlock{})), of(must(t, &memory{}, Unlock{}))
	if a.Public == b.Public || a.Secret == b.Secret {
		t.Error("they share something")
	}
}

func TestWrongUnlock(t *testing.T) {
	m := &memory{}
	must(t, m, pass("right"))
	was := bytes.Clone(m.b)
	for _, u := range []Unlock{pass("wrong"), {}, keyFile(1)} {
		_, err := open(m, u, rand.Reader, cheap)
		if !errors.Is(err, fault.HostKey) || strings.Contains(err.Error(), "damaged") {
			t.Errorf("%v", err)
		}
	}
	m2 := &memory{}
	must(t, m2, keyFile(1))
	for _, u := range []Unlock{pass("wrong"), {}, keyFile(2)} {
		if _, err := open(m2, u, rand.Reader, cheap); !errors.Is(err, fault.HostKey) || strings.Contains(err.Error(), "damaged") {
			t.Errorf("%v", err)
		}
	}
	if !bytes.Equal(was, m.b) {
		t.Error("the file was changed")
	}
}

func TestBadUnlock(t *testing.T) {
	for _, u := range []Unlock{
		{Passphrase: []byte("a"), KeyFile: keyFile(1).KeyFile}, {Passphrase: []byte{}}, {KeyFile: []byte{}},
		{KeyFile: make([]byte, 31)}, {KeyFile: make([]byte, 32)}, {KeyFile: make([]byte, maxKeyFile+1)},
	} {
		m := &memory{}
		if _, err := Open(m, u, nil); !errors.Is(err, fault.CallerConfig) || m.b != nil {
			t.Errorf("%d and %d bytes: %v", len(u.Passphrase), len(u.KeyFile), err)
		}
	}
}

// Any byte of the file that is another one, any length that it is cut to, is found, and never replaced by a new key.
func TestDamage(t *testing.T) {
	for _, u := range []Unlock{{}, pass("right"), keyFile(3)} {
		m := &memory{}
		must(t, m, u)
		whole := bytes.Clone(m.b)
		damaged := [][]byte{{}, append(bytes.Clone(whole), 0)}
		for i := range whole {
			flipped := bytes.Clone(whole)
			flipped[i] ^= 1 << (i % 8)
			damaged = append(damaged, flipped, whole[:i])
		}
		for i, b := range damaged {
			m.b = b
			_, err := open(m, u, rand.Reader, cheap)
			if !errors.Is(err, fault.HostKey) || !strings.Contains(err.Error(), "damaged") {
				t.Fatalf("damage %d: %v", i, err)
			}
			if !bytes.Equal(m.b, b) {
				t.Fatalf("damage %d: the file was changed", i)
			}
		}
	}
}

func TestStoreFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := open(&memory{load: broken}, Unlock{}, rand.Reader, cheap); !errors.Is(err, fault.HostKey) || !errors.Is(err, broken) {
		t.Errorf("load: %v", err)
	}
	if _, err := open(&memory{save: broken}, Unlock{}, rand.Reader, cheap); !errors.Is(err, broken) {
		t.Errorf("save: %v", err)
	}
	m := &memory{}
	k := must(t, m, pass("right"))
	before := of(k)
	backup, err := must(t, &memory{}, Unlock{}).Backup([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	m.save = fault.New(fault.HostDiskFull, "", "", nil)
	_, _, rotated := k.Rotate()
	for _, err := range []error{rotated, k.Lock(Unlock{}), k.Restore(backup, []byte("b"))} {
		if !errors.Is(err, fault.HostDiskFull) {
			t.Errorf("%v", err)
		}
	}
	if diff := cmp.Diff(before, of(k)); diff != "" || !k.Locked() || len(k.History()) > 0 {
		t.Errorf("what failed took effect: %s", diff)
	}
}

func TestNoRandomBytes(t *testing.T) {
	m := &memory{}
	if _, err := open(m, Unlock{}, strings.NewReader("too short"), cheap); !errors.Is(err, fault.HostKey) || m.b != nil {
		t.Errorf("%v", err)
	}
}

func TestRotate(t *testing.T) {
	m := &memory{}
	k := must(t, m, pass("right"))
	before := of(k)
	sealed := k.Seal(manifest.Address{1}).Seal(nil, make([]byte, 24), []byte("data"), nil)
	old, replacement, err := k.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*Keyring{"at once": k, "after a restart": must(t, m, pass("right"))} {
		after := of(k)
		if string(old[:]) != before.Public || string(replacement[:]) != after.Public || old == replacement {
			t.Errorf("%s: the keys are not those that were reported", name)
		}
		before.Public = after.Public
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: secrets of apps changed: %s", name, diff)
		}
		before.Public = string(old[:])
		if got, err := k.Seal(manifest.Address{1}).Open(nil, make([]byte, 24), sealed, nil); err != nil || string(got) != "data" {
			t.Errorf("%s: stored data: %q, %v", name, got, err)
		}
		if h := k.History(); len(h) != 1 || h[0].Public != old || h[0].At.IsZero() {
			t.Errorf("%s: history %v", name, h)
		}
	}
	for range MaxHistory + 5 {
		if _, _, err := k.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	if h := must(t, m, pass("right")).History(); len(h) != MaxHistory || slices.ContainsFunc(h, func(r Replaced) bool { return r.Public == old }) {
		t.Errorf("%d keys in the history", len(h))
	}
}

func TestBackup(t *testing.T) {
	k := must(t, &memory{}, keyFile(1))
	if _, _, err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Backup(nil); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("without a passphrase: %v", err)
	}
	backup, err := k.Backup([]byte("in the safe"))
	if err != nil {
		t.Fatal(err)
	}
	seed := k.Worker().Seed()
	if bytes.Contains(backup, seed[:]) {
		t.Error("the backup is in clear")
	}
	if err := k.Restore(backup, []byte("in the safe")); err != nil || len(k.History()) != 1 {
		t.Errorf("restored where it is from: %v, %d in the history", err, len(k.History()))
	}
	m := &memory{}
	other := must(t, m, pass("of the other"))
	gone := other.Public()
	before := of(other)
	if err := other.Restore(backup, []byte("wrong")); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("wrong passphrase: %v", err)
	}
	if err := other.Restore(backup[1:], []byte("in the safe")); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("damaged: %v", err)
	}
	if err := other.Restore(m.b, []byte("in the safe")); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("locked with another passphrase: %v", err)
	}
	clear := &memory{}
	must(t, clear, Unlock{})
	if err := other.Restore(clear.b, []byte("in the safe")); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("not a backup: %v", err)
	}
	if diff := cmp.Diff(before, of(other)); diff != "" {
		t.Fatalf("a restore that failed took effect: %s", diff)
	}
	if err := other.Restore(backup, []byte("in the safe")); err != nil {
		t.Fatal(err)
	}
	for _, restored := range []*Keyring{other, must(t, m, pass("of the other"))} {
		if diff := cmp.Diff(of(k), of(restored)); diff != "" {
			t.Errorf("restored: %s", diff)
		}
		if h := restored.History(); len(h) != 2 || h[1].Public != gone {
			t.Errorf("history: %v", h)
		}
	}
}

func TestLock(t *testing.T) {
	m := &memory{}
	k := must(t, m, Unlock{})
	before := of(k)
	for _, u := range []Unlock{pass("one"), pass("two"), keyFile(9), {}} {
		if err := k.Lock(u); err != nil {
			t.Fatal(err)
		}
		if k.Locked() == u.none() {
			t.Errorf("locked: %t", k.Locked())
		}
		if diff := cmp.Diff(before, of(must(t, m, u))); diff != "" {
			t.Error(diff)
		}
		if _, err := open(m, pass("zero"), rand.Reader, cheap); !u.none() && !errors.Is(err, fault.HostKey) {
			t.Errorf("%v", err)
		}
	}
}

// A passphrase that is given for secrets in clear locks them.
func TestOpenLocks(t *testing.T) {
	m := &memory{}
	before := of(must(t, m, Unlock{}))
	k := must(t, m, pass("from now on"))
	if diff := cmp.Diff(before, of(k)); diff != "" || !k.Locked() {
		t.Errorf("locked %t: %s", k.Locked(), diff)
	}
	if _, err := open(m, Unlock{}, rand.Reader, cheap); !errors.Is(err, fault.HostKey) {
		t.Errorf("without the passphrase: %v", err)
	}
}

func TestSealIsOfOneApp(t *testing.T) {
	k := must(t, &memory{}, Unlock{})
	nonce := make([]byte, k.Seal(manifest.Address{1}).NonceSize())
	sealed := k.Seal(manifest.Address{1}).Seal(nil, nonce, []byte("data"), nil)
	if _, err := k.Seal(manifest.Address{2}).Open(nil, nonce, sealed, nil); err == nil {
		t.Error("another app reads it")
	}
	if got, err := k.Seal(manifest.Address{1}).Open(nil, nonce, sealed, nil); err != nil || string(got) != "data" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSignApp(t *testing.T) {
	k := must(t, &memory{}, Unlock{})
	app := manifest.Address{1, 2, 3}
	sig := k.SignApp(app, []byte("data"))
	message := append(append([]byte{0xff, 101}, app[:]...), "data"...)
	if !meter.Verify(k.Public(), message, sig[:]) {
		t.Error("the signature is not over the message of the format")
	}
	message[2]++
	if meter.Verify(k.Public(), message, sig[:]) {
		t.Error("it is good for another app")
	}
}

func TestManyAtOnce(t *testing.T) {
	m := &memory{}
	k := must(t, m, Unlock{})
	secret := k.Secret(manifest.Address{1}, nil)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 20 {
				if i < 2 {
					if _, _, err := k.Rotate(); err != nil {
						t.Error(err)
					}
				}
				if k.Secret(manifest.Address{1}, nil) != secret {
					t.Error("a secret changed")
				}
			}
		})
	}
	all.Wait()
	if n := len(k.History()); n != 40 {
		t.Errorf("%d rotations of 40", n)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "worker.key")
	before := of(must(t, File(path), pass("right")))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	k := must(t, File(path), pass("right"))
	if diff := cmp.Diff(before, of(k)); diff != "" {
		t.Error(diff)
	}
	if _, _, err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	if _, err := open(File(filepath.Join(path, "below")), Unlock{}, rand.Reader, cheap); fault.CodeOf(err) == fault.BugUnexpected || err == nil {
		t.Errorf("%v", err)
	}
}

// A file that was written once must stay readable. Its passphrase is golden, its seeds and its history are made up.
func TestFormatStays(t *testing.T) {
	s, l, err := decode(golden(t), pass("golden"))
	if err != nil {
		t.Fatal(err)
	}
	want := secrets{Worker: [32]byte{1}, Root: [32]byte{2}, History: []replaced{{Public: [32]byte{3}, At: 4}}}
	if diff := cmp.Diff(want, s); diff != "" || l.cost != cheap {
		t.Errorf("cost %v: %s", l.cost, diff)
	}
}

func golden(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "golden.key"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzDecode(f *testing.F) {
	f.Add(golden(f))
	m := &memory{}
	if _, err := open(m, Unlock{}, rand.Reader, cheap); err != nil {
		f.Fatal(err)
	}
	f.Add(m.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := blake2b.Sum256(b)
		for _, b := range [][]byte{b, append(bytes.Clone(b), sum[:]...)} {
			s, l, err := decode(b, Unlock{})
			if err != nil {
				if !errors.Is(err, fault.HostKey) {
					t.Fatal(err)
				}
				continue
			}
			if again, err := encode(s, l, rand.Reader); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("what was read is written otherwise: %v", err)
			}
		}
	})
}

func BenchmarkSecret(b *testing.B) {
	k, err := open(&memory{}, Unlock{}, rand.Reader, cheap)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		k.Secret(manifest.Address{1}, []byte("path"))
	}
}

func BenchmarkUnlock(b *testing.B) {
	m := &memory{}
	if _, err := Open(m, pass("right"), nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Open(m, pass("right"), nil); err != nil {
			b.Fatal(err)
		}
	}
}
