package devchain

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// Config says what chain it is, and where it is kept.
type Config struct {
	// Dir is the directory of the chain, which nothing else uses.
	Dir string
	// Machine makes the state machine on a state. It is called once at the start, and once for each verification. Default: the ledger.
	Machine func(state.Source) (machine.Machine, error)
	// HashState finds the app hash of a state from all its keys and values. Default: that of the ledger; none for another Machine.
	HashState func(state.Source) (pallet.Hash, error)
	// Genesis is the document of the genesis. Nil: that of the chain in Dir, which must exist then. Of another Machine than the ledger
	// any bytes will do.
	Genesis []byte
	// BlockTime is the time between blocks, which are made whether there are transactions or not. 0: a block is made when there are
	// transactions, at once, of all that wait by then; and when Seal asks for one.
	BlockTime time.Duration
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// FS is for tests that fail the disk.
	FS  db.FS
	Log zerolog.Logger
	// HostNames are the names under which Handler may be asked, beside addresses and localhost.
	HostNames []string
	Limits

	ofLedger bool // Machine is the ledger
}

// Limits bound what a chain keeps and takes. Zero means the default.
type Limits struct {
	MaxTxBytes    int   // of a transaction; default 64 KiB
	MaxBlockTxs   int   // default 10,000; 1,000 without a BlockTime
	MaxBlockBytes int   // of the transactions of a block; default 4 MiB
	MaxPoolTxs    int   // that wait for a block; default 65,536
	MaxPoolBytes  int   // default 64 MiB
	MaxSenderTxs  int   // of one account that wait; default 4,096
	CacheBytes    int64 // of the state that is kept in memory; default 64 MiB

	SendTimeout time.Duration // in which who subscribed must take a block; default 20 s
	MaxLag      uint64        // blocks that who subscribed may fall behind; default 1,024
}

func (l Limits) withDefaults(blockTime time.Duration) Limits {
	blockTxs := 10_000
	if blockTime == 0 {
		blockTxs = 1000 // the next ones wait for them
	}
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.MaxTxBytes, 64<<10)
	def(&l.MaxBlockTxs, blockTxs)
	def(&l.MaxBlockBytes, 4<<20)
	def(&l.MaxPoolTxs, 65_536)
	def(&l.MaxPoolBytes, 64<<20)
	def(&l.MaxSenderTxs, 4096)
	if l.CacheBytes == 0 {
		l.CacheBytes = 64 << 20
	}
	if l.SendTimeout == 0 {
		l.SendTimeout = 20 * time.Second
	}
	if l.MaxLag == 0 {
		l.MaxLag = 1024
	}
	return l
}

// tip is the newest block.
type tip struct {
	*record
	next chan struct{} // closed when there is a newer one, or none will come
}

// Chain is an open chain.
type Chain struct {
	cfg     Config
	name    string
	genesis pallet.Hash
	dir     *db.Dir
	store   *store
	source  *source
	machine machine.Machine
	pool    *pool

	tip    atomic.Pointer[tip]
	failed atomic.Pointer[fault.Error] // why there are no more blocks; nil: there are
	recent recent

	demand chan chan error
	stop   context.CancelFunc
	ctx    context.Context // ends with the chain
	done   sync.WaitGroup  // the sequencer
	users  sync.WaitGroup  // of the database, beside those that hold view
	closed sync.Once
	errEnd error
}

// genesisRecord is what is kept of the genesis.
type genesisRecord struct {
	Hash     pallet.Hash
	Document []byte `scale:"max=67108864"`
}

// Open opens the chain of a directory, or makes one. Close gives it up.
//
// # Errors
//
// host.chain_other: the directory has a chain of another genesis. host.chain_corrupt: what is there is damaged. Those of
// db.OpenDir: host.data_dir_locked, if somebody else has it open, and others. Those of Machine and its InitChain.
func Open(ctx context.Context, cfg Config) (_ *Chain, err error) {
	cfg.Limits = cfg.Limits.withDefaults(cfg.BlockTime)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Machine == nil {
		cfg.ofLedger = true
		cfg.Machine = func(src state.Source) (machine.Machine, error) { return ledger.New(src) }
		cfg.HashState = hashLedger
	}
	c := &Chain{cfg: cfg, demand: make(chan chan error)}
	if c.dir, err = db.OpenDir(db.DirConfig{Path: cfg.Dir, StateOnly: true, Owner: db.Owner{PID: os.Getpid(), Kind: "chain"}, FS: cfg.FS, Log: cfg.Log}); err != nil {
		return nil, unopened(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.release())
		}
	}()
	c.source = &source{db: c.dir.State, cache: newValues(cfg.CacheBytes)}
	var h *head
	if c.store, h, err = openStore(ctx, c.dir.State, cfg.Dir); err != nil {
		return nil, err
	}
	if c.machine, err = cfg.Machine(c.source); err != nil {
		return nil, err
	}
	if h == nil {
		err = c.begin(ctx)
	} else {
		err = c.resume(ctx, h)
	}
	if err != nil {
		return nil, err
	}
	if m, ok := c.machine.(headed); ok {
		c.name = m.Head().Name
	}
	c.pool = newPool(c.cfg.Limits, c.tip.Load().Height)
	c.ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.done.Go(c.run)
	return c, nil
}

func hashLedger(src state.Source) (pallet.Hash, error) {
	sum, err := state.Count(src)
	if err != nil {
		return pallet.Hash{}, err
	}
	return sum.Sum(), nil
}

// unopened says that a damaged database is a damaged chain.
func unopened(err error) error {
	if errors.Is(err, fault.HostDataDirCorrupt) {
		return corrupt("database", err)
	}
	return err
}

// begin makes block 0.
func (c *Chain) begin(ctx context.Context) error {
	if c.cfg.Genesis == nil {
		return fault.New(fault.CallerConfig, "open", filepath.Base(c.cfg.Dir), errors.New("there is no chain, and no genesis to make one of"))
	}
	hash, time, err := c.cfg.genesis()
	if err != nil {
		return err
	}
	c.genesis = hash
	res, err := c.machine.InitChain(c.cfg.Genesis)
	if err != nil {
		return err
	}
	r, err := genesisBlock(c.genesis, time, res)
	if err != nil {
		return err
	}
	extra := pieces(genesisKey, 0, scale.Marshal(genesisRecord{c.genesis, c.cfg.Genesis}))
	if err := c.store.commit(ctx, r, res.Changes, extra...); err != nil {
		return err
	}
	c.source.end(res.Changes)
	if err := c.machine.Commit(); err != nil {
		return err
	}
	c.tip.Store(&tip{r, make(chan struct{})})
	return nil
}

// genesis returns the hash for which transactions are signed, and the time of block 0.
func (c Config) genesis() (hash pallet.Hash, time uint64, err error) {
	if !c.ofLedger {
		return blake2b.Sum256(c.Genesis), 0, nil
	}
	g, err := ledger.ParseGenesis(c.Genesis)
	if err != nil {
		return hash, 0, err
	}
	hash, err = g.Hash()
	return hash, g.TimeMS, err
}

func genesisBlock(genesis pallet.Hash, time uint64, res *machine.Result) (*record, error) {
	bare := *res
	bare.Txs = nil // block 0 has none
	return newRecord(Header{Parent: genesis, Time: time}, nil, &bare)
}

// release closes what is open.
func (c *Chain) release() error {
	var err error
	if c.store != nil {
		err = c.store.mark.Close()
	}
	return errors.Join(err, c.dir.Close())
}

// Close ends the chain: the block that is being made is finished, those who follow end with busy.chain, and what waits for a block is
// forgotten.
func (c *Chain) Close() error {
	c.closed.Do(func() {
		c.pool.stop(gone())
		c.stop()
		c.done.Wait()
		close(c.tip.Load().next)
		c.source.view.Lock() // those who ask have their answers first
		defer c.source.view.Unlock()
		c.users.Wait()
		c.errEnd = c.release()
	})
	return c.errEnd
}

func gone() *fault.Error {
	return fault.New(fault.BusyChain, "chain", "", errors.New("the chain has been closed"))
}

// open returns why the chain does not answer, nil if it does. The caller holds view.
func (c *Chain) open() error {
	if c.ctx.Err() != nil {
		return gone()
	}
	return nil
}

// Failed returns why no more blocks are made, nil if all is well.
func (c *Chain) Failed() *fault.Error { return c.failed.Load() }
