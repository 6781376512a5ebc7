package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
)

// Keys in the database "state".
const (
	prefixRecord  = "xr" // number -> an entry that is on its way
	prefixHistory = "xh" // number -> one that has ended
	prefixCall    = "xc" // number -> the call of one that is on its way
	prefixTx      = "xt" // number -> its transaction
	prefixKey     = "xk" // key of an entry -> its number
	keyMark       = "xm"
)

const (
	version   = 1
	bucket    = 256 // numbers that are read at a time
	maxRemove = 256 // entries
)

// Store keeps entries.
type Store struct {
	db     *db.DB
	commit *db.Committer

	mu    sync.Mutex
	first uint64 // no entry of the history has a lower number
	last  uint64 // none at all has a higher one
}

var _ chain.Store = (*Store)(nil)

// New returns a store in a database.
//
// # Errors
//
// host.disk_io.
func New(d *db.DB) (*Store, error) {
	s := &Store{db: d, commit: db.NewCommitter(d)}
	var err error
	if s.first, err = s.edge(prefixHistory, false); err != nil {
		return nil, err
	}
	for _, prefix := range []string{prefixRecord, prefixHistory} {
		n, err := s.edge(prefix, true)
		if err != nil {
			return nil, err
		}
		s.last = max(s.last, n)
	}
	return s, nil
}

// edge finds the first or the last number under a prefix, digit by digit; zero: there is none.
func (s *Store) edge(prefix string, last bool) (uint64, error) {
	at := []byte(prefix)
	for range 8 {
		var found []byte
		err := s.db.Groups(at, len(at)+1, func(g []byte) {
			if found == nil || last {
				found = bytes.Clone(g)
			}
		})
		if err != nil || found == nil {
			return 0, err
		}
		at = found
	}
	if len(at) != len(prefix)+8 {
		return 0, nil
	}
	return binary.BigEndian.Uint64(at[len(prefix):]), nil
}

func numbered(prefix string, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(prefix), n)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal frames a value: a version, the value, a checksum.
func seal(value []byte) []byte {
	out := make([]byte, 0, len(value)+5)
	out = append(append(out, version), value...)
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

var errRecord = errors.New("the record does not verify")

func open(b []byte) ([]byte, error) {
	n := len(b) - 4
	if n < 1 || b[0] != version || crc32.Checksum(b[:n], castagnoli) != binary.BigEndian.Uint32(b[n:]) {
		return nil, errRecord
	}
	return b[1:n], nil
}

func sealJSON(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fault.New(fault.CallerInvalid, "write outbox", "", err)
	}
	return seal(raw), nil
}

func openJSON(b []byte, v any) error {
	raw, err := open(b)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// sealCall keeps a call as it is, and not as another way to write the same JSON.
func sealCall(c chain.Call) []byte {
	var raw []byte
	for _, text := range []string{c.Pallet, c.Name} {
		raw = append(binary.BigEndian.AppendUint16(raw, uint16(len(text))), text...)
	}
	return seal(append(raw, c.Args...))
}

func openCall(b []byte) (c chain.Call, err error) {
	raw, err := open(b)
	if err != nil {
		return c, err
	}
	for _, text := range []*string{&c.Pallet, &c.Name} {
		if len(raw) < 2 || len(raw)-2 < int(binary.BigEndian.Uint16(raw)) {
			return chain.Call{}, errRecord
		}
		n := int(binary.BigEndian.Uint16(raw))
		*text, raw = string(raw[2:2+n]), raw[2+n:]
	}
	c.Args = slices.Clone(raw)
	return c, nil
}

func corrupt(what string, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.HostDataDirCorrupt, "read outbox", what, err)
}

// Load implements chain.Store.
func (s *Store) Load(ctx context.Context) (chain.Saved, error) {
	var out chain.Saved
	err := s.db.Get([]byte(keyMark), func(v []byte) error { return corrupt("mark", openJSON(v, &out.Mark)) })
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return chain.Saved{}, err
	}
	err = s.db.Scan([]byte(prefixRecord), func(k, v []byte) error {
		r, err := openRecord(prefixRecord, k, v)
		out.Records = append(out.Records, r)
		return errors.Join(ctx.Err(), err)
	})
	if err != nil {
		return chain.Saved{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Next = s.last + 1
	return out, nil
}

func openRecord(prefix string, k, v []byte) (r chain.Record, err error) {
	if err = openJSON(v, &r); err == nil && !bytes.Equal(k, numbered(prefix, r.Number)) {
		err = errRecord
	}
	return r, corrupt(fmt.Sprintf("entry %x", k[len(prefix):]), err)
}

// Add implements chain.Store.
func (s *Store) Add(ctx context.Context, r chain.Record, call chain.Call) (*chain.Record, error) {
	if old, err := s.Find(ctx, r.Key); old != nil || err != nil {
		return old, err
	}
	value, err := sealJSON(r)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.last = max(s.last, r.Number)
	s.mu.Unlock()
	return nil, s.commit.Write(ctx,
		db.Op{Key: numbered(prefixRecord, r.Number), Value: value},
		db.Op{Key: numbered(prefixCall, r.Number), Value: sealCall(call)},
		db.Op{Key: []byte(prefixKey + r.Key), Value: numbered("", r.Number)})
}

// Save implements chain.Store.
func (s *Store) Save(ctx context.Context, r chain.Record, tx []byte) error {
	value, err := sealJSON(r)
	if err != nil {
		return err
	}
	body := db.Op{Key: numbered(prefixTx, r.Number), Delete: tx == nil}
	if tx != nil {
		body.Value = seal(tx)
	}
	return s.commit.Write(ctx, db.Op{Key: numbered(prefixRecord, r.Number), Value: value}, body)
}

// Finish implements chain.Store.
func (s *Store) Finish(ctx context.Context, r chain.Record) error {
	value, err := sealJSON(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.first == 0 || r.Number < s.first {
		s.first = r.Number
	}
	s.mu.Unlock()
	return s.commit.Write(ctx,
		db.Op{Key: numbered(prefixHistory, r.Number), Value: value},
		db.Op{Key: numbered(prefixRecord, r.Number), Delete: true},
		db.Op{Key: numbered(prefixCall, r.Number), Delete: true},
		db.Op{Key: numbered(prefixTx, r.Number), Delete: true})
}

// SaveMark implements chain.Store.
func (s *Store) SaveMark(ctx context.Context, m chain.Mark) error {
	value, err := sealJSON(m)
	if err != nil {
		return err
	}
	return s.commit.Write(ctx, db.Op{Key: []byte(keyMark), Value: value})
}

// Call implements chain.Store.
func (s *Store) Call(_ context.Context, number uint64) (c chain.Call, err error) {
	err = s.get(prefixCall, number, func(v []byte) error {
		var err error
		c, err = openCall(v)
		return corrupt("call", err)
	})
	return c, err
}

// Tx implements chain.Store.
func (s *Store) Tx(_ context.Context, number uint64) (tx []byte, err error) {
	err = s.get(prefixTx, number, func(v []byte) error {
		raw, err := open(v)
		tx = slices.Clone(raw)
		return corrupt("transaction", err)
	})
	return tx, err
}

func (s *Store) get(prefix string, number uint64, use func([]byte) error) error {
	err := s.db.Get(numbered(prefix, number), use)
	if errors.Is(err, db.ErrNotFound) {
		return fault.New(fault.CallerNotFound, "read outbox", fmt.Sprint(number), nil)
	}
	return err
}

// Find implements chain.Store.
func (s *Store) Find(_ context.Context, key string) (*chain.Record, error) {
	var number uint64
	err := s.db.Get([]byte(prefixKey+key), func(v []byte) error {
		if len(v) != 8 {
			return corrupt("key", errRecord)
		}
		number = binary.BigEndian.Uint64(v)
		return nil
	})
	for range 2 { // it may move while one looks
		for _, prefix := range []string{prefixRecord, prefixHistory} {
			if err != nil {
				break
			}
			var r chain.Record
			err = s.db.Get(numbered(prefix, number), func(v []byte) error {
				var err error
				r, err = openRecord(prefix, numbered(prefix, number), v)
				return err
			})
			if err == nil && r.Key == key {
				return &r, nil
			}
			if err == nil || errors.Is(err, db.ErrNotFound) {
				err = nil
			}
		}
	}
	if errors.Is(err, db.ErrNotFound) {
		err = nil
	}
	return nil, err
}

// History implements chain.Store.
func (s *Store) History(ctx context.Context, after uint64, newest bool, limit int) (page []chain.Record, next uint64, err error) {
	s.mu.Lock()
	first, last := s.first, s.last
	s.mu.Unlock()
	if newest && after > 0 {
		last = min(last, after-1)
	} else if !newest {
		first = max(first, after+1)
	}
	err = s.walk(ctx, first, last, newest, func(r chain.Record) bool {
		if len(page) == limit {
			next = page[limit-1].Number
			return false
		}
		page = append(page, r)
		return true
	})
	return page, next, err
}

// walk calls use with what the history has from first to last, or backwards, a bucket at a time, as long as use wants.
func (s *Store) walk(ctx context.Context, first, last uint64, backwards bool, use func(chain.Record) bool) error {
	if first == 0 || first > last {
		return ctx.Err()
	}
	for from, n := first/bucket, last/bucket; from <= n; {
		at := from
		if backwards {
			at = n
		}
		records, err := s.bucket(at)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if backwards {
			slices.Reverse(records)
		}
		for _, r := range records {
			if r.Number >= first && r.Number <= last && !use(r) {
				return nil
			}
		}
		if !backwards {
			from++
		} else if n--; n+1 == 0 {
			return nil
		}
	}
	return nil
}

// bucket reads the entries whose numbers differ in the last byte only.
func (s *Store) bucket(n uint64) (records []chain.Record, err error) {
	prefix := numbered(prefixHistory, n*bucket)
	err = s.db.Scan(prefix[:len(prefix)-1], func(k, v []byte) error {
		r, err := openRecord(prefixHistory, k, v)
		records = append(records, r)
		return err
	})
	return records, err
}

// Trim implements chain.Store.
func (s *Store) Trim(ctx context.Context, keep int) error {
	s.mu.Lock()
	first, last := s.first, s.last
	s.mu.Unlock()
	if last <= uint64(keep) || first == 0 || first > last-uint64(keep) {
		return nil
	}
	end := last - uint64(keep)
	var keys [][]byte
	flush := func() error {
		err := s.db.Remove(ctx, keys...)
		keys = keys[:0]
		return err
	}
	var failed error
	err := s.walk(ctx, first, end, false, func(r chain.Record) bool {
		keys = append(keys, numbered(prefixHistory, r.Number), []byte(prefixKey+r.Key))
		if len(keys) >= 2*maxRemove {
			failed = flush()
		}
		return failed == nil
	})
	if err = errors.Join(err, failed); err == nil && len(keys) > 0 {
		err = flush()
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == first { // else something older has ended meanwhile
		s.first = end + 1
	}
	return nil
}
