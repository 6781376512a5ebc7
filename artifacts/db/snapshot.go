package db

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/troupehost/troupe/actors/fault"
)

// The form of a snapshot: the magic, then for each key in order u32 length, u32 length of the value, both little-endian, key and value;
// a length of 0 ends it. The same keys and values give the same bytes, whatever happened to the database before.
const (
	snapshotMagic  = "troupe-db/1\n"
	maxSnapshotKey = 64 << 10
	loadBytes      = MaxWrite / 2
	loadOps        = 1000
)

// Snapshot is a database as it was at one moment. Others write meanwhile.
type Snapshot struct {
	d     *DB
	t     *badger.Txn
	it    *badger.Iterator
	close sync.Once
}

// Snapshot returns the database as it is now: all that was written or noted before is in it. It holds files of the database until it
// is closed, which must be before the database is.
//
// # Errors
//
// host.disk_io.
func (d *DB) Snapshot() (s *Snapshot, err error) {
	defer contain(&err, "snapshot", d.path)
	if f := d.failed.Load(); f != nil {
		return nil, f // half of what was acknowledged may be there
	}
	d.drop.RLock() // not between the parts of a Drop
	defer d.drop.RUnlock()
	s = &Snapshot{d: d, t: d.b.NewTransaction(false)}
	s.it = iterator(s.t, nil) // has the files from now on
	return s, nil
}

// Close gives the snapshot up. It may be called more than once.
func (s *Snapshot) Close() {
	s.close.Do(func() {
		var err error
		defer contain(&err, "close snapshot", s.d.path)
		s.it.Close()
		s.t.Discard()
	})
}

// Write writes all keys and values, and returns how many keys there are. It may be called again.
//
// # Errors
//
// host.disk_io, canceled.*, and those of w.
func (s *Snapshot) Write(ctx context.Context, w io.Writer) (keys int64, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = s.d.fail("read", fmt.Errorf("%v", r))
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	out := bufio.NewWriterSize(w, 256<<10)
	if _, err := out.WriteString(snapshotMagic); err != nil {
		return 0, err
	}
	var head [8]byte
	for s.it.Rewind(); s.it.Valid(); s.it.Next() {
		if err := ctx.Err(); err != nil {
			return keys, fault.From(err)
		}
		item := s.it.Item()
		key := item.Key()
		inner, err := value(item, func(v []byte) error {
			binary.LittleEndian.PutUint32(head[:4], uint32(len(key)))
			binary.LittleEndian.PutUint32(head[4:], uint32(len(v)))
			_, err := out.Write(head[:])
			_, err2 := out.Write(key)
			_, err3 := out.Write(v)
			return errors.Join(err, err2, err3)
		})
		if err != nil {
			return keys, s.d.fail("read", err)
		}
		if inner != nil {
			return keys, inner
		}
		keys++
	}
	if _, err := out.Write(make([]byte, 4)); err != nil {
		return keys, err
	}
	return keys, out.Flush()
}

// Loader fills a database with what Snapshot.Write wrote.
type Loader struct {
	d     *DB
	ctx   context.Context
	buf   []byte
	begun bool
	ended bool
	keys  int64
	ops   []Op
	bytes int
	last  []byte
}

// NewLoader returns a loader into an empty database.
func NewLoader(ctx context.Context, d *DB) *Loader { return &Loader{d: d, ctx: ctx} }

var errSnapshot = errors.New("this is no snapshot of a database, or a damaged one")

// Write implements io.Writer. It holds at most one key and its value beside p.
//
// # Errors
//
// As DB.Note; bytes that are no snapshot.
func (l *Loader) Write(p []byte) (int, error) {
	l.buf = append(l.buf, p...)
	rest := l.buf
	if !l.begun {
		if len(rest) < len(snapshotMagic) {
			return len(p), nil
		}
		if string(rest[:len(snapshotMagic)]) != snapshotMagic {
			return 0, errSnapshot
		}
		l.begun, rest = true, rest[len(snapshotMagic):]
	}
	for len(rest) >= 4 {
		key := int(binary.LittleEndian.Uint32(rest))
		switch {
		case l.ended || key > maxSnapshotKey:
			return 0, errSnapshot
		case key == 0:
			l.ended, rest = true, rest[4:]
			continue
		}
		if len(rest) < 8 {
			break
		}
		size := int(binary.LittleEndian.Uint32(rest[4:]))
		if size > MaxValue {
			return 0, errSnapshot
		}
		if len(rest) < 8+key+size {
			break
		}
		if err := l.add(rest[8:8+key], rest[8+key:8+key+size]); err != nil {
			return 0, err
		}
		rest = rest[8+key+size:]
	}
	if l.ended && len(rest) > 0 {
		return 0, errSnapshot
	}
	l.buf = append(l.buf[:0], rest...)
	return len(p), nil
}

func (l *Loader) add(key, value []byte) error {
	if l.last != nil && string(key) <= string(l.last) {
		return errSnapshot
	}
	n := len(key) + len(value)
	if len(l.ops) >= loadOps || l.bytes+n > loadBytes {
		if err := l.flush(); err != nil {
			return err
		}
	}
	kept := append(append(make([]byte, 0, n), key...), value...)
	l.last = kept[:len(key):len(key)]
	l.ops, l.bytes, l.keys = append(l.ops, Op{Key: l.last, Value: kept[len(key):]}), l.bytes+n, l.keys+1
	return nil
}

func (l *Loader) flush() error {
	if len(l.ops) == 0 {
		return nil
	}
	if err := l.d.Note(l.ctx, l.ops...); err != nil {
		return err
	}
	clear(l.ops)
	l.ops, l.bytes = l.ops[:0], 0
	return nil
}

// Close has all of it on disk, and returns how many keys there are. What was cut is an error.
func (l *Loader) Close() (keys int64, err error) {
	if !l.ended {
		return l.keys, errSnapshot
	}
	if err := l.flush(); err != nil {
		return l.keys, err
	}
	return l.keys, l.d.Sync(l.ctx)
}

// Claim locks a directory that is no data directory yet, until release is called or the process ends.
//
// # Errors
//
// host.data_dir_locked, host.data_dir_unwritable, host.unsupported.
func Claim(dir string) (release func() error, err error) {
	f, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	return func() error { return unlockDir(f) }, nil
}
