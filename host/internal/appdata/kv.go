package appdata

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Limits of a key-value space.
const (
	MaxKey        = 256
	MaxValue      = 64 << 10
	MaxEntries    = 1 << 16
	EntryOverhead = 64 // bytes that an entry costs of the quota besides its key and value

	kvStripes = 64
	maxRemove = 1024 // keys removed at a time
)

// ErrNotFound says that a key is not there. It is an fs.ErrNotExist.
var ErrNotFound = fmt.Errorf("no such key: %w", fs.ErrNotExist)

// Spaces has the key-value spaces of all apps.
type Spaces struct {
	db     *db.DB
	commit *db.Committer

	mu   sync.Mutex
	used map[manifest.Address]*KV // those that somebody has open
}

// NewSpaces returns the spaces in a database.
func NewSpaces(d *db.DB) *Spaces {
	return &Spaces{db: d, commit: db.NewCommitter(d), used: map[manifest.Address]*KV{}}
}

// KV is the key-value space of one app.
type KV struct {
	spaces *Spaces
	app    manifest.Address
	seal   cipher.AEAD
	names  []byte // key of the HMAC
	open   int    // how often; guarded by Spaces.mu

	same  [kvStripes]sync.Mutex // by name: two changes of one key are made one after the other; taken after busy
	busy  sync.RWMutex          // held for reading by changes under way, so that what is loaded lacks none
	mu    sync.Mutex            // guards what follows; taken last
	quota int64
	index *index // nil: not loaded
}

// index knows what there is.
type index struct {
	sizes   map[string]int64
	sorted  []string
	damaged map[string]int64 // by name: entries that do not open
	bytes   int64
}

// Open returns the space of an app, sealed with a key of its own. All who have it open share it, and the last quota holds.
// Close it when it is no longer used.
func (s *Spaces) Open(app manifest.Address, seal cipher.AEAD, quota int64) *KV {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.used[app]
	if k == nil {
		// The names need a secret, too. No other text is ever sealed under this nonce, but by a chance of 2^-96.
		secret := sha256.Sum256(seal.Seal(nil, slices.Repeat([]byte{0xff}, seal.NonceSize()), make([]byte, 32), []byte("troupe names of keys")))
		k = &KV{spaces: s, app: app, seal: seal, names: secret[:]}
		s.used[app] = k
	}
	k.open++
	k.mu.Lock()
	k.quota = quota
	k.mu.Unlock()
	return k
}

// Close gives the space back; what it has stays. Nothing may be called after it.
func (k *KV) Close() {
	k.spaces.mu.Lock()
	defer k.spaces.mu.Unlock()
	if k.open--; k.open == 0 {
		delete(k.spaces.used, k.app)
	}
}

// Drop removes all that an app stored.
func (s *Spaces) Drop(ctx context.Context, app manifest.Address) error {
	s.mu.Lock()
	k := s.used[app]
	s.mu.Unlock()
	if k != nil {
		k.busy.Lock()
		defer k.busy.Unlock()
		defer k.forget()
	}
	var keys [][]byte
	err := s.db.Scan(entryPrefix(app), func(name, _ []byte) error {
		keys = append(keys, slices.Clone(name))
		return ctx.Err()
	})
	for part := range slices.Chunk(keys, maxRemove) {
		if err == nil {
			err = s.db.Remove(ctx, part...)
		}
	}
	return err
}

func entryPrefix(app manifest.Address) []byte { return append([]byte(prefixEntry), app[:]...) }

func (k *KV) name(key string) []byte {
	h := hmac.New(sha256.New, k.names)
	h.Write([]byte(key))
	return h.Sum(entryPrefix(k.app))
}

// pack seals an entry, bound to its app and its name.
func (k *KV) pack(name []byte, key string, value []byte) []byte {
	plain := binary.AppendUvarint(make([]byte, 0, len(key)+len(value)+2), uint64(len(key)))
	plain = append(append(plain, key...), value...)
	out := make([]byte, 1+k.seal.NonceSize(), 1+k.seal.NonceSize()+len(plain)+k.seal.Overhead())
	out[0] = version
	_, _ = rand.Read(out[1:]) // never fails
	return k.seal.Seal(out, out[1:], plain, name)
}

func (k *KV) unpack(name, sealed []byte) (key string, value []byte, err error) {
	n := 1 + k.seal.NonceSize()
	if len(sealed) < n || sealed[0] != version {
		return "", nil, errRecord
	}
	plain, err := k.seal.Open(nil, sealed[1:n], sealed[n:], name)
	if err != nil {
		return "", nil, err
	}
	size, w := binary.Uvarint(plain)
	if w <= 0 || size > uint64(len(plain)-w) {
		return "", nil, errRecord
	}
	return string(plain[w : w+int(size)]), plain[w+int(size):], nil
}

// Get returns a copy of a value.
//
// # Errors
//
// ErrNotFound, host.data_dir_corrupt, host.disk_io.
func (k *KV) Get(ctx context.Context, key string) (value []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.From(err)
	}
	name := k.name(key)
	err = k.spaces.db.Get(name, func(sealed []byte) error {
		got, v, err := k.unpack(name, sealed)
		if err == nil && got != key {
			err = errRecord
		}
		value = v
		return corrupt("an app's entry", err)
	})
	if errors.Is(err, db.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return value, nil
}

// Put stores a value, on disk when it returns.
//
// # Errors
//
// caller.quota, caller.invalid_request, and those of the database.
func (k *KV) Put(ctx context.Context, key string, value []byte) error {
	if len(key) < 1 || len(key) > MaxKey || len(value) > MaxValue {
		return fault.New(fault.CallerInvalid, "kv put", "", fmt.Errorf("a key of %d and a value of %d bytes", len(key), len(value)))
	}
	if err := k.load(ctx); err != nil {
		return err
	}
	k.busy.RLock()
	defer k.busy.RUnlock()
	name := k.name(key)
	defer k.only(name)()
	if err := k.reserve(string(name), key, int64(len(key)+len(value)+EntryOverhead)); err != nil {
		return err
	}
	return k.write(ctx, db.Op{Key: name, Value: k.pack(name, key, value)})
}

// Delete removes a key. One that is not there is ErrNotFound.
func (k *KV) Delete(ctx context.Context, key string) error {
	if err := k.load(ctx); err != nil {
		return err
	}
	k.busy.RLock()
	defer k.busy.RUnlock()
	name := k.name(key)
	defer k.only(name)()
	k.mu.Lock()
	if k.index == nil {
		k.mu.Unlock()
		return errReload
	}
	there := k.index.remove(string(name), key)
	k.mu.Unlock()
	if !there {
		return ErrNotFound
	}
	return k.write(ctx, db.Op{Key: name, Delete: true})
}

// write makes a change that the index has already. If it fails nobody knows whether it was made, and the index goes.
func (k *KV) write(ctx context.Context, op db.Op) error {
	err := k.spaces.commit.Write(ctx, op)
	if err != nil {
		k.forget()
	}
	return err
}

func (k *KV) only(name []byte) (unlock func()) {
	m := &k.same[name[len(name)-1]%kvStripes]
	m.Lock()
	return m.Unlock
}

func (k *KV) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.index = nil
}

// errReload: a write failed between the load and this call.
var errReload = fault.New(fault.HostDiskIO, "kv", "", errors.New("another write failed; try again"))

// reserve counts an entry that is about to be written.
func (k *KV) reserve(name, key string, size int64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	x := k.index
	if x == nil {
		return errReload
	}
	old, there := x.sizes[key]
	old += x.damaged[name]
	if more := size - old; more > 0 && x.bytes+more > k.quota {
		return fault.New(fault.CallerQuota, "kv put", "", fmt.Errorf("%d bytes beside %d of %d", size, x.bytes-old, k.quota)).
			WithHint("the app must delete something, or be granted more (kv_bytes in the manifest)")
	}
	if !there && len(x.sizes) >= MaxEntries {
		return fault.New(fault.CallerQuota, "kv put", "", fmt.Errorf("the space has %d entries already", MaxEntries))
	}
	x.remove(name, key)
	x.add(key, size)
	return nil
}

func (x *index) add(key string, size int64) {
	x.bytes += size
	x.sizes[key] = size
	n, _ := slices.BinarySearch(x.sorted, key)
	x.sorted = slices.Insert(x.sorted, n, key)
}

func (x *index) remove(name, key string) (there bool) {
	if size, ok := x.damaged[name]; ok {
		delete(x.damaged, name)
		x.bytes -= size
		there = true
	}
	if size, ok := x.sizes[key]; ok {
		delete(x.sizes, key)
		x.bytes -= size
		n, _ := slices.BinarySearch(x.sorted, key)
		x.sorted = slices.Delete(x.sorted, n, n+1)
		there = true
	}
	return there
}

// load reads which keys there are, unless that is known.
func (k *KV) load(ctx context.Context) error {
	k.mu.Lock()
	known := k.index != nil
	k.mu.Unlock()
	if known {
		return nil
	}
	k.busy.Lock()
	defer k.busy.Unlock()
	k.mu.Lock()
	known = k.index != nil
	k.mu.Unlock()
	if known {
		return nil
	}
	x := &index{sizes: map[string]int64{}, damaged: map[string]int64{}}
	err := k.spaces.db.Scan(entryPrefix(k.app), func(name, sealed []byte) error {
		key, value, err := k.unpack(name, sealed)
		if err == nil {
			x.sizes[key] = int64(len(key) + len(value) + EntryOverhead)
			x.sorted = append(x.sorted, key)
			x.bytes += x.sizes[key]
		} else { // it takes room until it is written anew or deleted
			x.damaged[string(name)] = int64(len(sealed) + EntryOverhead)
			x.bytes += int64(len(sealed) + EntryOverhead)
		}
		if ctx.Err() != nil {
			return fault.From(ctx.Err())
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(x.sorted)
	k.mu.Lock()
	k.index = x
	k.mu.Unlock()
	return nil
}

// List returns the keys with a prefix that come after another one, in order, at most that many.
func (k *KV) List(ctx context.Context, prefix, after string, most int) ([]string, error) {
	if err := k.load(ctx); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.index == nil {
		return nil, errReload
	}
	from := prefix
	if after >= prefix && after != "" {
		from = after + "\x00"
	}
	n, _ := slices.BinarySearch(k.index.sorted, from)
	var out []string
	for _, key := range k.index.sorted[n:] {
		if len(out) >= most || !strings.HasPrefix(key, prefix) {
			break
		}
		out = append(out, key)
	}
	return out, nil
}

// Resize changes the quota. What is there stays, if it is more.
func (k *KV) Resize(quota int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.quota = quota
}

// Used returns how much of the quota is used: all of it, if that cannot be read.
func (k *KV) Used() (bytes, quota int64) {
	err := k.load(context.Background())
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil || k.index == nil {
		return k.quota, k.quota
	}
	return k.index.bytes, k.quota
}
