package devchain

import (
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// pending is a transaction that is in no block yet.
type pending struct {
	tx    []byte
	info  machine.TxInfo
	place *place // in the line; nil: it waits for an earlier nonce, or is in the block that is being made
}

// place is one of the line; what had it may have left.
type place struct{ of *pending }

// sender has the transactions of one account.
type sender struct {
	next uint64              // the nonce behind those that are in the line or in the block that is being made
	all  map[uint64]*pending // by nonce
}

// pool keeps the transactions that wait for a block: those of a sender in the order of its nonces, and those in the line in the order
// in which they came to their turn.
type pool struct {
	limits Limits
	ready  chan struct{} // has one when the line may not be empty

	mu      sync.Mutex
	height  uint64 // of the last block
	known   map[pallet.Hash]*pending
	senders map[pallet.Account]*sender
	line    []*place
	lined   int                          // places that are taken
	ends    map[uint64]map[*pending]bool // by the last height that may have them
	bytes   int
	gaps    map[*pending]struct{} // those that wait for an earlier nonce: a part of the pool is for them, as nothing may ever come of them
	gapped  int                   // bytes of gaps
	stopped error                 // why nothing more is taken
}

func newPool(l Limits, height uint64) *pool {
	return &pool{limits: l, height: height, ready: make(chan struct{}, 1), known: map[pallet.Hash]*pending{},
		senders: map[pallet.Account]*sender{}, ends: map[uint64]map[*pending]bool{},
		gaps: map[*pending]struct{}{}}
}

// gapPart is the part of the pool that is for those that wait for an earlier nonce.
const gapPart = 4

func (p *pool) gap(n *pending) {
	if _, is := p.gaps[n]; !is {
		p.gaps[n] = struct{}{}
		p.gapped += len(n.tx)
	}
}

func (p *pool) ungap(n *pending) {
	if _, is := p.gaps[n]; is {
		delete(p.gaps, n)
		p.gapped -= len(n.tx)
	}
}

// thin drops any of those that wait for an earlier nonce while they are more than their part. Who has sent it and fills the gap sends it
// again; who never does, does not keep others out.
func (p *pool) thin() {
	for n := range p.gaps {
		if len(p.gaps) <= p.limits.MaxPoolTxs/gapPart && p.gapped <= p.limits.MaxPoolBytes/gapPart {
			return
		}
		p.drop(n)
	}
}

func full(subject string) error {
	return fault.New(fault.BusyChain, "submit", subject, nil).WithRetryAfter(time.Second)
}

// has says whether a transaction waits, and after which block that was said.
func (p *pool) has(hash pallet.Hash) (waits bool, height uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[hash] != nil, p.height
}

// add takes a transaction that was checked after block height. If there was another block since then, it may have to be checked again.
func (p *pool) add(tx []byte, info machine.TxInfo, height uint64, check func() (machine.TxInfo, error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped != nil {
		return p.stopped
	}
	if p.known[info.Hash] != nil {
		return nil
	}
	if len(p.known) >= p.limits.MaxPoolTxs || p.bytes+len(tx) > p.limits.MaxPoolBytes {
		return full("the pool of transactions is full")
	}
	s := p.senders[info.Sender]
	switch {
	case s == nil && height != p.height:
		// Nobody keeps track of this sender, so what the check said of its nonce may be old.
		var err error
		if info, err = check(); err != nil {
			return err
		}
		s = &sender{next: info.Next, all: map[uint64]*pending{}}
	case s == nil:
		s = &sender{next: info.Next, all: map[uint64]*pending{}}
	case len(s.all) >= p.limits.MaxSenderTxs:
		return full("the sender has as many transactions waiting as it may")
	}
	switch {
	case info.ValidUntil != 0 && info.ValidUntil <= p.height:
		return fault.New(fault.CallerTxExpired, "submit", info.Hash.String(), nil)
	case info.Nonce < s.next || s.all[info.Nonce] != nil:
		return fault.New(fault.CallerTxNonce, "submit", info.Hash.String(), nil)
	case info.Nonce > s.next && p.limits.MaxPoolBytes/gapPart < len(tx), info.Nonce-s.next > uint64(p.limits.MaxSenderTxs):
		return full("a transaction of the sender with an earlier nonce is missing")
	}
	n := &pending{tx: tx, info: info}
	p.known[info.Hash], s.all[info.Nonce], p.senders[info.Sender] = n, n, s
	p.bytes += len(tx)
	if end := info.ValidUntil; end != 0 {
		if p.ends[end] == nil {
			p.ends[end] = map[*pending]bool{}
		}
		p.ends[end][n] = true
	}
	p.gap(n)
	p.advance(s)
	p.thin()
	return nil
}

// advance puts those in the line whose turn has come.
func (p *pool) advance(s *sender) {
	for n := s.all[s.next]; n != nil; n = s.all[s.next] {
		n.place = &place{n}
		p.ungap(n)
		p.line, p.lined, s.next = append(p.line, n.place), p.lined+1, s.next+1
	}
	p.signal()
}

func (p *pool) signal() {
	if p.lined > 0 {
		select {
		case p.ready <- struct{}{}:
		default:
		}
	}
}

// take gives the next transactions of the line out for a block.
func (p *pool) take() (txs []*pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bytes, used := 0, 0
	for _, pl := range p.line {
		n := pl.of
		if n != nil {
			if len(txs) == p.limits.MaxBlockTxs || len(txs) > 0 && bytes+len(n.tx) > p.limits.MaxBlockBytes {
				break
			}
			bytes += len(n.tx)
			n.place = nil
			p.lined--
			txs = append(txs, n)
		}
		used++
	}
	p.line = p.line[used:]
	if len(p.line) == 0 {
		p.line = nil
	}
	return txs
}

// giveBack puts transactions that were taken back, before all others.
func (p *pool) giveBack(txs []*pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	front := make([]*place, 0, len(txs))
	for _, n := range txs {
		// It may have been dropped with its sender, or one before it has, and then it waits for another one.
		if p.known[n.info.Hash] == n && n.info.Nonce < p.senders[n.info.Sender].next {
			n.place = &place{n}
			p.ungap(n)
			front = append(front, n.place)
		} else if p.known[n.info.Hash] == n {
			p.gap(n)
		}
	}
	p.line, p.lined = append(front, p.line...), p.lined+len(front)
	p.signal()
}

// settle forgets the transactions of a block, and those that came too late for the next one.
func (p *pool) settle(height uint64, txs []*pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.height = height
	for _, n := range txs {
		p.forget(n)
	}
	for n := range p.ends[height] {
		p.drop(n)
	}
	p.thin()
	p.signal()
}

// forget removes a transaction whose nonce is used.
func (p *pool) forget(n *pending) {
	s := p.senders[n.info.Sender]
	delete(p.known, n.info.Hash)
	delete(s.all, n.info.Nonce)
	p.ungap(n)
	p.bytes -= len(n.tx)
	if len(s.all) == 0 {
		delete(p.senders, n.info.Sender)
	}
	if end := n.info.ValidUntil; end != 0 {
		if delete(p.ends[end], n); len(p.ends[end]) == 0 {
			delete(p.ends, end)
		}
	}
}

// leave takes a transaction out of the line.
func (p *pool) leave(n *pending) {
	if n.place != nil {
		n.place.of, n.place = nil, nil
		p.lined--
		p.gap(n)
	}
}

// drop removes a transaction whose nonce is not used: those behind it wait for another one with that nonce.
func (p *pool) drop(n *pending) {
	s := p.senders[n.info.Sender]
	p.leave(n)
	for m := n.info.Nonce + 1; m < s.next; m++ {
		if o := s.all[m]; o != nil {
			p.leave(o)
		}
	}
	s.next = min(s.next, n.info.Nonce)
	p.forget(n)
}

// dropSender removes all of an account. What it knew of the nonces was wrong.
func (p *pool) dropSender(a pallet.Account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.senders[a]
	if s == nil {
		return
	}
	for _, n := range s.all {
		p.leave(n)
		p.forget(n)
	}
}

// stop refuses all that comes.
func (p *pool) stop(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = err
}

// size tells how much waits.
func (p *pool) size() (txs, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.known), p.bytes
}
