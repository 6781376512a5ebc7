package devchain

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// Header is what the hash of a block covers.
type Header struct {
	Height     uint64      `json:"height"`
	Parent     pallet.Hash `json:"parent"`      // of block 0: the hash of the genesis document
	Time       uint64      `json:"time"`        // milliseconds of Unix time
	TxRoot     pallet.Hash `json:"tx_root"`     // of the transactions, as the record has them
	ResultRoot pallet.Hash `json:"result_root"` // of what became of them, and the events
	AppHash    pallet.Hash `json:"app_hash"`    // of the state after the block
}

// Domains of what is hashed.
const (
	blockDomain  = "troupe/block/1"
	txDomain     = "troupe/block-txs/1"
	resultDomain = "troupe/block-results/1"
)

// Hash returns the hash of the block.
func (h Header) Hash() pallet.Hash { return hashOf(blockDomain, scale.Marshal(h)) }

func hashOf(domain string, data []byte) (sum pallet.Hash) {
	d, err := blake2b.New256(nil)
	if err != nil {
		panic(err) // only a key can be wrong
	}
	_, _ = d.Write([]byte(domain))
	_, _ = d.Write(data)
	d.Sum(sum[:0])
	return sum
}

// txHash is the hash by which a transaction is known.
func txHash(tx []byte) pallet.Hash { return blake2b.Sum256(tx) }

// headerBytes is the length of an encoded Header.
const headerBytes = 8 + 32 + 8 + 3*32

// Bounds of a record that is read. They are above those of a block that is made.
const (
	maxRecordTxs    = 1 << 20
	maxRecordEvents = 1 << 24
	maxRecordText   = 1 << 24
)

// record is a block as it is stored: u32 length of what follows, header, u32 length of the transactions, transactions, results.
type record struct {
	Header
	hash   pallet.Hash
	txs    [][]byte
	block  chain.Block
	stored []byte
}

// newRecord makes the record of a block from what its execution gave.
func newRecord(h Header, txs [][]byte, res *machine.Result) (*record, error) {
	r := &record{Header: h, txs: txs}
	var body scale.Encoder
	body.Len(len(txs))
	for _, tx := range txs {
		body.Bytes(tx)
	}
	cut := len(body.Encoded())
	r.block.Txs = make([]chain.Result, len(res.Txs))
	body.Len(len(res.Txs))
	for n, t := range res.Txs {
		out := chain.Result{Hash: chain.Hash(t.Hash), Signer: chain.Hash(t.Sender), Nonce: t.Nonce}
		body.Raw(t.Hash[:])
		body.Raw(t.Sender[:])
		body.U64(t.Nonce)
		body.Option(t.Error != nil)
		if e := t.Error; e != nil {
			body.String(e.Pallet)
			body.String(e.Name)
			body.String(e.Detail)
			out.Error = &chain.TxError{Pallet: e.Pallet, Name: e.Name, Detail: e.Detail}
		}
		r.block.Txs[n] = out
	}
	r.block.Events = make([]chain.Event, len(res.Events))
	body.Len(len(res.Events))
	for n, e := range res.Events {
		fields, err := json.Marshal(e.Fields)
		if err != nil {
			return nil, fault.New(fault.BugUnexpected, "event", e.Pallet+"."+e.Name, err)
		}
		body.U32(uint32(e.Tx + 1))
		body.String(e.Pallet)
		body.String(e.Name)
		body.Bytes(fields)
		r.block.Events[n] = chain.Event{Tx: e.Tx, Pallet: e.Pallet, Name: e.Name, Fields: fields}
	}
	b := body.Encoded()
	r.TxRoot, r.ResultRoot, r.AppHash = hashOf(txDomain, b[:cut]), hashOf(resultDomain, b[cut:]), res.AppHash
	r.stored = assemble(r.Header, b, cut)
	r.seal()
	return r, nil
}

func assemble(h Header, body []byte, cut int) []byte {
	b := make([]byte, 0, 4+headerBytes+4+len(body))
	b = binary.LittleEndian.AppendUint32(b, uint32(headerBytes+4+len(body)))
	b = append(b, scale.Marshal(h)...)
	b = binary.LittleEndian.AppendUint32(b, uint32(cut))
	return append(b, body...)
}

// seal fills in what follows from the header. A block of this chain is final when it is there.
func (r *record) seal() {
	r.hash = r.Hash()
	r.block.Cursor = chain.Cursor{Height: r.Height, Hash: chain.Hash(r.hash)}
	r.block.Parent, r.block.Finalized = chain.Hash(r.Parent), r.Height
	r.block.Time = time.UnixMilli(int64(r.Time)).UTC()
}

var errRecord = errors.New("the record of a block is damaged")

// openRecord reads a record, and checks that the header is that of its content.
func openRecord(b []byte) (*record, error) {
	if len(b) < 4+headerBytes+4 || uint64(binary.LittleEndian.Uint32(b)) != uint64(len(b)-4) {
		return nil, errRecord
	}
	r := &record{stored: b}
	if err := scale.Unmarshal(b[4:4+headerBytes], &r.Header); err != nil {
		return nil, errors.Join(errRecord, err)
	}
	cut, body := binary.LittleEndian.Uint32(b[4+headerBytes:]), b[4+headerBytes+4:]
	if uint64(cut) > uint64(len(body)) || hashOf(txDomain, body[:cut]) != r.TxRoot || hashOf(resultDomain, body[cut:]) != r.ResultRoot {
		return nil, errRecord
	}
	d := scale.NewDecoder(body[:cut])
	r.txs = make([][]byte, d.Len(maxRecordTxs, 1))
	for n := range r.txs {
		r.txs[n] = d.Bytes(maxRecordText)
	}
	if err := d.End(); err != nil {
		return nil, errors.Join(errRecord, err)
	}
	d = scale.NewDecoder(body[cut:])
	r.block.Txs = make([]chain.Result, d.Len(maxRecordTxs, 73))
	for n := range r.block.Txs {
		t := &r.block.Txs[n]
		d.Fixed(t.Hash[:])
		d.Fixed(t.Signer[:])
		if t.Nonce = d.U64(); d.Option() {
			t.Error = &chain.TxError{Pallet: d.String(maxRecordText), Name: d.String(maxRecordText), Detail: d.String(maxRecordText)}
		}
	}
	r.block.Events = make([]chain.Event, d.Len(maxRecordEvents, 7))
	for n := range r.block.Events {
		e := &r.block.Events[n]
		e.Tx = int(d.U32()) - 1
		e.Pallet, e.Name, e.Fields = d.String(maxRecordText), d.String(maxRecordText), d.Bytes(maxRecordText)
	}
	if err := d.End(); err != nil || len(r.block.Txs) != len(r.txs) {
		return nil, errors.Join(errRecord, err)
	}
	r.seal()
	return r, nil
}
