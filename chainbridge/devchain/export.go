package devchain

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// An export is lines of JSON: an exportHead, an exportPair for each key of the state in the order of the keys, and an exportEnd, which
// has the hash of all lines before it. The same state gives the same bytes.
type (
	exportHead struct {
		Format   string       `json:"format"`
		Genesis  pallet.Hash  `json:"genesis"`
		Document pallet.Bytes `json:"genesis_document"`
		Hash     pallet.Hash  `json:"block"`
		Header   Header       `json:"header"`
	}
	exportPair struct {
		Key   pallet.Bytes `json:"key"`
		Value pallet.Bytes `json:"value"`
	}
	exportEnd struct {
		Keys uint64 `json:"keys"`
		Sum  string `json:"blake2b_256"`
	}
)

// noEnd is no number of keys.
const noEnd = math.MaxUint64

const exportFormat = "troupe-chain-state/1"

// Export writes the state after the newest block, and what proves it. Blocks go on being made meanwhile.
//
// # Errors
//
// busy.chain, host.disk_io, and those of w.
func (c *Chain) Export(w io.Writer) error {
	sum, err := blake2b.New256(nil)
	if err != nil {
		panic(err) // only a key can be wrong
	}
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 256<<10)
	keys := uint64(0)
	var line []byte
	err = c.snapshot(func(r *record) error {
		return writeLine(out, exportHead{exportFormat, c.genesis, c.cfg.Genesis, r.hash, r.Header})
	}, func(k, v []byte) error {
		keys++
		line = hex.AppendEncode(append(line[:0], `{"key":"0x`...), k)
		line = hex.AppendEncode(append(line, `","value":"0x`...), v)
		_, err := out.Write(append(line, "\"}\n"...))
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return err
	}
	return writeLine(w, exportEnd{keys, hex.EncodeToString(sum.Sum(nil))})
}

func writeLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = w.Write(append(b, '\n'))
	}
	return err
}

// snapshot reads the whole state after the newest block.
func (c *Chain) snapshot(begin func(*record) error, use func(k, v []byte) error) error {
	c.source.view.RLock()
	if err := c.open(); err != nil {
		c.source.view.RUnlock()
		return err
	}
	c.users.Add(1)
	defer c.users.Done()
	c.source.view.RUnlock()

	// The database reads as of when the scan began; then the next block may be written.
	c.source.writing.Lock()
	unlock := sync.OnceFunc(c.source.writing.Unlock)
	defer unlock()
	if f := c.failed.Load(); f != nil {
		return f // half a block may be there
	}
	top := c.tip.Load()
	began := false
	start := func() error {
		unlock()
		began = true
		return begin(top.record)
	}
	err := c.dir.State.Scan([]byte(statePrefix), func(k, v []byte) error {
		if !began {
			if err := start(); err != nil {
				return err
			}
		}
		if err := c.open(); err != nil {
			return err
		}
		return use(k[len(statePrefix):], v)
	})
	if err == nil && !began {
		err = start()
	}
	return err
}

// Exported is what an export says of itself.
type Exported struct {
	Genesis  pallet.Hash
	Document []byte // of the genesis
	Hash     pallet.Hash
	Header   Header
	Keys     uint64
}

// VerifyExport reads an export and proves it: it is whole, the keys are in order, the header has the hash, and the app hash that it has
// comes out of the state. hash finds the app hash; nil: that of the ledger.
//
// # Errors
//
// host.chain_corrupt.
func VerifyExport(r io.Reader, hash func(state.Source) (pallet.Hash, error)) (x Exported, err error) {
	if hash == nil {
		hash = hashLedger
	}
	bad := func(format string, args ...any) (Exported, error) {
		return x, corrupt("export", fmt.Errorf(format, args...))
	}
	sum, err := blake2b.New256(nil)
	if err != nil {
		panic(err)
	}
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 64<<10), maxExportLine)
	next := func(v any) error {
		if !in.Scan() {
			return errors.Join(io.ErrUnexpectedEOF, in.Err())
		}
		d := json.NewDecoder(bytes.NewReader(in.Bytes()))
		d.DisallowUnknownFields()
		return d.Decode(v)
	}
	var head exportHead
	if err := next(&head); err != nil || head.Format != exportFormat {
		return bad("its first line is not that of an export: %w", err)
	}
	x = Exported{Genesis: head.Genesis, Document: head.Document, Hash: head.Hash, Header: head.Header}
	if head.Header.Hash() != head.Hash {
		return bad("its header has another hash")
	}
	all := state.NewMemory()
	var last []byte
	for ; ; x.Keys++ {
		_, _ = sum.Write(in.Bytes())
		_, _ = sum.Write([]byte{'\n'})
		var line struct {
			exportPair
			exportEnd
		}
		line.Keys = noEnd
		if err := next(&line); err != nil {
			return bad("line %d: %w", x.Keys+2, err)
		}
		if line.Keys != noEnd {
			if line.Key != nil || line.Value != nil || line.Keys != x.Keys || line.Sum != hex.EncodeToString(sum.Sum(nil)) {
				return bad("it is not what was written")
			}
			break
		}
		if line.Key == nil || line.Value == nil || last != nil && bytes.Compare(line.Key, last) <= 0 {
			return bad("line %d is not in order", x.Keys+2)
		}
		last = line.Key
		all.Apply([]state.Change{{Key: line.Key, New: line.Value}})
	}
	if in.Scan() || in.Err() != nil {
		return bad("something follows it")
	}
	got, err := hash(all)
	if err != nil {
		return x, err
	}
	if got != head.Header.AppHash {
		return bad("the hash of the state is %s, and that of the block %s", got, head.Header.AppHash)
	}
	return x, nil
}

// maxExportLine bounds a line that is read: a genesis, or a key and a value.
const maxExportLine = 64 << 20
