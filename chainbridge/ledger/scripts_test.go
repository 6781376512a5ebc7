package ledger

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// script returns what puts into a call what no chance would: messages that workers have signed, in the right order for the most part. It goes by the
// names of fields, and may return who has to sign the transaction.
func script(name string) func(w *crowd, call reflect.Value) *meter.Key {
	if known := workerScripts[name]; known != nil {
		return known
	}
	return computeScripts[name]
}

var workerScripts = map[string]func(w *crowd, call reflect.Value) *meter.Key{
	"Balances.transfer_all": func(w *crowd, call reflect.Value) *meter.Key { // it would leave them all poor
		set(call, "Dest", account(pick(w, w.actors)))
		return w.spare
	},
	"PhalaRegistry.register_worker_v2": func(w *crowd, call reflect.Value) *meter.Key {
		who := pick(w, w.workers)
		operator := account(w.operator(who))
		r := meter.NewRegistration(who.key.Public(), w.genesis, (*[32]byte)(&operator), 0)
		set(call, "Registration", pallet.Bytes(r.Encode()))
		call.FieldByName("Attestation").SetZero()
		return who.key
	},
	"PhalaRegistry.force_register_worker": func(w *crowd, call reflect.Value) *meter.Key {
		who := pick(w, w.workers)
		set(call, "Pubkey", account(who.key))
		set(call, "EcdhPubkey", account(who.key))
		set(call, "Operator", account(w.operator(who)))
		return nil
	},
	"PhalaRegistry.update_worker_endpoint": func(w *crowd, call reflect.Value) *meter.Key {
		payload, sig, err := meter.SignEndpoints(pick(w, w.workers).key, []string{"https://worker.example"}, time.UnixMilli(int64(w.time)))
		if err != nil {
			panic(err)
		}
		set(call, "EndpointPayload", pallet.Bytes(payload))
		set(call, "Signature", pallet.Bytes(sig[:]))
		return nil
	},
	"Wapod.worker_description_set": func(w *crowd, call reflect.Value) *meter.Key {
		who := pick(w, w.workers)
		b, err := meter.SignDescription(who.key, meter.Description{Text: fmt.Sprint(w.IntN(3))})
		if err != nil {
			panic(err)
		}
		set(call, "Signed", pallet.Bytes(b))
		return who.key
	},
	"Wapod.worker_session_update": func(w *crowd, call reflect.Value) *meter.Key {
		who := pick(w, w.workers)
		w.session(who)
		next := [32]byte(w.noise(32))
		recipient := account(pick(w, w.actors))
		b, err := meter.SignSessionUpdate(who.key, meter.SessionUpdate{Session: meter.SessionID(next, who.nonce[:]), Nonce: next, Recipient: recipient[:]})
		if err != nil {
			panic(err)
		}
		set(call, "Signed", pallet.Bytes(b))
		return nil
	},
	"Wapod.worker_list_create": func(w *crowd, call reflect.Value) *meter.Key {
		cheap(w, call)
		return pick(w, w.actors[:3])
	},
	"Wapod.worker_list_add_workers":        ofOwner("WorkerListCreated", "List", 5),
	"Wapod.worker_list_remove_worker":      ofOwner("WorkerListCreated", "List", 5),
	"Wapod.ticket_close":                   ofOwner("TicketCreated", "ID", 12),
	"PhalaStakePoolv2.remove_worker":       staked,
	"PhalaStakePoolv2.set_cap":             ofOwner("PoolCreated", "Pid", 3),
	"PhalaStakePoolv2.set_payout_pref":     ofOwner("PoolCreated", "Pid", 3),
	"PhalaStakePoolv2.claim_owner_rewards": ofOwner("PoolCreated", "Pid", 3),
	"PhalaStakePoolv2.start_computing":     staked,
	"PhalaStakePoolv2.restart_computing":   staked,
	"PhalaStakePoolv2.reclaim_pool_worker": staked,
	"PhalaStakePoolv2.stop_computing":      staked,
	"PhalaStakePoolv2.contribute": func(w *crowd, call reflect.Value) *meter.Key {
		who := ofOwner("PoolCreated", "Pid", 3)(w, call)
		set(call, "Amount", pallet.Units(w.Uint64N(100_000_000_000_000_000)))
		clear(call)
		return who
	},
	"PhalaStakePoolv2.withdraw": func(w *crowd, call reflect.Value) *meter.Key {
		who := ofOwner("PoolCreated", "Pid", 3)(w, call)
		clear(call)
		return who
	},
	"PhalaStakePoolv2.create": func(w *crowd, _ reflect.Value) *meter.Key { return pick(w, w.actors[:2]) },
	"Wapod.worker_list_consent": func(w *crowd, call reflect.Value) *meter.Key {
		if len(w.invited) == 0 {
			return nil
		}
		to := pick(w, w.invited)
		worker := w.byName(fmt.Sprint(to.worker))
		list, _ := to.list.(float64)
		number, _ := to.number.(float64)
		if worker == nil {
			return nil
		}
		set(call, "List", uint64(list))
		set(call, "Worker", account(worker))
		set(call, "Invitation", uint64(number))
		call.FieldByName("Signature").SetZero()
		return worker
	},
	"Wapod.ticket_create": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "Deposit", pallet.Units(w.Uint64N(1_000_000)))
		set(call, "ManifestCID", "Qm"+fmt.Sprint(w.IntN(3)))
		set(call, "Address", pick(w, w.apps))
		if l, ok := w.mine("WorkerListCreated", 5); ok {
			set(call, "WorkerList", l.id)
		}
		cheap(w, call)
		return nil
	},
	"Wapod.ticket_settle": func(w *crowd, call reflect.Value) *meter.Key {
		who := pick(w, w.workers)
		w.session(who)
		who.sn++
		var apps []meter.Metrics
		for _, app := range w.apps[:1+w.IntN(len(w.apps))] {
			m := who.used[app]
			if m == nil || w.odds(30) {
				m = &meter.Metrics{Address: app, Session: [32]byte(w.noise(32))}
				who.used[app] = m
			}
			m.Starts++
			m.RunningTimeMS += w.Uint64N(100_000)
			m.Gas += w.Uint64N(1_000_000)
			m.NetworkEgress += w.Uint64N(1000)
			m.Tip += w.Uint64N(2)
			report := *m
			switch w.IntN(40) {
			case 0: // it falls
				report.Gas /= 2
			case 1: // it jumps
				report.MemoryUsed = w.balance()
				report.StorageWrite = w.Uint64()
			}
			apps = append(apps, report)
		}
		b, err := meter.SignReport(who.key, meter.Token{SN: who.sn, Session: who.session, Nonce: [32]byte(w.noise(32))}, apps)
		if err != nil {
			panic(err)
		}
		set(call, "Signed", pallet.Bytes(b))
		claims := call.FieldByName("ClaimMap")
		claims.Set(reflect.MakeSlice(claims.Type(), len(apps), len(apps)))
		for i := range apps {
			claim := claims.Index(i)
			set(claim, "Address", pallet.Hash(apps[i].Address))
			var tickets []uint64
			for range 1 + w.IntN(3) {
				if ticket, ok := w.about("TicketCreated", pallet.Hash(apps[i].Address).String(), 12); ok {
					tickets = append(tickets, ticket.id)
				}
			}
			set(claim, "Tickets", tickets)
		}
		return nil
	},
	"Wapod.benchmark_score_submit": func(w *crowd, call reflect.Value) *meter.Key {
		who := pick(w, w.workers)
		w.session(who)
		who.sn++
		score := meter.BenchScore{GasPerSecond: w.Uint64N(10_000), GasConsumed: w.time * w.Uint64N(500), Timestamp: w.time / 1000,
			Token: meter.Token{SN: who.sn, Session: who.session}}
		message := meter.SignBenchScore(who.key, pick(w, w.apps[:2]), score)
		set(call, "Signed", pallet.Bytes(message.Encode()))
		return nil
	},
	"Wapod.benchmark_app_add":               benchApp,
	"Wapod.benchmark_app_set":               benchApp,
	"Wapod.benchmark_app_set_recommended":   benchApp,
	"PhalaComputation.unbind":               ofSession,
	"PhalaComputation.force_stop_computing": ofSession,
	"PhalaComputation.force_start_computing": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "Stake", pallet.Units(w.Uint64N(30_000_000_000_000_000)))
		return ofSession(w, call)
	},
	"PhalaStakePoolv2.add_worker": func(w *crowd, call reflect.Value) *meter.Key {
		pool := ofOwner("PoolCreated", "Pid", 3)(w, call)
		for _, who := range w.workers {
			if w.operator(who) == pool && w.odds(2) {
				set(call, "Pubkey", account(who.key))
			}
		}
		return pool
	},
	"PhalaComputation.update_tokenomic": func(w *crowd, call reflect.Value) *meter.Key {
		now, err := json.Marshal(w.query("PhalaComputation/params", "")["tokenomic_parameters"])
		if p := call.FieldByName("NewParams"); err == nil && p.IsValid() { // nonsense would end all computing
			_ = json.Unmarshal(now, p.Addr().Interface())
		}
		return nil
	},
	"PhalaComputation.set_cool_down_expiration": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "Period", w.Uint64N(600))
		return nil
	},
}

func benchApp(w *crowd, call reflect.Value) *meter.Key {
	set(call, "Address", pick(w, w.apps[:2]))
	return nil
}

// ofOwner puts the number of something that was made into a field, and lets its owner sign.
func ofOwner(event, field string, of int) func(w *crowd, call reflect.Value) *meter.Key {
	return func(w *crowd, call reflect.Value) *meter.Key {
		it, ok := w.mine(event, of)
		if !ok {
			return nil
		}
		set(call, field, it.id)
		return it.owner
	}
}

// rare are calls that are made once in so many times: what they make fills the chain, and what they end was long in the making.
var rare = map[string]int{"PhalaStakePoolv2.create": 30, "Wapod.worker_list_create": 5, "Wapod.worker_session_update": 4, "System.remark": 5,
	"PhalaRegistry.set_root": 5, "Wapod.benchmark_app_remove": 10, "Wapod.ticket_close": 2, "PhalaStakePoolv2.stop_computing": 20,
	"PhalaStakePoolv2.remove_worker": 8, "Wapod.worker_list_remove_worker": 4, "PhalaComputation.force_stop_computing": 30,
	"PhalaStakePoolv2.set_cap": 10, "PhalaComputation.unbind": 30, "Sudo.sudo": 5, "SubAccount.add_sub_account": 10,
	"Registration.set_node_type_disabled": 20, "Registration.swap_node_owner": 10, "Registration.force_unregister_coldkey_node": 20,
	"Registration.force_unregister_hotkey_node": 20, "Registration.unregister_node": 10, "Registration.unregister_main_node": 10,
	"Registration.set_node_status_to_degraded": 20, "Registration.force_register_coldkey_node": 5, "Marketplace.set_package_suspension": 4,
	"PalletIp.remove_available_vm_ip": 4, "Compute.cancel_compute_request": 10, "Compute.request_compute_delete": 10,
	"Compute.force_request_compute_delete": 20, "Marketplace.cancel_subscription": 20, "Compute.handle_miner_compute_request_failure": 10}

// often are calls that are made as often as all others of a pallet together: by them money moves.
var often = []string{"Wapod.ticket_settle", "Wapod.benchmark_score_submit", "Wapod.worker_list_consent", "Compute.mark_compute_request_fulfilled"}

// most is how many of what a call makes there are before it becomes a hundred times rarer.
var most = map[string]int{"PhalaStakePoolv2.create": 4, "Wapod.worker_list_create": 6}

// seldom says whether a call is to be left out this time.
func (w *crowd) seldom(name string, made int) bool {
	n := max(rare[name], 1)
	if limit := most[name]; limit > 0 && made >= limit {
		n *= 100
	}
	return !w.odds(n)
}

// operator is whose pools a worker is for.
func (w *crowd) operator(who *worker) *meter.Key { return w.actors[slices.Index(w.workers, who)%2] }

// ofSession names the session of a worker in a pool, which is an account of its own.
func ofSession(w *crowd, call reflect.Value) *meter.Key {
	var session pallet.Account
	shown := w.query("PhalaComputation/worker", fmt.Sprintf(`{"worker":"%s"}`, pick(w, w.workers).key))
	if session.UnmarshalText([]byte(fmt.Sprint(shown["session"]))) == nil {
		set(call, "Session", session)
	}
	return nil
}

// staked names a worker, the pool that it is in, and a stake; the owner of the pool signs.
func staked(w *crowd, call reflect.Value) *meter.Key {
	who := pick(w, w.workers)
	set(call, "Worker", account(who.key))
	set(call, "Stake", pallet.Units(w.Uint64N(30_000_000_000_000_000)))
	shown := w.query("PhalaComputation/worker", fmt.Sprintf(`{"worker":"%s"}`, who.key))
	pid, ok := shown["pid"].(float64)
	if !ok {
		return nil
	}
	set(call, "Pid", uint64(pid))
	for _, pool := range w.owned["PoolCreated"] {
		if pool.id == uint64(pid) {
			return pool.owner
		}
	}
	return nil
}

// cheap makes prices small, for the most part: others run a ticket dry at once.
func cheap(w *crowd, call reflect.Value) {
	prices := call.FieldByName("Prices")
	if !prices.IsValid() || w.odds(10) {
		return
	}
	for i := range prices.NumField() {
		if p, ok := prices.Field(i).Interface().(*pallet.Balance); ok && p != nil {
			*p = pallet.Units(w.Uint64N(5))
		}
	}
}

// clear leaves all options out.
func clear(call reflect.Value) {
	for i := range call.NumField() {
		if f := call.Field(i); f.Kind() == reflect.Pointer {
			f.SetZero()
		}
	}
}

// set fills in a field that a call has, if it has one of that name and type.
func set(call reflect.Value, name string, v any) {
	f := call.FieldByName(name)
	if !f.IsValid() {
		return
	}
	given := reflect.ValueOf(v)
	switch {
	case given.Type() == f.Type():
		f.Set(given)
	case f.Kind() == reflect.Pointer && given.Type() == f.Type().Elem():
		f.Set(reflect.New(given.Type()))
		f.Elem().Set(given)
	case given.CanConvert(f.Type()):
		f.Set(given.Convert(f.Type()))
	}
}

// told is what the genesis of a random chain tells pallets, where there are such.
func told(r *Runtime) map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	for name, what := range map[string]string{
		"PhalaComputation": `{"heartbeat_paused":false,"subsidy":"5000000000000000","cool_down_period_sec":300}`,
		"Wapod":            `{"closing_window":5}`,
	} {
		if p := r.byName[name]; p != nil && p.Genesis != nil {
			all[name] = json.RawMessage(what)
		}
	}
	return all
}
