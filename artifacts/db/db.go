package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

// Limits of writes, in bytes. A value below the threshold stays in the LSM tree, where deletes give their space back.
const (
	MaxValue   = 256 << 10
	MaxWrite   = 1 << 20
	threshold  = 512 << 10
	memTable   = 8 << 20 // of the cache
	stateTable = 4 << 20 // of the state; the threshold may be 15 % of it
	baseTable  = 4 << 20
	valueLog   = 16 << 20
)

// ErrNotFound says that a key is not there.
var ErrNotFound = errors.New("no such key")

// DB is one database.
type DB struct {
	b     *badger.DB
	path  string
	space *Space
}

// Op is one change of a Write.
type Op struct {
	Key    []byte
	Value  []byte
	Delete bool
}

// openDB opens a database; careful has every block of it checked first.
func openDB(path string, careful bool, table int64, space *Space, log zerolog.Logger) (d *DB, err error) {
	defer contain(&err, "open", path)
	if err := verifyTables(path, careful); err != nil {
		return nil, err
	}
	o := badger.DefaultOptions(path).
		WithLogger(logger{log.With().Str("db", filepath.Base(path)).Logger()}).
		WithMetricsEnabled(false).WithDetectConflicts(false).WithSyncWrites(true).
		WithMemTableSize(table).WithNumMemtables(1).WithBaseTableSize(baseTable).WithBaseLevelSize(2 * baseTable).
		WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(4).WithNumCompactors(2).WithCompactL0OnClose(true).
		WithValueLogFileSize(valueLog).WithValueThreshold(threshold).
		WithCompression(options.None).WithBlockCacheSize(0).WithIndexCacheSize(4 << 20).
		WithChecksumVerificationMode(options.OnBlockRead)
	b, err := badger.Open(o)
	if err != nil {
		return nil, ioFault("open", path, err)
	}
	return &DB{b: b, path: path, space: space}, nil
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
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.New(fault.HostDiskFull, op, filepath.Base(subject), err)
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.New(fault.HostDataDir, op, filepath.Base(subject), err)
	}
	return fault.New(fault.HostDiskIO, op, filepath.Base(subject), err)
}

// Write makes all changes or none; they are on disk when it returns.
//
// # Errors
//
// busy.disk_space, host.disk_full, host.disk_io.
func (d *DB) Write(ctx context.Context, ops ...Op) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := int64(0)
	for _, o := range ops {
		n += int64(len(o.Key) + len(o.Value))
	}
	if err := d.space.admit(n); err != nil {
		return err
	}
	return d.write(ops)
}

// Remove deletes keys. It is admitted while space is short, since it is what gives space back.
func (d *DB) Remove(ctx context.Context, keys ...[]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.space.admitRemoval(); err != nil {
		return err
	}
	ops := make([]Op, len(keys))
	for i, k := range keys {
		ops[i] = Op{Key: k, Delete: true}
	}
	return d.write(ops)
}

func (d *DB) write(ops []Op) (err error) {
	defer contain(&err, "write", d.path)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	err = d.b.Update(func(t *badger.Txn) error {
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
	})
	return ioFault("write", d.path, err)
}

// Get calls use with the value of a key; the bytes are valid inside of the call only.
//
// # Errors
//
// ErrNotFound, host.disk_io, and what use returns.
func (d *DB) Get(key []byte, use func(value []byte) error) (err error) {
	defer contain(&err, "read", d.path)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var inner error
	err = d.b.View(func(t *badger.Txn) error {
		item, err := t.Get(key)
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error {
			inner = use(v)
			return nil
		})
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return ErrNotFound
	}
	if err != nil {
		return ioFault("read", d.path, err)
	}
	return inner
}

// Scan calls use with each key under a prefix, in order, and with its value if values is set. The bytes are valid inside
// of the call only.
func (d *DB) Scan(prefix []byte, values bool, use func(key, value []byte) error) (err error) {
	defer contain(&err, "scan", d.path)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var inner error
	err = d.b.View(func(t *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Prefix, o.PrefetchValues = prefix, false
		it := t.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			if !values {
				if inner = use(item.Key(), nil); inner != nil {
					return nil
				}
				continue
			}
			if err := item.Value(func(v []byte) error {
				inner = use(item.Key(), v)
				return nil
			}); err != nil {
				return err
			}
			if inner != nil {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return ioFault("scan", d.path, err)
	}
	return inner
}

// Compact gives the space of deleted values back. It takes some tenths of a second.
func (d *DB) Compact() (err error) {
	defer contain(&err, "compact", d.path)
	if err := d.space.admitRemoval(); err != nil {
		return err
	}
	return ioFault("compact", d.path, d.b.Flatten(1))
}

// DiskBytes returns what the files of the database really take: allocated blocks, not lengths.
func (d *DB) DiskBytes() int64 { return blocks(d.path) }

func (d *DB) close() (err error) {
	defer contain(&err, "close", d.path)
	return ioFault("close", d.path, d.b.Close())
}

// logger passes Badger's words on. They bear keys and file names, never values.
type logger struct{ log zerolog.Logger }

func (l logger) Errorf(f string, a ...any)   { l.log.Error().Msg(text(f, a)) }
func (l logger) Warningf(f string, a ...any) { l.log.Warn().Msg(text(f, a)) }
func (l logger) Infof(f string, a ...any)    { l.log.Debug().Msg(text(f, a)) }
func (l logger) Debugf(string, ...any)       {}

func text(f string, a []any) string { return fault.Quote(strings.TrimSpace(fmt.Sprintf(f, a...))) }
