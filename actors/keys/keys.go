package keys

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// MaxHistory is how many replaced keys are remembered.
const MaxHistory = 256

// Store keeps one blob. Save is atomic and durable: after it returned without an error, and only then, Load returns what it was
// given. Load returns fs.ErrNotExist only if nothing was ever saved.
type Store interface {
	Load() ([]byte, error)
	Save([]byte) error
}

// Unlock is what secrets are locked with: at most one of the two. The zero Unlock is none, and the secrets are in clear.
type Unlock struct {
	Passphrase []byte
	KeyFile    []byte // its content
}

// Replaced is a worker key that is no longer used.
type Replaced struct {
	Public [32]byte
	At     time.Time
}

// Keyring has the secrets.
type Keyring struct {
	store Store
	rand  io.Reader
	cost  cost
	now   func() time.Time

	state atomic.Pointer[state]
	mu    sync.Mutex // who writes
}

// state is replaced as a whole.
type state struct {
	secrets
	lock   lock
	worker *meter.Key
	apps   *meter.Key // of the root
}

// Open reads the secrets from a store, and makes them if it has none. Those in clear are locked if there is something to lock them
// with. A nil source of random bytes is that of the machine.
//
// # Errors
//
// host.worker_key: what is stored is locked with something else, is damaged, or belongs to a newer version. caller.invalid_config:
// unlock has both a passphrase and a key file, or one that is too short. Errors of the store.
func Open(store Store, unlock Unlock, random io.Reader) (*Keyring, error) {
	return open(store, unlock, random, defaultCost)
}

func open(store Store, unlock Unlock, random io.Reader, c cost) (*Keyring, error) {
	if random == nil {
		random = rand.Reader
	}
	if err := unlock.check(); err != nil {
		return nil, err
	}
	k := &Keyring{store: store, rand: random, cost: c, now: time.Now}
	b, err := store.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		var s secrets
		if s.Worker, err = k.fresh(); err != nil {
			return nil, err
		}
		if s.Root, err = k.fresh(); err != nil {
			return nil, err
		}
		return k, k.relock(s, unlock)
	case err != nil:
		return nil, wrap("open", err)
	}
	s, l, err := decode(b, unlock)
	if err != nil {
		return nil, err
	}
	if l.kind == inClear && !unlock.none() {
		return k, k.relock(s, unlock)
	}
	k.set(s, l)
	return k, nil
}

// Worker returns the key that names the worker.
func (k *Keyring) Worker() *meter.Key { return k.state.Load().worker }

// Locked reports whether the stored secrets are encrypted.
func (k *Keyring) Locked() bool { return k.state.Load().lock.kind != inClear }

// History returns the worker keys that were replaced, the oldest first.
func (k *Keyring) History() []Replaced {
	var out []Replaced
	for _, r := range k.state.Load().History {
		out = append(out, Replaced{Public: r.Public, At: time.UnixMilli(int64(r.At))})
	}
	return out
}

// Backup returns all secrets, locked with a passphrase, in the format of the store.
//
// # Errors
//
// caller.invalid_request: the passphrase is empty.
func (k *Keyring) Backup(passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, fault.New(fault.CallerInvalid, "back up the worker key", "", errNoPassphrase)
	}
	l, err := newLock(Unlock{Passphrase: passphrase}, k.rand, k.cost)
	if err != nil {
		return nil, err
	}
	return encode(k.state.Load().secrets, l, k.rand)
}

// Restore replaces all secrets by those of a backup, locked with what the present ones are locked with. The present worker key
// joins the history; the present root, and with it what apps derived from it, is lost unless there is a backup of it.
//
// # Errors
//
// caller.invalid_request: the backup is damaged, or the passphrase is wrong. Errors of the store: nothing has changed.
func (k *Keyring) Restore(backup, passphrase []byte) error {
	s, l, err := decode(backup, Unlock{Passphrase: passphrase})
	if err == nil && l.kind != byPassphrase {
		err = errors.New("this is no backup")
	}
	if err != nil { // not the host's own key, so not its fault
		why := err
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Unwrap() != nil {
			why = f.Unwrap()
		}
		return fault.New(fault.CallerInvalid, "restore the worker key", "", why).WithHint("give a backup of 'troupe key backup', and its passphrase")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.state.Load()
	if s.Worker != now.Worker {
		s.History = remember(s.History, replaced{now.worker.Public(), uint64(k.now().UnixMilli())})
	}
	return k.save(s, now.lock)
}

// Rotate makes another worker key and returns the public halves of both. See the section on rotation.
//
// # Errors
//
// Those of the store: nothing has changed.
func (k *Keyring) Rotate() (old, replacement [32]byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.state.Load()
	s := now.secrets
	old = now.worker.Public()
	if s.Worker, err = k.fresh(); err != nil {
		return old, old, err
	}
	s.History = remember(s.History, replaced{old, uint64(k.now().UnixMilli())})
	if err := k.save(s, now.lock); err != nil {
		return old, old, err
	}
	return old, k.Worker().Public(), nil
}

// Lock changes what the secrets are locked with; the zero Unlock has them written in clear.
//
// # Errors
//
// caller.invalid_config: as for Open. Errors of the store: nothing has changed.
func (k *Keyring) Lock(unlock Unlock) error {
	if err := unlock.check(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.relock(k.state.Load().secrets, unlock)
}

// Secret derives a secret of an app: the sr25519 key at the hard path of the app's address and of the BLAKE2b-256 of path.
func (k *Keyring) Secret(app manifest.Address, path []byte) [64]byte {
	return k.state.Load().apps.Derive([32]byte(app), blake2b.Sum256(path)).Secret()
}

// SignApp signs what an app says, with the worker key, so that it cannot be taken for what the worker or another app says.
func (k *Keyring) SignApp(app manifest.Address, data []byte) [64]byte {
	return k.Worker().Sign(meter.AppMessage(app, data))
}

// Public returns the public half of the worker key.
func (k *Keyring) Public() [32]byte { return k.Worker().Public() }

// Seal returns the cipher for the stored data of an app. Its nonces of 24 bytes may be random.
func (k *Keyring) Seal(app manifest.Address) cipher.AEAD {
	root := k.state.Load().Root
	key, err := hkdf.Key(sha256.New, root[:], nil, "troupe app seal 1"+string(app[:]), chacha20poly1305.KeySize)
	if err != nil {
		panic(err) // only for lengths that this one is not
	}
	return newAEAD(key)
}

func newAEAD(key []byte) cipher.AEAD {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for other lengths
	}
	return aead
}

// relock saves secrets under a new lock.
func (k *Keyring) relock(s secrets, unlock Unlock) error {
	l, err := newLock(unlock, k.rand, k.cost)
	if err != nil {
		return err
	}
	return k.save(s, l)
}

func (k *Keyring) save(s secrets, l lock) error {
	b, err := encode(s, l, k.rand)
	if err != nil {
		return err
	}
	if err := k.store.Save(b); err != nil {
		return wrap("save the worker key", err)
	}
	k.set(s, l)
	return nil
}

func (k *Keyring) set(s secrets, l lock) {
	k.state.Store(&state{secrets: s, lock: l, worker: meter.KeyFromSeed(s.Worker), apps: meter.KeyFromSeed(s.Root)})
}

// fresh returns new random bytes.
func (k *Keyring) fresh() (b [32]byte, err error) { return b, fill(k.rand, b[:]) }

func fill(random io.Reader, b []byte) error {
	if _, err := io.ReadFull(random, b); err != nil {
		return fault.New(fault.HostKey, "make a key", "", fmt.Errorf("no random bytes: %w", err))
	}
	return nil
}

func remember(history []replaced, r replaced) []replaced {
	out := append(append([]replaced{}, history...), r)
	return out[max(0, len(out)-MaxHistory):]
}

func wrap(op string, err error) error {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	return fault.New(fault.HostKey, op, "", err)
}

var errNoPassphrase = errors.New("the passphrase is empty")

func (u Unlock) none() bool { return len(u.Passphrase) == 0 && len(u.KeyFile) == 0 }

func (u Unlock) check() error {
	why := ""
	switch {
	case len(u.Passphrase) > 0 && len(u.KeyFile) > 0:
		why = "there is a passphrase and a key file: give one of them"
	case u.Passphrase != nil && len(u.Passphrase) == 0:
		why = errNoPassphrase.Error()
	case u.KeyFile != nil && (len(u.KeyFile) < minKeyFile || len(u.KeyFile) > maxKeyFile):
		why = fmt.Sprintf("the key file has %d bytes, not %d to %d", len(u.KeyFile), minKeyFile, maxKeyFile)
	case len(u.KeyFile) > 0 && bytes.Count(u.KeyFile, u.KeyFile[:1]) == len(u.KeyFile):
		why = "all bytes of the key file are the same"
	}
	if why == "" {
		return nil
	}
	return fault.New(fault.CallerConfig, "unlock the worker key", "", errors.New(why))
}
