package report_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/chain/report"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger"
	"github.com/troupehost/troupe/chainbridge/ledger/compute"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// realm is the ledger itself, with an outbox that gives it each call once.
type realm struct {
	t     *testing.T
	mu    sync.Mutex
	src   *state.Memory
	l     *ledger.Ledger
	gen   pallet.Hash
	keys  map[string]*meter.Key
	nonce map[*meter.Key]uint64

	blocks []chain.Block
	next   chan struct{}
	line   []*sending
	known  map[string]*sending
}

type sending struct {
	key  string
	call chain.Call
	by   *meter.Key
	out  report.Outcome
	done chan struct{}
	at   uint64
}

func newRealm(t *testing.T) *realm {
	r := &realm{t: t, src: state.NewMemory(), keys: map[string]*meter.Key{}, nonce: map[*meter.Key]uint64{}, known: map[string]*sending{}, next: make(chan struct{})}
	for i, name := range []string{"worker", "owner", "sudo"} {
		r.keys[name] = meter.KeyFromSeed([32]byte{byte(i + 1)})
	}
	doc := fmt.Sprintf(`{"name":"test","time_ms":%d,"sudo":"%x","balances":{"%x":"1000000000000000000000"},"pallets":{"PhalaComputation":{"heartbeat_paused":false,"subsidy":"1000000000000000000","block_time_sec":6}}}`,
		time.Now().UnixMilli(), r.keys["sudo"].Public(), r.keys["owner"].Public())
	var err error
	pallets := ledger.Pallets()
	if !slices.ContainsFunc(pallets, func(p pallet.Pallet) bool { return p.Name == "Registration" }) {
		pallets = append(pallets, compute.Pallets()...)
	}
	if r.l, err = ledger.New(r.src, pallets...); err != nil {
		t.Fatal(err)
	}
	res, err := r.l.InitChain([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	r.commit(res)
	r.gen = r.l.Head().Genesis
	return r
}

func (r *realm) commit(res *machine.Result) {
	r.src.Apply(res.Changes)
	if err := r.l.Commit(); err != nil {
		r.t.Error(err)
	}
}

// mine makes a block of all that waits.
func (r *realm) mine() {
	r.mu.Lock()
	defer r.mu.Unlock()
	height := uint64(len(r.blocks) + 1)
	b := machine.Block{Height: height, Time: uint64(time.Now().UnixMilli())}
	line := r.line
	r.line = nil
	var in []*sending
	for _, s := range line {
		call, err := r.l.Runtime().EncodeCall(s.call.Pallet, s.call.Name, s.call.Args)
		if err != nil {
			r.t.Errorf("%s: %v", s.key, err)
			s.out.Fault = fault.From(err)
			close(s.done)
			continue
		}
		b.Txs = append(b.Txs, ledger.SignTx(s.by, r.gen, r.nonce[s.by], 0, call))
		r.nonce[s.by]++
		in = append(in, s)
	}
	res, err := r.l.FinalizeBlock(b)
	if err != nil {
		r.t.Error(err)
		return
	}
	r.commit(res)
	out := chain.Block{Cursor: chain.Cursor{Height: height}, Time: time.Now(), Finalized: height}
	for _, e := range res.Events {
		fields, err := json.Marshal(e.Fields)
		if err != nil {
			r.t.Error(err)
		}
		out.Events = append(out.Events, chain.Event{Tx: e.Tx, Pallet: e.Pallet, Name: e.Name, Fields: fields})
	}
	for i, s := range in {
		s.at, s.out.Height = height, height
		if tx := res.Txs[i]; tx.Invalid != nil {
			r.t.Errorf("%s: %v", s.key, tx.Invalid)
		} else if tx.Error != nil {
			s.out.Error = &chain.TxError{Pallet: tx.Error.Pallet, Name: tx.Error.Name, Detail: tx.Error.Detail}
			r.t.Errorf("%s: %s.%s %s", s.key, tx.Error.Pallet, tx.Error.Name, tx.Error.Detail)
		}
		close(s.done)
	}
	r.blocks = append(r.blocks, out)
	close(r.next)
	r.next = make(chan struct{})
}

// do has somebody send a call, and waits for its block.
func (r *realm) do(who, pallet, name string, args string) {
	r.t.Helper()
	key := fmt.Sprintf("%s/%s/%d", who, name, time.Now().UnixNano())
	if who == "sudo" {
		inner, err := r.l.Runtime().EncodeCall(pallet, name, json.RawMessage(args))
		if err != nil {
			r.t.Fatalf("%s: %v", key, err)
		}
		pallet, name, args = "Sudo", "sudo", `{"call":"0x`+hex.EncodeToString(inner)+`"}`
	}
	<-r.put(key, chain.Call{Pallet: pallet, Name: name, Args: json.RawMessage(args)}, r.keys[who]).done
}

func (r *realm) put(key string, call chain.Call, by *meter.Key) *sending {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.known[key]
	if s == nil {
		s = &sending{key: key, call: call, by: by, done: make(chan struct{})}
		r.known[key] = s
		r.line = append(r.line, s)
	}
	return s
}

func (r *realm) Send(_ context.Context, _ report.Duty, key string, call chain.Call) error {
	r.put(key, call, r.keys["worker"])
	return nil
}

func (r *realm) Wait(ctx context.Context, key string) (report.Outcome, error) {
	r.mu.Lock()
	s := r.known[key]
	r.mu.Unlock()
	if s == nil {
		return report.Outcome{}, fault.New(fault.CallerNotFound, "", "", nil)
	}
	select {
	case <-s.done:
		return s.out, nil
	case <-ctx.Done():
		return report.Outcome{}, fault.From(ctx.Err())
	}
}

func (r *realm) Open(_ context.Context, prefix string) (keys []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.line {
		if strings.HasPrefix(s.key, prefix) {
			keys = append(keys, s.key)
		}
	}
	return keys, nil
}

func (r *realm) Info(context.Context) (chain.Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return chain.Info{Genesis: chain.Hash(r.gen), Head: chain.Cursor{Height: uint64(len(r.blocks))}, Time: time.Now()}, nil
}

func (r *realm) Account(context.Context, [32]byte) (a chain.Account, err error) { return a, nil }

func (r *realm) Sign(chain.Call, chain.Signing) (tx chain.Tx, err error) { return tx, nil }

func (r *realm) Submit(context.Context, []byte) error { return nil }

func (r *realm) Follow(ctx context.Context, after chain.Cursor, use func(chain.Block) error) error {
	for at := after.Height; ; {
		r.mu.Lock()
		next := r.next
		var b *chain.Block
		if at < uint64(len(r.blocks)) {
			b = &r.blocks[at]
		}
		r.mu.Unlock()
		if b != nil {
			at++
			if err := use(*b); err != nil {
				return err
			}
			continue
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *realm) Query(_ context.Context, path string, params, out any) error {
	b, err := json.Marshal(params)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	answer, err := r.l.Query(path, b)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// view asks for one member of a view.
func (r *realm) view(path, params, member string) string {
	r.t.Helper()
	var out map[string]json.RawMessage
	if err := r.Query(context.Background(), path, json.RawMessage(params), &out); err != nil {
		return err.Error()
	}
	return strings.Trim(string(out[member]), `"`)
}

// TestW75W76W77Ledger has the reporter serve the real ledger: a worker is registered and scored, its app is paid to the last unit of gas, it
// computes and answers challenges in the block after them, it loses its session and goes on, and no call of it fails.
func TestW75W76W77Ledger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRealm(t)
		stop := make(chan struct{})
		var mined sync.WaitGroup
		mined.Go(func() {
			for tick := time.NewTicker(6 * time.Second); ; {
				select {
				case <-tick.C:
					r.mine()
				case <-stop:
					tick.Stop()
					return
				}
			}
		})
		host := report.NewFakeHost(r.keys["worker"])
		owner := r.keys["owner"].Public()
		host.Operator = &owner
		host.SetTickets()
		r.do("sudo", "Wapod", "benchmark_app_set", `{"address":"`+hex.EncodeToString(append([]byte{5}, make([]byte, 31)...))+`","cid":"x","ratio":{"numerator":1,"denominator":10}}`)
		sys, err := kernel.New(kernel.Config{Log: zerolog.New(zerolog.NewTestWriter(t))})
		if err != nil {
			t.Fatal(err)
		}
		worker := `{"worker":"` + hex.EncodeToString(sliceOf(r.keys["worker"].Public())) + `"}`
		key := hex.EncodeToString(sliceOf(r.keys["worker"].Public()))
		ref, err := report.Spawn(sys, report.Config{Settings: report.Settings{Operator: owner, Node: key, Interval: time.Minute, LookEvery: 20 * time.Second},
			Chain: r, Outbox: r, Worker: host, Claims: host, Watcher: host})
		if err != nil {
			t.Fatal(err)
		}
		until := func(what string, ok func() bool) {
			t.Helper()
			for range 200 {
				if ok() {
					return
				}
				<-time.After(time.Second)
			}
			st, _ := kernel.Ask(context.Background(), ref, func(q kernel.Reply[inspect.Reporter]) report.Message { return report.Status{Reply: q} })
			t.Errorf("%s: never; %+v", what, st)
		}
		until("a score", func() bool { return r.view("PhalaRegistry/worker", worker, "initial_score") == "300" })
		until("metrics of the node", func() bool {
			return r.view("ExecutionUnit/get_node_metrics", `{"node_id":"`+key+`"}`, "cpu_cores") == "2"
		})
		until("a description", func() bool { return r.view("Wapod/worker", worker, "description") == "one" })

		r.do("worker", "Wapod", "worker_list_create", `{"description":"l","prices":{"gas_price":"3"},"init_workers":["`+key+`"]}`)
		app := hex.EncodeToString(append([]byte{1}, make([]byte, 31)...))
		r.do("owner", "Wapod", "ticket_create", `{"deposit":"1000","address":"`+app+`","manifest_cid":"m","worker_list":0,"prices":{}}`)
		var tickets struct {
			Items []struct {
				ID uint64 `json:"id"`
			} `json:"items"`
		}
		if err := r.Query(context.Background(), "Wapod/tickets", json.RawMessage(`{"list":0}`), &tickets); err != nil || len(tickets.Items) != 1 {
			t.Fatalf("%+v, %v", tickets, err)
		}
		id := tickets.Items[0].ID
		balance := func() string {
			var out json.RawMessage
			_ = r.Query(context.Background(), "Wapod/ticket", map[string]any{"id": id}, &out)
			var v struct {
				Balance string `json:"balance"`
			}
			_ = json.Unmarshal(out, &v)
			return v.Balance
		}
		host.SetTickets(id)
		host.SetGas(100)
		until("the first payment", func() bool { b := balance(); return b == "1000" || b == "700" })
		<-time.After(2 * time.Minute)
		before := balance()
		host.SetGas(200)
		if _, err := kernel.Ask(context.Background(), ref, func(q kernel.Reply[report.Settled]) report.Message { return report.ReportNow{Reply: q} }); err != nil {
			t.Error(err)
		}
		if after := balance(); before == after {
			t.Errorf("the ticket had %s, and has %s", before, after)
		}

		r.do("owner", "PhalaStakePoolv2", "create", `{}`)
		r.do("owner", "PhalaStakePoolv2", "add_worker", `{"pid":0,"pubkey":"`+key+`"}`)
		r.do("owner", "PhalaStakePoolv2", "contribute", `{"pid":0,"amount":"10000000000000000","as_vault":null}`)
		r.do("owner", "PhalaStakePoolv2", "start_computing", `{"pid":0,"worker":"`+key+`","stake":"5000000000000000"}`)
		until("computing", func() bool { return r.view("PhalaComputation/worker", worker, "state") == "WorkerIdle" })
		<-time.After(30 * time.Second)
		r.do("sudo", "PhalaComputation", "force_heartbeat", `{}`)
		until("an answer", func() bool { return r.view("PhalaComputation/worker", worker, "last_heartbeat") != "null" })
		// The first answer tells the chain from where to count, so there is a second one.
		st, err := kernel.Ask(context.Background(), ref, func(q kernel.Reply[inspect.Reporter]) report.Message { return report.Status{Reply: q} })
		if err != nil || st.Heartbeat.Hits == 0 || st.Heartbeat.Answered == 0 || st.Heartbeat.Blocks > 2 || st.Heartbeat.MaxLatency > 0 {
			t.Errorf("%+v, %v", st.Heartbeat, err)
		}

		session := r.view("Wapod/worker", worker, "session")
		host.Lose()
		_ = ref.Send(report.Nudge{})
		until("another session", func() bool { return r.view("Wapod/worker", worker, "session") != session })
		host.SetGas(1000)
		until("a ticket that is empty", func() bool { return len(host.Unpaids()) > 0 })
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		close(stop)
		mined.Wait()
	})
}

func sliceOf(k [32]byte) []byte { return k[:] }
