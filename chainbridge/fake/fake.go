package fake

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
)

// Config describes a chain.
type Config struct {
	Name      string
	BlockTime time.Duration
	Finality  uint64           // how many blocks the final one is behind the newest
	Pool      int              // transactions that wait at most; zero: 100,000
	PerBlock  int              // transactions in a block at most; zero: no limit
	Now       func() time.Time // nil: time stands still
}

// Faults are what a chain does wrong from now on.
type Faults struct {
	Down      bool          // every call is refused
	Hang      bool          // no call returns before its context ends
	Halt      bool          // Mine makes no block
	Other     bool          // it says that it has another genesis
	Skew      time.Duration // its clock is off
	Lose      bool          // transactions are taken and thrown away
	Aside     bool          // transactions are put aside, and come back in the first block of the next fork
	Deaf      bool          // transactions are taken, and the answer is lost
	Refuse    fault.Code    // of each Submit
	HalfInfo  bool          // Info breaks off
	HalfRead  bool          // Follow breaks off in the middle of each second block
	Replay    int           // Follow tells so many blocks again before each new one
	Twice     bool          // each transaction is put into two blocks, if the rules allow
	StaleInfo uint64        // Info and Account are so many blocks behind
}

// Chain is a chain. It has a ledger of its own: it counts effects.
type Chain struct {
	cfg Config

	mu      sync.Mutex
	faults  Faults
	genesis chain.Hash
	era     uint64 // counts the chains that were here
	salt    uint64 // of blocks, so that no two are the same
	blocks  []*block
	known   map[chain.Hash]chain.Hash // of blocks that ever were: their parents
	heights map[chain.Hash]uint64
	final   uint64
	pool    []*transaction
	aside   []*transaction
	changed chan struct{} // closed at each change
	taken   int
	effects map[string]int // by key
	tried   map[string]int
}

// block is a block with what it did.
type block struct {
	chain.Block
	nonces   map[chain.Hash]uint64 // after it
	effected []string
	tried    []string
	txs      []*transaction
}

// transaction is the body of a transaction, as JSON. Nobody verifies its signature.
type transaction struct {
	Account    chain.Hash `json:"account"`
	Genesis    chain.Hash `json:"genesis"`
	Nonce      uint64     `json:"nonce"`
	ValidUntil uint64     `json:"valid_until"`
	Call       chain.Call `json:"call"`
	Salt       []byte     `json:"salt"` // signatures are never the same twice

	hash chain.Hash
}

// Effect is the call that the ledger knows.
type Effect struct {
	Key   string `json:"key"`
	Fail  string `json:"fail,omitempty"`  // the name of the error that it ends with
	Times int    `json:"times,omitempty"` // how often it does; zero: always
	Pad   string `json:"pad,omitempty"`
}

// Call makes the call of an effect.
func (e Effect) Call() chain.Call {
	args, _ := json.Marshal(e)
	return chain.Call{Pallet: "Fake", Name: "effect", Args: args}
}

// Key is a signer for tests: anybody could sign like this.
type Key struct {
	name  string
	salts *atomic.Uint64
}

// NewKey returns the key of a name.
func NewKey(name string) Key { return Key{name, &atomic.Uint64{}} }

// Public returns the account.
func (k Key) Public() [32]byte { return sha256.Sum256([]byte("account " + k.name)) }

// Sign returns bytes that are never the same twice, as those of sr25519.
func (k Key) Sign(msg []byte) (sig [64]byte) {
	h := sha256.Sum256(msg)
	copy(sig[:], h[:])
	binary.BigEndian.PutUint64(sig[56:], k.salts.Add(1))
	return sig
}

// New returns a chain with a genesis block.
func New(cfg Config) *Chain {
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return time.Time{} }
	}
	if cfg.Pool == 0 {
		cfg.Pool = 100_000
	}
	c := &Chain{cfg: cfg, changed: make(chan struct{})}
	c.begin(0)
	return c
}

// begin makes block 0 of the era. mu is held, or nobody else knows c.
func (c *Chain) begin(era uint64) {
	c.era = era
	c.genesis = sha256.Sum256(binary.BigEndian.AppendUint64([]byte("genesis "+c.cfg.Name), era))
	first := &block{nonces: map[chain.Hash]uint64{}}
	first.Hash, first.Time = c.genesis, c.cfg.Now()
	c.blocks, c.final, c.pool, c.aside = []*block{first}, 0, nil, nil
	c.effects, c.tried = map[string]int{}, map[string]int{}
	c.known, c.heights = map[chain.Hash]chain.Hash{}, map[chain.Hash]uint64{c.genesis: 0}
}

func (c *Chain) touch() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Chain) head() *block { return c.blocks[len(c.blocks)-1] }

// Set scripts what goes wrong from now on.
func (c *Chain) Set(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = f
	c.touch()
}

// Faults returns what goes wrong.
func (c *Chain) Faults() Faults {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faults
}

// Mine makes n blocks of what waits.
func (c *Chain) Mine(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults.Halt {
		return
	}
	for range n {
		c.mine()
	}
	c.touch()
}

func (c *Chain) mine() {
	last := c.head()
	b := &block{nonces: maps.Clone(last.nonces)}
	b.Height, b.Parent, b.Time = last.Height+1, last.Hash, c.cfg.Now().Add(c.faults.Skew)
	c.salt++
	h := sha256.New()
	h.Write(b.Parent[:])
	_ = binary.Write(h, binary.BigEndian, c.salt)
	copy(b.Hash[:], h.Sum(nil))
	waiting := c.pool
	c.pool = nil
	for progress := true; progress; { // as long as one makes way for the next
		progress = false
		var rest []*transaction
		for _, t := range waiting {
			switch {
			case t.Nonce < b.nonces[t.Account], t.ValidUntil != 0 && t.ValidUntil < b.Height:
			case t.Nonce > b.nonces[t.Account], c.cfg.PerBlock > 0 && len(b.Txs) >= c.cfg.PerBlock:
				rest = append(rest, t)
			default:
				c.apply(b, t)
				progress = true
			}
		}
		waiting = rest
	}
	c.pool = waiting
	if c.faults.Twice {
		c.pool = append(c.pool, b.txs...)
	}
	c.blocks = append(c.blocks, b)
	c.known[b.Hash], c.heights[b.Hash] = b.Parent, b.Height
	if b.Height > c.cfg.Finality {
		c.final = max(c.final, b.Height-c.cfg.Finality)
	}
	b.Finalized = c.final
}

// apply executes a transaction in a block.
func (c *Chain) apply(b *block, t *transaction) {
	b.nonces[t.Account] = t.Nonce + 1
	r := chain.Result{Hash: t.hash, Signer: t.Account, Nonce: t.Nonce}
	var e Effect
	if err := json.Unmarshal(t.Call.Args, &e); err != nil || e.Key == "" {
		r.Error = &chain.TxError{Pallet: "Fake", Name: "BadArguments"}
	} else {
		c.tried[e.Key]++
		b.tried = append(b.tried, e.Key)
		if e.Fail != "" && (e.Times == 0 || c.tried[e.Key] <= e.Times) {
			r.Error = &chain.TxError{Pallet: "Fake", Name: e.Fail, Detail: e.Key}
		} else {
			c.effects[e.Key]++
			b.effected = append(b.effected, e.Key)
			fields, _ := json.Marshal(e.Key)
			b.Events = append(b.Events, chain.Event{Tx: len(b.Txs), Pallet: "Fake", Name: "Effected", Fields: fields})
		}
	}
	b.Txs = append(b.Txs, r)
	b.txs = append(b.txs, t)
}

// Fork replaces the newest blocks, as far as they are not final, by ones that have what was put aside, and one more. What was in them
// waits again, or is forgotten.
func (c *Chain) Fork(depth int, forget bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	depth = min(depth, int(c.head().Height-c.final))
	if depth <= 0 {
		return
	}
	gone := slices.Clone(c.blocks[len(c.blocks)-depth:])
	c.blocks = c.blocks[:len(c.blocks)-depth]
	for _, b := range gone {
		for _, key := range b.effected {
			c.effects[key]--
		}
		for _, key := range b.tried {
			c.tried[key]--
		}
	}
	waits := c.pool
	c.pool, c.aside = c.aside, nil
	for range depth {
		c.mine()
	}
	if !forget {
		for _, b := range gone {
			c.pool = append(c.pool, b.txs...)
		}
		c.pool = append(c.pool, waits...)
	}
	c.mine()
	c.touch()
}

// Forget empties the pool.
func (c *Chain) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool = nil
}

// Restart begins anew from a genesis, from the same one if it is to be the same chain.
func (c *Chain) Restart(same bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	era := c.era
	if !same {
		era++
	}
	c.begin(era)
	c.touch()
}

// Steal has somebody else use the next nonce of an account in the next block.
func (c *Chain) Steal(account [32]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.salt++
	t := &transaction{Account: account, Nonce: c.head().nonces[account], Call: Effect{Key: "stolen"}.Call()}
	t.hash = sha256.Sum256(binary.BigEndian.AppendUint64([]byte("stolen"), c.salt))
	c.pool = append([]*transaction{t}, c.pool...)
}

// Effects returns how often each key took effect on the branch that counts.
func (c *Chain) Effects() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for key, n := range c.effects {
		if n != 0 {
			out[key] = n
		}
	}
	return out
}

// Head returns the newest block.
func (c *Chain) Head() chain.Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head().Cursor
}

// Genesis returns the hash of block 0.
func (c *Chain) Genesis() chain.Hash {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.genesis
}

// Waiting returns how many transactions wait for a block.
func (c *Chain) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pool)
}

// Taken returns how many calls of Submit brought something new.
func (c *Chain) Taken() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken
}

var errHalf = errors.New("unexpected end of the reply")

// enter waits or fails as the script says. mu is not held.
func (c *Chain) enter(ctx context.Context) error {
	for {
		c.mu.Lock()
		f, changed := c.faults, c.changed
		c.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case f.Down:
			return fault.New(fault.BusyChain, "call", c.cfg.Name, nil)
		case !f.Hang:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}
