package devchain

import (
	"testing"
)

// Who sends what can never be in a block, for an earlier nonce is missing, keeps nobody else out: neither by number nor by size, nor by
// taking the first of many back.
func TestGapsDoNotFreezeThePool(t *testing.T) {
	size := len(kvTx{}.bytes())
	limits := Limits{MaxBlockTxs: 4, MaxBlockBytes: 1 << 20, MaxPoolTxs: 400, MaxPoolBytes: 400 * size, MaxSenderTxs: 100}
	honest := func(p *pool) {
		t.Helper()
		if err := p.put(t, kvTx{sender: 99}); err != nil {
			t.Fatalf("an honest sender: %v, with %d in the pool", err, len(p.known))
		}
		if n := len(p.gaps); n > limits.MaxPoolTxs/gapPart || p.gapped > limits.MaxPoolBytes/gapPart {
			t.Errorf("%d of %d bytes wait for an earlier nonce", n, p.gapped)
		}
	}
	p := newPool(limits, 0)
	for s := range uint64(8) {
		for n := range uint64(90) {
			_ = p.put(t, kvTx{sender: s, nonce: n + 1})
		}
	}
	honest(p)
	many := limits
	many.MaxPoolTxs = 1 << 20
	p = newPool(many, 0)
	for s := range uint64(8) {
		for n := range uint64(90) {
			_ = p.put(t, kvTx{sender: s, nonce: n + 1})
		}
	}
	honest(p)
	p = newPool(limits, 0)
	for s := range uint64(4) {
		for n := range uint64(99) {
			tx := kvTx{sender: s, nonce: n}
			if n == 0 {
				tx.end = 1
			}
			_ = p.put(t, tx)
		}
	}
	p.settle(1, nil) // the first ones are too late
	honest(p)
	// What fills a gap goes on with what there is.
	p = newPool(limits, 0)
	for _, n := range []uint64{2, 1, 0} {
		if err := p.put(t, kvTx{sender: 1, nonce: n}); err != nil {
			t.Fatal(err)
		}
	}
	if txs := p.take(); len(txs) != 3 || len(p.gaps)+p.gapped != 0 {
		t.Errorf("%v left, %d wait", nonces(txs), len(p.gaps))
	}
}
