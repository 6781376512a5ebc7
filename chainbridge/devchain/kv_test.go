package devchain

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// kv is a machine of keys and values. Its transactions bear no signature; its app hash is a sum over all keys and values.
type kv struct {
	src state.Source

	mu      sync.Mutex
	height  uint64
	pending uint64
	broken  error // what FinalizeBlock fails with
}

// What a transaction does.
const (
	opSet byte = iota
	opDelete
	opFail  // undone, with an error
	opPanic // stops the machine
	opMany  // sets as many keys as the value says, of a kilobyte each
	opInvalid
)

// kvTx is one transaction; sender 0 has no nonces.
type kvTx struct {
	sender, nonce, end uint64
	op                 byte
	key                string
	value              []byte
}

const kvHead = 8 + 8 + 8 + 1 + 2

func (t kvTx) bytes() []byte {
	b := binary.LittleEndian.AppendUint64(nil, t.sender)
	b = binary.LittleEndian.AppendUint64(b, t.nonce)
	b = binary.LittleEndian.AppendUint64(b, t.end)
	b = append(b, t.op)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(t.key)))
	return append(append(b, t.key...), t.value...)
}

func readKV(b []byte) (t kvTx, err error) {
	if len(b) < kvHead || len(b) < kvHead+int(binary.LittleEndian.Uint16(b[25:])) || b[24] > opInvalid {
		return t, fault.New(fault.CallerTx, "transaction", "", errors.New("it is none"))
	}
	cut := kvHead + int(binary.LittleEndian.Uint16(b[25:]))
	return kvTx{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:]), b[24],
		string(b[kvHead:cut]), b[cut:]}, nil
}

func newKV(src state.Source) (machine.Machine, error) {
	b, err := src.Get([]byte("height"))
	m := &kv{src: src}
	if len(b) == 8 {
		m.height = binary.LittleEndian.Uint64(b)
	}
	return m, err
}

func (m *kv) InitChain(genesis []byte) (*machine.Result, error) {
	s := state.NewStore(m.src)
	m.put(s, []byte("genesis"), genesis)
	return m.result(s, 0, nil, nil)
}

// put keeps the sum up to date.
func (m *kv) put(s *state.Store, key, value []byte) {
	sum := append([]byte(nil), s.Get([]byte("sum"))...)
	if sum == nil {
		sum = make([]byte, 32)
	}
	add := func(v []byte, sign uint64) {
		if v == nil {
			return
		}
		h := blake2b.Sum256(append(binary.LittleEndian.AppendUint32(nil, uint32(len(key))), append(append([]byte(nil), key...), v...)...))
		for n := 0; n < 32; n += 8 {
			binary.LittleEndian.PutUint64(sum[n:], binary.LittleEndian.Uint64(sum[n:])+sign*binary.LittleEndian.Uint64(h[n:]))
		}
	}
	add(s.Get(key), ^uint64(0))
	add(value, 1)
	s.Put(key, value)
	s.Put([]byte("sum"), sum)
}

func (m *kv) result(s *state.Store, height uint64, txs []machine.TxResult, events []machine.Event) (*machine.Result, error) {
	s.Put([]byte("height"), binary.LittleEndian.AppendUint64(nil, height))
	if err := s.Err(); err != nil {
		return nil, err
	}
	m.pending = height
	return &machine.Result{Txs: txs, Events: events, AppHash: pallet.Hash(s.Get([]byte("sum"))), Changes: s.Changes()}, nil
}

// Head implements headed.
func (m *kv) Head() (h ledger.Head) {
	b, _ := m.src.Get([]byte("sum"))
	copy(h.AppHash[:], b)
	b, _ = m.src.Get([]byte("height"))
	h.Name, h.Height = "kv", number(b)
	return h
}

// hashKV finds the sum again.
func hashKV(src state.Source) (sum pallet.Hash, err error) {
	err = src.Scan(nil, nil, func(k, v []byte) bool {
		if string(k) == "sum" || string(k) == "height" {
			return true
		}
		h := blake2b.Sum256(append(binary.LittleEndian.AppendUint32(nil, uint32(len(k))), append(append([]byte(nil), k...), v...)...))
		for n := 0; n < 32; n += 8 {
			binary.LittleEndian.PutUint64(sum[n:], binary.LittleEndian.Uint64(sum[n:])+binary.LittleEndian.Uint64(h[n:]))
		}
		return true
	})
	return sum, err
}

func nonceKey(sender uint64) []byte { return fmt.Appendf(nil, "nonce/%d", sender) }

func account(sender uint64) (a pallet.Account) {
	binary.LittleEndian.PutUint64(a[:], sender)
	return a
}

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (m *kv) CheckTx(tx []byte) (machine.TxInfo, error) {
	t, err := readKV(tx)
	if err != nil {
		return machine.TxInfo{}, err
	}
	i := machine.TxInfo{Hash: txHash(tx), Sender: account(t.sender), Nonce: t.nonce, ValidUntil: t.end}
	if t.sender == 0 {
		i.Sender, i.Nonce = pallet.Account(i.Hash), 0
		return i, nil
	}
	b, err := m.src.Get(nonceKey(t.sender))
	if i.Next = number(b); err == nil && t.nonce < i.Next {
		err = fault.New(fault.CallerTxNonce, "transaction", "", nil)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil && t.end != 0 && t.end <= m.height {
		err = fault.New(fault.CallerTxExpired, "transaction", "", nil)
	}
	return i, err
}

type kvEvent struct {
	Key  string `json:"key"`
	Size int    `json:"size"`
}

func (m *kv) FinalizeBlock(b machine.Block) (*machine.Result, error) {
	m.mu.Lock()
	broken := m.broken
	m.mu.Unlock()
	if broken != nil {
		return nil, broken
	}
	s := state.NewStore(m.src)
	txs := make([]machine.TxResult, len(b.Txs))
	var events []machine.Event
	for n, raw := range b.Txs {
		t, err := readKV(raw)
		r := machine.TxResult{Hash: txHash(raw), Sender: account(t.sender), Nonce: t.nonce, Invalid: err}
		switch next := number(s.Get(nonceKey(t.sender))); {
		case err != nil:
		case t.sender != 0 && next != t.nonce:
			r.Invalid = fault.New(fault.CallerTxNonce, "transaction", "", nil)
		case t.op == opInvalid, t.end != 0 && t.end < b.Height:
			r.Invalid = fault.New(fault.CallerTxExpired, "transaction", "", nil)
		}
		if txs[n] = r; r.Invalid != nil {
			continue
		}
		if t.sender != 0 {
			m.put(s, nonceKey(t.sender), binary.LittleEndian.AppendUint64(nil, t.nonce+1))
		}
		switch t.op {
		case opSet:
			m.put(s, []byte("v/"+t.key), t.value)
			if t.sender != 0 {
				events = append(events, machine.Event{Tx: n, Event: pallet.Event{Pallet: "KV", Name: "Set", Fields: kvEvent{t.key, len(t.value)}}})
			}
		case opDelete:
			m.put(s, []byte("v/"+t.key), nil)
		case opFail:
			txs[n].Error = pallet.Fail("KV", "Failed", t.key)
		case opPanic:
			panic(t.key)
		case opMany:
			for i := range int(binary.LittleEndian.Uint16(t.value)) {
				m.put(s, fmt.Appendf(nil, "v/%s/%d", t.key, i), fmt.Appendf(nil, "%1000d", b.Height))
			}
		}
	}
	return m.result(s, b.Height, txs, events)
}

func (m *kv) Commit() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.height = m.pending
	return nil
}

func (m *kv) Query(path string, params json.RawMessage) (json.RawMessage, error) {
	var p struct {
		Key     string         `json:"key"`
		Account pallet.Account `json:"account"`
	}
	if len(params) > 0 {
		if err := json.Unmarshal(params, &p); err != nil {
			return nil, fault.New(fault.CallerInvalid, "query", fault.Quote(path), err)
		}
	}
	switch path {
	case "KV/get":
		v, err := m.src.Get([]byte("v/" + p.Key))
		if err != nil || v == nil {
			return nil, errors.Join(err, fault.New(fault.CallerNotFound, "query", fault.Quote(p.Key), nil))
		}
		return json.Marshal(string(v))
	case "KV/count":
		n := 0
		err := m.src.Scan([]byte("v/"), nil, func(_, _ []byte) bool { n++; return true })
		return json.RawMessage(fmt.Sprint(n)), err
	case "KV/sum": // a slow look at the whole state, which fits or does not
		got, err := hashKV(m.src)
		if err != nil {
			return nil, err
		}
		return json.Marshal(got == m.Head().AppHash)
	case "System/account":
		b, err := m.src.Get(nonceKey(binary.LittleEndian.Uint64(p.Account[:])))
		return json.RawMessage(fmt.Sprintf(`{"nonce":%d,"free":"0"}`, number(b))), err
	}
	return nil, fault.New(fault.CallerNotFound, "query", fault.Quote(path), nil)
}
