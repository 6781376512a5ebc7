package ledger

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// MaxVerified bounds the transactions whose signatures are known to be right.
const MaxVerified = 128 << 10

// decoded is a transaction with its hash.
type decoded struct {
	*Tx
	hash pallet.Hash
}

// verified remembers which transactions have a right signature, so that none is verified twice. It holds the newest half of limit at
// least: when the young ones are that many, the old ones are forgotten.
type verified struct {
	mu         sync.Mutex
	limit      int
	young, old map[pallet.Hash]struct{}
}

func newVerified(limit int) *verified {
	return &verified{limit: limit, young: map[pallet.Hash]struct{}{}}
}

func (v *verified) has(h pallet.Hash) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.young[h]; ok {
		return true
	}
	_, ok := v.old[h]
	return ok
}

func (v *verified) add(h pallet.Hash) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.young) >= v.limit/2 {
		v.young, v.old = map[pallet.Hash]struct{}{}, v.young
	}
	v.young[h] = struct{}{}
}

// read decodes a transaction for a chain that has begun.
func (l *Ledger) read(genesis pallet.Hash, tx []byte) (*decoded, error) {
	if genesis == (pallet.Hash{}) {
		return nil, fault.New(fault.CallerTx, "transaction", "", nil).WithHint("the chain has not begun")
	}
	t, err := DecodeTx(tx)
	if err != nil {
		return nil, err
	}
	return &decoded{t, TxHash(tx)}, nil
}

// verify looks at the signature, once.
func (l *Ledger) verify(genesis pallet.Hash, tx []byte, t *decoded) error {
	if l.verified.has(t.hash) {
		return nil
	}
	if !t.verify(digest(genesis, tx)) {
		return forged(t)
	}
	l.verified.add(t.hash)
	return nil
}

func forged(t *decoded) error {
	return fault.New(fault.CallerTx, "transaction", t.hash.String(), nil).WithHint("its signature is not that of its account, or not for this chain")
}

// batch is how many signatures are verified together: more are no faster for each.
const batch = 64

// readAll decodes and verifies the transactions of a block. Those of sr25519 that nobody has verified are verified in batches.
func (l *Ledger) readAll(genesis pallet.Hash, txs [][]byte) ([]*decoded, []error) {
	out, errs := make([]*decoded, len(txs)), make([]error, len(txs))
	parallel(len(txs), 4, func(i int) {
		out[i], errs[i] = l.read(genesis, txs[i])
		if errs[i] == nil && out[i].Scheme != Sr25519 {
			errs[i] = l.verify(genesis, txs[i], out[i])
		}
	})
	var fresh []int
	for i, t := range out {
		if errs[i] == nil && t.Scheme == Sr25519 && !l.verified.has(t.hash) {
			fresh = append(fresh, i)
		}
	}
	size := max(1, min(batch, len(fresh)/runtime.GOMAXPROCS(0)))
	chunks := slices.Collect(slices.Chunk(fresh, size))
	parallel(len(chunks), 1, func(n int) {
		signed := make([]meter.Signed, len(chunks[n]))
		for k, i := range chunks[n] {
			sum := digest(genesis, txs[i])
			signed[k] = meter.Signed{Public: out[i].Account, Message: sum[:], Signature: out[i].Signature[:]}
		}
		for k, right := range meter.VerifyAll(signed) {
			if i := chunks[n][k]; right {
				l.verified.add(out[i].hash)
			} else {
				errs[i] = forged(out[i])
			}
		}
	})
	return out, errs
}

// parallel does n things, on all processors if there are several for each of them.
func parallel(n, several int, do func(i int)) {
	procs := min(runtime.GOMAXPROCS(0), n/several)
	if procs < 2 {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range procs {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				do(int(i - 1))
			}
		})
	}
	all.Wait()
}
