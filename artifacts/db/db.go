package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db/failpoint"
)

// Limits of writes, in bytes. A value below the threshold stays in the LSM tree, where deletes give their space back. A
// transaction may take 15 % of a memtable.
const (
	MaxValue  = 192 << 10
	MaxWrite  = 2*MaxValue + 64<<10
	threshold = 256 << 10
	memTable  = 3 << 20
	baseTable = 2 << 20
	valueLog  = 1 << 20
)

// ErrNotFound says that a key is not there.
var ErrNotFound = errors.New("no such key")

// DB is one database.
type DB struct {
	b     *badger.DB
	path  string
	space *Space
	lost  int // tables that were damaged at the start, and are gone

	sync   syncer
	drop   sync.RWMutex                // held for writing by Drop, while Badger refuses writes
	failed atomic.Pointer[fault.Error] // why nothing is written any more
}

// Op is one change of a Write.
type Op struct {
	Key    []byte
	Value  []byte
	Delete bool
}

// openDB opens a database; of one that may lose something, damaged tables are dropped.
func openDB(path string, mayLose bool, space *Space, log zerolog.Logger) (d *DB, err error) {
	defer contain(&err, "open", path)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	lost, err := prepareFiles(path, mayLose)
	if err != nil {
		return nil, ioFault("verify", path, err)
	}
	o := badger.DefaultOptions(path).
		WithLogger(logger{log.With().Str("db", filepath.Base(path)).Logger()}).
		WithBypassLockGuard(true).                                                  // the data directory has a lock of its own
		WithMetricsEnabled(false).WithDetectConflicts(false).WithSyncWrites(false). // see syncer
		WithMemTableSize(memTable).WithNumMemtables(2).WithBaseTableSize(baseTable).WithBaseLevelSize(4 * memTable).
		WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(4).WithNumCompactors(2).
		WithValueLogFileSize(valueLog).WithValueThreshold(threshold).
		WithCompression(options.None).WithBlockCacheSize(0).WithIndexCacheSize(1 << 20).
		WithChecksumVerificationMode(options.OnBlockRead)
	// A table is built in memory from blocks, each of which is allocated anew at twice its size when it grows, and up to
	// eight of these buffers are kept. So a block takes a chunk as it is, and tables stay small on all levels.
	o.BlockSize, o.TableSizeMultiplier = MaxValue+8<<10, 1
	b, err := badger.Open(o)
	if err != nil {
		return nil, ioFault("open", path, err)
	}
	return &DB{b: b, path: path, space: space, lost: lost, sync: syncer{dir: path, file: space.fs.SyncFile, whole: map[uint64]bool{}}}, nil
}

// contain turns a panic of the library, and a fault on a mapped file, into an error.
func contain(err *error, op, subject string) {
	if r := recover(); r != nil {
		*err = fault.New(fault.HostDiskIO, op, filepath.Base(subject), fmt.Errorf("%v", r))
	}
}

// ioFault names an error of the disk.
func ioFault(op, subject string, err error) error {
	switch {
	case err == nil:
		return nil
	case means(err, syscall.ENOSPC, syscall.EDQUOT):
		return fault.New(fault.HostDiskFull, op, filepath.Base(subject), err)
	case means(err, syscall.EROFS, syscall.EACCES, syscall.EPERM):
		return fault.New(fault.HostDataDir, op, filepath.Base(subject), err)
	}
	return fault.New(fault.HostDiskIO, op, filepath.Base(subject), err)
}

// means looks for an error number. Badger wraps errors as text, so that the number is lost and its text is what is left.
func means(err error, numbers ...syscall.Errno) bool {
	return slices.ContainsFunc(numbers, func(n syscall.Errno) bool {
		return errors.Is(err, n) || strings.Contains(err.Error(), n.Error())
	})
}

// fail ends all writing: after damage, or a Drop that broke off, Badger's own goroutines could stop the process or never
// finish. What is there can still be read; the next start verifies and, if it is the cache, rebuilds.
func (d *DB) fail(op string, err error) error {
	f := fault.New(fault.HostDiskIO, op, filepath.Base(d.path), err).WithHint("nothing is written to this database any more; check the disk, then restart the host")
	d.failed.CompareAndSwap(nil, f)
	return f
}

// Failed returns why nothing is written to the database any more, nil if all is well.
func (d *DB) Failed() *fault.Error { return d.failed.Load() }

// Write makes all changes or none; they are on disk when it returns.
//
// # Errors
//
// busy.disk_space, host.disk_full, host.disk_io; bug.protocol for more than MaxValue or MaxWrite.
func (d *DB) Write(ctx context.Context, ops ...Op) error { return d.change(ctx, true, ops) }

// Note makes all changes or none. What it wrote survives the end of the process when it returns, and the end of the machine
// after the next Sync or Write. Changes are made in the order in which they return: after a crash of the machine, what a Write
// said is there, and of what was noted since then some may be.
//
// # Errors
//
// As Write.
func (d *DB) Note(ctx context.Context, ops ...Op) error { return d.change(ctx, false, ops) }

func (d *DB) change(ctx context.Context, durable bool, ops []Op) error {
	n := int64(0)
	for _, o := range ops {
		n += int64(len(o.Key) + len(o.Value))
		if len(o.Value) > MaxValue {
			n = MaxWrite + 1
		}
	}
	if n > MaxWrite {
		return fault.New(fault.BugProtocol, "write", filepath.Base(d.path), errors.New("more than a write may have"))
	}
	return d.write(ctx, durable, ops, func() error { return d.space.admit(n) })
}

// Sync returns when all that was written or noted before is on disk.
//
// # Errors
//
// host.disk_io, after which nothing is written any more: nobody knows then what the disk has.
func (d *DB) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.From(err)
	}
	return d.synced(d.sync.commits.Load())
}

func (d *DB) synced(commits uint64) error {
	if f := d.failed.Load(); f != nil {
		return f
	}
	failpoint.Hit("sync.before", filepath.Base(d.path))
	err, forEver := d.sync.wait(commits)
	if forEver {
		return d.fail("sync", err)
	}
	return ioFault("sync", d.path, err)
}

// Remove deletes keys. It is admitted while space is short, since it leads to space.
func (d *DB) Remove(ctx context.Context, keys ...[]byte) error {
	ops := make([]Op, len(keys))
	for i, k := range keys {
		ops[i] = Op{Key: k, Delete: true}
	}
	return d.write(ctx, true, ops, d.space.admitRemoval)
}

func (d *DB) write(ctx context.Context, durable bool, ops []Op, admit func() error) (err error) {
	if err := ctx.Err(); err != nil {
		return fault.From(err)
	}
	if f := d.failed.Load(); f != nil {
		return f
	}
	if err := admit(); err != nil {
		return err
	}
	d.drop.RLock()
	defer d.drop.RUnlock()
	what := "note"
	if durable {
		what = "commit"
	}
	failpoint.Hit(what+".before", filepath.Base(d.path))
	defer failpoint.Hit(what+".after", filepath.Base(d.path))
	return ioFault("write", d.path, d.space.fs.Commit(d.path, func() error {
		if err := d.b.Update(func(t *badger.Txn) error { return apply(t, ops) }); err != nil {
			return err
		}
		if n := d.sync.commits.Add(1); durable {
			return d.synced(n)
		}
		return nil
	}))
}

func apply(t *badger.Txn, ops []Op) error {
	for _, o := range ops {
		var err error
		if o.Delete {
			err = t.Delete(o.Key)
		} else {
			err = t.Set(o.Key, o.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Get calls use with the value of a key; the bytes are valid inside of the call only.
//
// # Errors
//
// ErrNotFound, host.disk_io, and what use returns.
func (d *DB) Get(key []byte, use func(value []byte) error) error {
	return d.view(func(t *badger.Txn) (error, error) {
		item, err := t.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return ErrNotFound, nil
		}
		if err != nil {
			return nil, err
		}
		return value(item, use)
	})
}

// Scan calls use with each key under a prefix, in order, and its value. The bytes are valid inside of the call only.
func (d *DB) Scan(prefix []byte, use func(key, value []byte) error) error {
	return d.ScanAfter(prefix, nil, use)
}

// ScanAfter is Scan for the keys that are greater than after; nil: all.
func (d *DB) ScanAfter(prefix, after []byte, use func(key, value []byte) error) error {
	return d.view(func(t *badger.Txn) (error, error) {
		it := iterator(t, prefix)
		defer it.Close()
		if it.Rewind(); bytes.Compare(after, prefix) >= 0 {
			it.Seek(append(bytes.Clone(after), 0)) // the least key behind it
		}
		for ; it.Valid(); it.Next() {
			inner, err := value(it.Item(), func(v []byte) error { return use(it.Item().Key(), v) })
			if inner != nil || err != nil {
				return inner, err
			}
		}
		return nil, nil
	})
}

// maxSteps is how many keys of a group are stepped over before the rest is jumped over: a jump reads a block anew.
const maxSteps = 8

// Groups calls use once for each distinct beginning of size bytes of the keys under a prefix, in order, without a look
// at more than a few keys between.
func (d *DB) Groups(prefix []byte, size int, use func(group []byte)) error {
	return d.view(func(t *badger.Txn) (error, error) {
		it := iterator(t, prefix)
		defer it.Close()
		for it.Rewind(); it.Valid(); {
			k := it.Item().Key()
			group := bytes.Clone(k[:min(size, len(k))])
			use(group)
			for n := 0; it.Valid() && bytes.HasPrefix(it.Item().Key(), group); n++ {
				if n == maxSteps {
					it.Seek(append(group, bytes.Repeat([]byte{0xff}, 16)...))
					break
				}
				it.Next()
			}
		}
		return nil, nil
	})
}

func iterator(t *badger.Txn, prefix []byte) *badger.Iterator {
	o := badger.DefaultIteratorOptions
	o.Prefix, o.PrefetchValues = prefix, false
	return t.NewIterator(o)
}

func value(item *badger.Item, use func([]byte) error) (inner, err error) {
	err = item.Value(func(v []byte) error {
		inner = use(v)
		return nil
	})
	return inner, err
}

// view reads. An error of Badger, which it has of damaged files only, ends all writing; one of the caller goes through.
func (d *DB) view(read func(t *badger.Txn) (inner, err error)) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = d.fail("read", fmt.Errorf("%v", r))
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var inner error
	if err := d.b.View(func(t *badger.Txn) (err error) {
		inner, err = read(t)
		return err
	}); err != nil {
		return d.fail("read", err)
	}
	return inner
}

// Drop removes all keys under the prefixes and gives their space back at once. It takes some tenths of a second, during
// which writes and most reads wait, so it is called for many bytes at a time. Unlike Remove it is not one transaction: a
// crash may leave a part.
//
// # Errors
//
// busy.disk_space while there is no room to rewrite the tables; host.disk_io, after which nothing is written any more.
func (d *DB) Drop(prefixes ...[]byte) (err error) {
	if f := d.failed.Load(); f != nil || len(prefixes) == 0 {
		if f == nil {
			return nil
		}
		return f
	}
	if err := d.space.admitRemoval(); err != nil {
		return err
	}
	d.drop.Lock()
	defer d.drop.Unlock()
	defer func() {
		if r := recover(); r != nil {
			err = d.fail("drop", fmt.Errorf("%v", r))
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	failpoint.Hit("drop.before", filepath.Base(d.path))
	if err := d.b.DropPrefix(prefixes...); err != nil {
		return d.fail("drop", err)
	}
	failpoint.Hit("drop.after", filepath.Base(d.path))
	return nil
}

// DiskBytes returns what the files of the database really take: allocated blocks, not lengths.
func (d *DB) DiskBytes() int64 { return blocks(d.path) }

func (d *DB) close() (err error) {
	defer contain(&err, "close", d.path)
	failpoint.Hit("close.before", filepath.Base(d.path))
	if err := d.b.Close(); err != nil {
		return ioFault("close", d.path, err)
	}
	failpoint.Hit("close.after", filepath.Base(d.path))
	if sum, err := manifestDigest(d.path); err == nil { // without the mark the next start is as after a crash
		_ = d.space.fs.WriteFile(filepath.Join(d.path, markFile), []byte(sum))
	}
	return nil
}

// logger passes Badger's words on. They bear keys and file names, never values.
type logger struct{ log zerolog.Logger }

func (l logger) Errorf(f string, a ...any)   { l.log.Error().Msg(text(f, a)) }
func (l logger) Warningf(f string, a ...any) { l.log.Warn().Msg(text(f, a)) }
func (l logger) Infof(f string, a ...any)    { l.log.Debug().Msg(text(f, a)) }
func (l logger) Debugf(string, ...any)       {}

func text(f string, a []any) string { return fault.Quote(strings.TrimSpace(fmt.Sprintf(f, a...))) }
