package devchain

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/db/failpoint"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// Keys of the database. What only grows comes first: a table of new blocks then overlaps no table of old ones.
const (
	blockPrefix   = "b" // height, number of the piece: the record of a block
	genesisKey    = "g" // the genesis
	headKey       = "h" // the head: what it names is committed
	txPrefix      = "i" // hash of a transaction: height, place
	hashPrefix    = "k" // hash of a block: height
	appliedPrefix = "m" // height, number of the part: a part of a large block has been applied
	statePrefix   = "s" // the state
	writesPrefix  = "w" // height, number of the piece: what a large block writes
)

// Sizes. What is counted for a change, beside its bytes, is what Badger counts.
const (
	pieceBytes = db.MaxValue
	batchBytes = db.MaxWrite
	batchOps   = 4000
	opBytes    = 24
)

func stateKey(key []byte) []byte { return append([]byte(statePrefix), key...) }

func stateAfter(after []byte) []byte {
	if after == nil {
		return nil
	}
	return stateKey(after)
}

func numbered(prefix string, height uint64, n int) []byte {
	k := binary.BigEndian.AppendUint64([]byte(prefix), height)
	return binary.BigEndian.AppendUint32(k, uint32(n))
}

func underHeight(prefix string, height uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(prefix), height)
}

// head is the record under headKey.
type head struct {
	Height uint64
	Hash   pallet.Hash
	Pieces uint32 // of what the block writes beside, and what may not have been applied; 0: nothing
}

// allParts is the number under which appliedPrefix says how many parts a block has.
const allParts = 1<<32 - 1

// store keeps the blocks.
//
// A small block is one transaction: record, changes and head. Of a large one the record and what it writes are noted first; one write
// of the head then commits it and has all that was noted on disk. After that the changes are applied, part by part; a start applies
// again what may not have been. Applying twice is applying once.
type store struct {
	db   *db.DB
	mark *os.File // the height that was acknowledged last: what the database has lost is known by it

	planned bool // there may be a plan of a block that was not committed
}

const markName = "HEAD"

// commit makes a block durable: it is committed once it returns without an error, and maybe if it fails.
func (s *store) commit(ctx context.Context, r *record, changes []state.Change, extra ...db.Op) error {
	writes := make([]db.Op, 0, len(changes)+len(r.txs)+1)
	for n := range r.txs {
		where := binary.LittleEndian.AppendUint64(nil, r.Height)
		writes = append(writes, db.Op{Key: append([]byte(txPrefix), r.block.Txs[n].Hash[:]...), Value: binary.LittleEndian.AppendUint32(where, uint32(n))})
	}
	writes = append(writes, db.Op{Key: append([]byte(hashPrefix), r.hash[:]...), Value: binary.LittleEndian.AppendUint64(nil, r.Height)})
	for _, c := range changes {
		writes = append(writes, db.Op{Key: stateKey(c.Key), Value: c.New, Delete: c.New == nil})
	}
	notes := append(pieces(blockPrefix, r.Height, r.stored), extra...)
	planKey := numbered(appliedPrefix, r.Height, allParts)
	if s.planned {
		notes = append(notes, db.Op{Key: planKey, Delete: true})
	}
	h := head{Height: r.Height, Hash: r.hash}
	if len(batches(append(append([]db.Op{h.op()}, notes...), writes...))) == 1 {
		failpoint.Hit("block.before", "chain")
		if err := s.db.Write(ctx, append(append(notes, writes...), h.op())...); err != nil {
			return err
		}
		failpoint.Hit("block.after", "chain")
		s.planned = false
		s.acknowledge(h)
		return nil
	}
	written := pieces(writesPrefix, r.Height, encodeOps(writes))
	parts := batches(writes)
	h.Pieces = uint32(len(written))
	plan := db.Op{Key: planKey, Value: binary.LittleEndian.AppendUint32(nil, uint32(len(parts)))}
	s.planned = true
	for _, b := range batches(append(append(notes, plan), written...)) {
		if err := s.db.Note(ctx, b...); err != nil {
			return err
		}
		failpoint.Hit("block.noted", "chain")
	}
	if err := s.db.Write(ctx, h.op()); err != nil {
		return err
	}
	failpoint.Hit("block.committed", "chain")
	s.planned = false
	s.acknowledge(h)
	return s.apply(context.WithoutCancel(ctx), h, parts)
}

// apply makes the changes of a block that is committed, and forgets what it wrote beside.
func (s *store) apply(ctx context.Context, h head, parts [][]db.Op) error {
	for n, b := range parts {
		marker := db.Op{Key: numbered(appliedPrefix, h.Height, n), Value: []byte{1}}
		if err := s.db.Note(ctx, append(b[:len(b):len(b)], marker)...); err != nil {
			return err
		}
		failpoint.Hit("block.applied", "chain")
	}
	h.Pieces = 0
	if err := s.db.Note(ctx, h.op()); err != nil {
		return err
	}
	failpoint.Hit("block.settled", "chain")
	return s.removeUnder(ctx, []byte(writesPrefix), nil)
}

func (h head) op() db.Op { return db.Op{Key: []byte(headKey), Value: scale.Marshal(h)} }

// acknowledge notes what was committed, in a file that no database can lose. It is a help only, so it may fail.
func (s *store) acknowledge(h head) {
	b := scale.Marshal(h)
	sum := hashOf(markName, b)
	_, _ = s.mark.WriteAt(append(b, sum[:]...), 0)
}

// acknowledged returns what was acknowledged last, if that is known.
func (s *store) acknowledged() (h head, ok bool) {
	b := make([]byte, len(scale.Marshal(h))+32)
	if _, err := s.mark.ReadAt(b, 0); err != nil {
		return h, false
	}
	cut := len(b) - 32
	if sum := hashOf(markName, b[:cut]); string(sum[:]) != string(b[cut:]) {
		return h, false
	}
	return h, scale.Unmarshal(b[:cut], &h) == nil
}

// openStore reads the head, and brings to its end what a crash broke off. There is no head on a new chain.
func openStore(ctx context.Context, d *db.DB, dir string) (s *store, h *head, err error) {
	mark, err := os.OpenFile(filepath.Join(dir, markName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fault.New(fault.HostDataDir, "open", dir, err)
	}
	s = &store{db: d, mark: mark}
	defer func() {
		if err != nil {
			_ = mark.Close()
		}
	}()
	last, known := s.acknowledged()
	if h, err = s.head(); err != nil {
		return nil, nil, err
	}
	switch {
	case known && h == nil:
		return nil, nil, corrupt("head", fmt.Errorf("block %d was there, and nothing is left", last.Height))
	case known && last.Height > h.Height:
		return nil, nil, corrupt(block(h.Height), fmt.Errorf("block %d was there, and is lost", last.Height))
	case known && last.Height == h.Height && last.Hash != h.Hash:
		return nil, nil, corrupt(block(h.Height), errors.New("it is not the block that was there"))
	}
	return s, h, s.recover(ctx, h)
}

func (s *store) recover(ctx context.Context, h *head) error {
	var blocks, plans []byte // behind which nothing is committed
	if h != nil {
		blocks, plans = underHeight(blockPrefix, h.Height+1), underHeight(appliedPrefix, h.Height+1)
		if h.Pieces > 0 {
			b, err := s.join(writesPrefix, h.Height, int(h.Pieces))
			if err != nil {
				return err
			}
			writes, err := decodeOps(b)
			if err != nil {
				return corrupt(block(h.Height), err)
			}
			if err := s.apply(ctx, *h, batches(writes)); err != nil {
				return err
			}
			h.Pieces = 0
		}
	}
	// What was noted for a block that was not committed.
	for prefix, from := range map[string][]byte{writesPrefix: nil, appliedPrefix: plans, blockPrefix: blocks} {
		if err := s.removeUnder(ctx, []byte(prefix), from); err != nil {
			return err
		}
	}
	return nil
}

// removeUnder removes all keys under a prefix that are behind from, which is no key itself; nil: all.
func (s *store) removeUnder(ctx context.Context, prefix, from []byte) error {
	var ops []db.Op
	err := s.db.ScanAfter(prefix, from, func(k, _ []byte) error {
		ops = append(ops, db.Op{Key: append([]byte(nil), k...), Delete: true})
		return nil
	})
	for _, b := range batches(ops) {
		if err == nil {
			err = s.db.Note(ctx, b...)
		}
	}
	return err
}

// head reads what is committed, nil if there is nothing.
func (s *store) head() (*head, error) {
	b, err := s.get([]byte(headKey))
	if err != nil || b == nil {
		return nil, err
	}
	h := &head{}
	if err := scale.Unmarshal(b, h); err != nil {
		return nil, corrupt("head", err)
	}
	return h, nil
}

// get returns a copy of a value, nil if there is none.
func (s *store) get(key []byte) (v []byte, err error) {
	err = s.db.Get(key, func(b []byte) error {
		v = append(make([]byte, 0, len(b)), b...)
		return nil
	})
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

// block reads a block that is committed.
func (s *store) block(height uint64) (*record, error) {
	first, err := s.get(numbered(blockPrefix, height, 0))
	if err != nil {
		return nil, err
	}
	if len(first) < 4 {
		return nil, corrupt(block(height), errors.New("there is no record"))
	}
	b, size := first, 4+int64(binary.LittleEndian.Uint32(first))
	for n := 1; int64(len(b)) < size; n++ {
		piece, err := s.get(numbered(blockPrefix, height, n))
		if err != nil {
			return nil, err
		}
		if len(piece) == 0 {
			return nil, corrupt(block(height), errRecord)
		}
		b = append(b, piece...)
	}
	r, err := openRecord(b)
	if err != nil {
		return nil, corrupt(block(height), err)
	}
	if r.Height != height {
		return nil, corrupt(block(height), errors.New("it is another block"))
	}
	return r, nil
}

func (s *store) join(prefix string, height uint64, n int) (b []byte, err error) {
	for i := range n {
		piece, err := s.get(numbered(prefix, height, i))
		if err != nil {
			return nil, err
		}
		if piece == nil {
			return nil, corrupt(block(height), errors.New("what it wrote is not whole"))
		}
		b = append(b, piece...)
	}
	return b, nil
}

// txAt returns where a transaction is.
func (s *store) txAt(hash pallet.Hash) (height uint64, place int, ok bool, err error) {
	b, err := s.get(append([]byte(txPrefix), hash[:]...))
	if err != nil || len(b) != 12 {
		return 0, 0, false, err
	}
	return binary.LittleEndian.Uint64(b), int(binary.LittleEndian.Uint32(b[8:])), true, nil
}

// heightOf returns the height of the block with a hash.
func (s *store) heightOf(hash pallet.Hash) (height uint64, ok bool, err error) {
	b, err := s.get(append([]byte(hashPrefix), hash[:]...))
	if err != nil || len(b) != 8 {
		return 0, false, err
	}
	return binary.LittleEndian.Uint64(b), true, nil
}

// whole says whether all parts of a block have been applied.
func (s *store) whole(height uint64) error {
	plan, err := s.get(numbered(appliedPrefix, height, allParts))
	if err != nil || len(plan) != 4 {
		return err
	}
	for n := range int(binary.LittleEndian.Uint32(plan)) {
		if b, err := s.get(numbered(appliedPrefix, height, n)); err != nil {
			return err
		} else if b == nil {
			return corrupt(block(height), errors.New("its changes are not whole"))
		}
	}
	return nil
}

// pieces cuts a long value.
func pieces(prefix string, height uint64, b []byte) (ops []db.Op) {
	for n := 0; len(b) > 0; n++ {
		cut := min(len(b), pieceBytes)
		ops = append(ops, db.Op{Key: numbered(prefix, height, n), Value: b[:cut:cut]})
		b = b[cut:]
	}
	return ops
}

// batches cuts changes into transactions. One change more fits into each.
func batches(ops []db.Op) (all [][]db.Op) {
	size := 0
	for n, from := 0, 0; n <= len(ops); n++ {
		more := 0
		if n < len(ops) {
			more = len(ops[n].Key) + len(ops[n].Value) + opBytes
		}
		if n > from && (n == len(ops) || size+more > batchBytes-64 || n-from == batchOps) {
			all, from, size = append(all, ops[from:n:n]), n, 0
		}
		size += more
	}
	return all
}

// encodeOps writes changes down.
func encodeOps(ops []db.Op) []byte {
	var e scale.Encoder
	e.Len(len(ops))
	for _, o := range ops {
		e.Bytes(o.Key)
		e.Option(!o.Delete)
		if !o.Delete {
			e.Bytes(o.Value)
		}
	}
	return e.Encoded()
}

// decodeOps reads what encodeOps wrote.
func decodeOps(b []byte) ([]db.Op, error) {
	d := scale.NewDecoder(b)
	ops := make([]db.Op, d.Len(maxRecordEvents, 2))
	for n := range ops {
		ops[n].Key = d.Bytes(maxRecordText)
		if ops[n].Delete = !d.Option(); !ops[n].Delete {
			ops[n].Value = d.Bytes(maxRecordText)
		}
	}
	return ops, d.End()
}

func block(height uint64) string { return fmt.Sprintf("block %d", height) }

func corrupt(what string, err error) error {
	return fault.New(fault.HostChainCorrupt, "chain", what, err)
}
