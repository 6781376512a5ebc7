package report

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
)

// stage is a reporter in virtual time, between a worker and a chain that judge what they get.
type stage struct {
	t     *testing.T
	chain *fakeChain
	host  *fakeHost
	sys   *kernel.System
	ref   kernel.Ref[Message]
	set   Settings
}

const blockTime = 6 * time.Second

func onStage(t *testing.T, set Settings, f func(s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		key := meter.KeyFromSeed([32]byte{42})
		s := &stage{t: t, set: set, host: newHost(key)}
		s.chain = &fakeChain{worker: key.Public(), known: map[string]*fakeEntry{}, begin: time.Now()}
		stop := make(chan struct{})
		var mined sync.WaitGroup
		mined.Go(func() { s.chain.run(stop) })
		s.up()
		f(s)
		s.down()
		close(stop)
		mined.Wait()
	})
}

func (s *stage) up() {
	s.t.Helper()
	var err error
	if s.sys, err = kernel.New(kernel.Config{Log: zerolog.New(zerolog.NewTestWriter(s.t))}); err != nil {
		s.t.Fatal(err)
	}
	if s.ref, err = Spawn(s.sys, Config{Settings: s.set, Chain: s.chain, Outbox: s.chain, Worker: s.host, Claims: s.host, Watcher: s.host}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) down() {
	s.t.Helper()
	if err := s.sys.Stop(context.Background()); err != nil {
		s.t.Error(err)
	}
}

// after has everything stand still again some time later. What a test then reads of the chain and the host it reads without a lock, and
// before they go on.
func (s *stage) after(d time.Duration) {
	s.chain.mu.Lock()
	s.chain.mu.Unlock() //nolint:staticcheck // what was read is read before who locks next
	s.host.mu.Lock()
	s.host.mu.Unlock() //nolint:staticcheck // the same
	<-time.After(d)
	synctest.Wait()
}

// until waits, at most for so long, and returns how long it took.
func (s *stage) until(most time.Duration, what string, ok func() bool) time.Duration {
	s.t.Helper()
	begin := time.Now()
	for ; time.Since(begin) <= most; s.after(100 * time.Millisecond) {
		s.chain.mu.Lock()
		done := ok()
		s.chain.mu.Unlock()
		if done {
			return time.Since(begin)
		}
	}
	s.t.Fatalf("%s: not after %v; %+v", what, most, s.status())
	return 0
}

func (s *stage) status() inspect.Reporter {
	s.t.Helper()
	r, err := kernel.Ask(context.Background(), s.ref, func(r kernel.Reply[inspect.Reporter]) Message { return Status{r} })
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *stage) duty(of Duty) inspect.Duty { return s.status().Duties[of-1] }

func (s *stage) reportNow(apps ...[32]byte) (Settled, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	return kernel.Ask(ctx, s.ref, func(r kernel.Reply[Settled]) Message { return ReportNow{apps, r} })
}

// fakeEntry is a call in the outbox.
type fakeEntry struct {
	key  string
	duty Duty
	call chain.Call
	at   uint64 // block; 0: none yet
	sent uint64 // the newest block when it came
	err  *chain.TxError
	done chan struct{}
}

// fakeChain is an outbox and the chain behind it. A block is final at once.
type fakeChain struct {
	worker ID
	begin  time.Time

	mu      sync.Mutex
	blocks  []chain.Block
	wait    chan struct{} // closed by the next block
	order   []*fakeEntry
	known   map[string]*fakeEntry
	away    bool
	looks   int
	offline chan struct{} // closed when the chain goes away

	registered  bool
	attestedAt  time.Time
	registers   int
	operator    *ID
	endpoints   []string
	description *meter.Description
	describes   int
	session     *ChainSession
	updates     int
	score       uint32
	state       string
	waiting     int
	challenge   bool // the next block has one
	answers     []uint64
	settled     map[ID]uint64
	sns         []uint64 // of reports, in order
	node        bool
	specs       int
	measured    int
	refuse      map[string]string // calls that fail, and with what
	events      []chain.Event     // of the next block
}

func (c *fakeChain) run(stop chan struct{}) {
	tick := time.NewTicker(blockTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.mine()
		case <-stop:
			return
		}
	}
}

func (c *fakeChain) mine() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return
	}
	height := uint64(len(c.blocks) + 1)
	b := chain.Block{Cursor: chain.Cursor{Height: height}, Time: time.Now(), Finalized: height, Events: c.events}
	c.events = nil
	for _, e := range c.order {
		if e.at == 0 {
			e.at = height
			if e.err = c.apply(e); e.err == nil {
				b.Events = append(b.Events, chain.Event{Pallet: e.call.Pallet, Name: "Done", Fields: json.RawMessage(`{"worker":"` + c.worker.String() + `"}`)})
			}
			close(e.done)
		}
	}
	if c.challenge {
		c.challenge = false
		c.waiting++
		b.Events = append(b.Events, chain.Event{Tx: -1, Pallet: computation, Name: "HeartbeatChallenge",
			Fields: json.RawMessage(`{"seed":"12345","online_target":"0x` + strings.Repeat("f", 64) + `"}`)})
	}
	c.blocks = append(c.blocks, b)
	if c.wait != nil {
		close(c.wait)
		c.wait = nil
	}
}

// apply judges a call as the pallets do.
func (c *fakeChain) apply(e *fakeEntry) *chain.TxError {
	if name := c.refuse[e.call.Name]; name != "" {
		return &chain.TxError{Pallet: e.call.Pallet, Name: name}
	}
	var a struct {
		Signed       data `json:"signed"`
		Registration data `json:"registration"`
		Payload      data `json:"endpoint_payload"`
		Signature    data `json:"signature"`
		AsInit       bool `json:"as_init_score"`
		Claims       []struct {
			Address ID       `json:"address"`
			Tickets []uint64 `json:"tickets"`
		} `json:"claim_map"`
	}
	fail := func(name string) *chain.TxError { return &chain.TxError{Pallet: e.call.Pallet, Name: name} }
	if err := json.Unmarshal(e.call.Args, &a); err != nil {
		return fail("InvalidParameter")
	}
	if !c.registered && e.call.Name != "register_worker_v2" {
		return fail("InvalidWorkerPubkey")
	}
	newer := func(last *uint64, t meter.Token) *chain.TxError {
		switch {
		case c.session == nil || c.session.ID != ID(t.Session):
			return fail("SessionMismatch")
		case t.SN <= *last:
			return fail("OutdatedMessage")
		}
		*last = t.SN
		c.session.LastNonce = t.Nonce[:]
		return nil
	}
	switch e.call.Name {
	case "register_worker_v2":
		r, err := meter.DecodeRegistration(a.Registration)
		if err != nil || ID(r.Worker) != c.worker || r.Genesis != [32]byte{99} {
			return fail("InvalidInput")
		}
		c.registered, c.attestedAt = true, time.Now()
		c.registers++
	case "worker_description_set":
		d, _, err := meter.OpenDescription(a.Signed)
		if err != nil {
			return fail("SignatureVerificationFailed")
		}
		c.description = &d
		c.describes++
	case "update_worker_endpoint":
		p, err := meter.DecodeEndpoints(a.Payload)
		if err != nil || !meter.Verify(c.worker, meter.Message(meter.EndpointInfo, a.Payload), a.Signature) {
			return fail("InvalidEndpointSignature")
		}
		c.endpoints = p.List
	case "worker_session_update":
		u, _, err := meter.OpenSessionUpdate(a.Signed)
		switch {
		case err != nil:
			return fail("SignatureVerificationFailed")
		case c.session != nil && meter.SessionID(u.Nonce, c.session.LastNonce) != u.Session:
			return fail("OutdatedMessage")
		}
		c.session = &ChainSession{ID: u.Session, LastNonce: u.Nonce[:]}
		c.updates++
	case "ticket_settle":
		r, err := meter.OpenReport(a.Signed)
		if err != nil {
			return fail("SignatureVerificationFailed")
		}
		if err := newer(&c.session.MetricsSN, r.Token); err != nil {
			return err
		}
		c.sns = append(c.sns, r.Token.SN)
		for _, m := range r.Apps {
			if slices.ContainsFunc(a.Claims, func(x struct {
				Address ID       `json:"address"`
				Tickets []uint64 `json:"tickets"`
			}) bool {
				return x.Address == ID(m.Address) && len(x.Tickets) > 0
			}) {
				if c.settled == nil {
					c.settled = map[ID]uint64{}
				}
				c.settled[m.Address] = m.Gas
			}
		}
	case "benchmark_score_submit":
		m, err := meter.OpenSignedMessage(a.Signed)
		if err != nil {
			return fail("SignatureVerificationFailed")
		}
		if err := newer(&c.session.ScoreSN, m.Score.Token); err != nil {
			return err
		}
		if a.AsInit {
			c.score = 300
			return nil
		}
		c.waiting = 0
		c.answers = append(c.answers, e.at)
	case "register_node_with_coldkey":
		c.node = true
	case "put_node_specs":
		c.specs++
	case "update_metrics_data":
		c.measured++
	default:
		return fail("NoSuchCall")
	}
	return nil
}

// Send implements Outbox.
func (c *fakeChain) Send(_ context.Context, of Duty, key string, call chain.Call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[key] == nil {
		e := &fakeEntry{key: key, duty: of, call: call, sent: uint64(len(c.blocks)), done: make(chan struct{})}
		c.known[key] = e
		c.order = append(c.order, e)
	}
	return nil
}

// Wait implements Outbox.
func (c *fakeChain) Wait(ctx context.Context, key string) (Outcome, error) {
	c.mu.Lock()
	e := c.known[key]
	c.mu.Unlock()
	if e == nil {
		return Outcome{}, fault.New(fault.CallerNotFound, "", "", nil)
	}
	select {
	case <-e.done:
		return Outcome{Height: e.at, Error: e.err}, nil
	case <-ctx.Done():
		return Outcome{}, fault.From(ctx.Err())
	}
}

// Open implements Outbox.
func (c *fakeChain) Open(_ context.Context, prefix string) (keys []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.order {
		if e.at == 0 && strings.HasPrefix(e.key, prefix) {
			keys = append(keys, e.key)
		}
	}
	return keys, nil
}

func gone() error { return fault.New(fault.BusyChain, "chain", "", nil) }

// Info implements chain.Port.
func (c *fakeChain) Info(context.Context) (chain.Info, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return chain.Info{}, gone()
	}
	c.looks++
	return chain.Info{Genesis: chain.Hash{99}, Head: chain.Cursor{Height: uint64(len(c.blocks))}, Time: time.Now()}, nil
}

// Account implements chain.Port.
func (c *fakeChain) Account(context.Context, [32]byte) (chain.Account, error) {
	return chain.Account{}, nil
}

// Sign implements chain.Port.
func (c *fakeChain) Sign(chain.Call, chain.Signing) (chain.Tx, error) { return chain.Tx{}, nil }

// Submit implements chain.Port.
func (c *fakeChain) Submit(context.Context, []byte) error { return nil }

// Follow implements chain.Port.
func (c *fakeChain) Follow(ctx context.Context, after chain.Cursor, use func(chain.Block) error) error {
	at := after.Height
	for {
		c.mu.Lock()
		if c.away {
			c.mu.Unlock()
			return gone()
		}
		if at < uint64(len(c.blocks)) {
			b := c.blocks[at]
			c.mu.Unlock()
			at++
			if err := use(b); err != nil {
				return err
			}
			continue
		}
		if c.wait == nil {
			c.wait = make(chan struct{})
		}
		if c.offline == nil {
			c.offline = make(chan struct{})
		}
		wait, offline := c.wait, c.offline
		c.mu.Unlock()
		select {
		case <-wait:
		case <-offline:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leave has the chain away, and come back.
func (c *fakeChain) leave(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
	if away && c.offline != nil {
		close(c.offline)
		c.offline = nil
	}
}

// Query implements chain.Port.
func (c *fakeChain) Query(_ context.Context, path string, _, out any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return gone()
	}
	view := map[string]any{}
	switch path {
	case "PhalaRegistry/worker":
		if !c.registered {
			return fault.New(fault.CallerNotFound, "", "", nil)
		}
		view["pubkey"], view["endpoints"], view["attestation_provider"] = c.worker, c.endpoints, "root"
		view["operator"], view["attested_at"] = c.operator, c.attestedAt.UnixMilli()
		if c.score > 0 {
			view["initial_score"] = c.score
		}
	case "Wapod/worker":
		if d := c.description; d != nil {
			view["description"], view["prices"] = d.Text, map[string]any{"gas_price": d.Prices.Gas, "tip_price": nil}
		}
		if s := c.session; s != nil {
			view["session"] = map[string]any{"session_id": s.ID, "last_nonce": hex.EncodeToString(s.LastNonce), "last_metrics_sn": s.MetricsSN, "last_score_sn": s.ScoreSN}
		}
	case "PhalaComputation/worker":
		view["state"], view["waiting_challenges"] = c.state, c.waiting
	case "Registration/node":
		if !c.node {
			return fault.New(fault.CallerNotFound, "", "", nil)
		}
	}
	b, err := json.Marshal(view)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}
