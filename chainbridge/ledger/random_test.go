package ledger

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// crowd makes up calls that could well be right: it has accounts and workers, remembers what events have named, and knows how the
// messages of workers are made. What it knows of calls it finds in their types, so pallets that are added are driven too.
type crowd struct {
	*rand.Rand
	genesis pallet.Hash
	time    uint64
	root    *meter.Key // of governance; it signs nothing else
	spare   *meter.Key // spends all that it gets
	actors  []*meter.Key
	workers []*worker
	apps    []pallet.Hash
	seen    map[string][]any // by field name: what events have said, the newest at random places
	owned   map[string][]owned
	invited []invitation
	asked   []*ask
	query   func(path, params string) map[string]any
}

// owned is something of an account.
type owned struct {
	id    uint64
	owner *meter.Key
	about string // the address of a ticket
}

// ask is a request for compute.
type ask struct{ id, owner, plan, miner string }

// invitation asks a worker to join a list.
type invitation struct{ list, worker, number any }

// worker is somebody who reports.
type worker struct {
	key     *meter.Key
	nonce   [32]byte // the last
	session [32]byte
	sn      uint64
	used    map[pallet.Hash]*meter.Metrics
}

// maxSeen bounds what is remembered of a field.
const maxSeen = 64

func newCrowd(seed uint64) *crowd {
	w := &crowd{Rand: rand.New(rand.NewPCG(seed, 7)), root: key(1), spare: key(2), seen: map[string][]any{}, owned: map[string][]owned{}}
	for i := range byte(8) {
		w.actors = append(w.actors, key(10+i))
	}
	for i := range byte(4) {
		k := key(100 + i)
		w.actors = append(w.actors, k)
		w.workers = append(w.workers, &worker{key: k, used: map[pallet.Hash]*meter.Metrics{}})
		w.apps = append(w.apps, pallet.Hash{50 + i})
	}
	return w
}

func pick[V any](w *crowd, of []V) V { return of[w.IntN(len(of))] }

// odds says yes once in n times.
func (w *crowd) odds(n int) bool { return w.IntN(n) == 0 }

// learn remembers what a block has told.
func (w *crowd) learn(res *machine.Result) {
	for _, e := range res.Events {
		b, err := json.Marshal(e.Fields)
		if err != nil {
			panic(err)
		}
		var fields map[string]any
		if json.Unmarshal(b, &fields) == nil {
			w.follow(e.Name, fields)
			w.remember(e.Pallet, fields)
		}
	}
}

// follow looks for what scripts need: who owns what, who is invited, and who asks for what.
func (w *crowd) follow(event string, fields map[string]any) {
	switch event {
	case "PoolCreated", "WorkerListCreated", "TicketCreated":
		who, _ := fields["owner"].(string)
		for _, name := range []string{"pid", "list", "id"} {
			id, ok := fields[name].(float64)
			if ok && (name != "list" || event == "WorkerListCreated") {
				w.owned[event] = append(w.owned[event], owned{uint64(id), w.byName(who), fmt.Sprint(fields["address"])})
			}
		}
	case "WorkersInvited":
		workers, _ := fields["workers"].([]any)
		numbers, _ := fields["invitations"].([]any)
		for i := range min(len(workers), len(numbers)) {
			w.invited = append(w.invited, invitation{fields["list"], workers[i], numbers[i]})
		}
		w.invited = w.invited[max(0, len(w.invited)-20):]
	case "ComputeRequestCreated":
		w.asked = append(w.asked[max(0, len(w.asked)-20):], &ask{id: fmt.Sprint(fields["request_id"]), owner: fmt.Sprint(fields["owner"]), plan: fmt.Sprint(fields["plan_id"])})
	case "ComputeRequestSubmitted":
		for _, a := range w.asked {
			if a.id == fields["request_id"] {
				a.miner = fmt.Sprint(fields["miner"])
			}
		}
	}
}

// byName returns the key of an account, nil if it is nobody's.
func (w *crowd) byName(name string) *meter.Key {
	for _, k := range w.actors {
		if k.String() == name {
			return k
		}
	}
	return nil
}

// session asks the chain for the last nonce and the session of a worker.
func (w *crowd) session(who *worker) {
	var nonce, session pallet.Hash
	shown := w.query("Wapod/worker", fmt.Sprintf(`{"worker":"%s"}`, who.key))
	if s, ok := shown["session"].(map[string]any); ok {
		_ = nonce.UnmarshalText([]byte(fmt.Sprint(s["last_nonce"])))
		_ = session.UnmarshalText([]byte(fmt.Sprint(s["session_id"])))
	}
	if session != who.session {
		who.sn = 0
	}
	who.nonce, who.session = nonce, session
}

// mine chooses something that was made, one of the last, and its owner.
func (w *crowd) mine(event string, of int) (owned, bool) {
	return w.about(event, "", of)
}

// about is mine of what is about something.
func (w *crowd) about(event, what string, of int) (owned, bool) {
	list := w.owned[event]
	if what != "" {
		list = slices.DeleteFunc(slices.Clone(list[max(0, len(list)-8*of):]), func(o owned) bool { return o.about != what })
	}
	if len(list) == 0 {
		return owned{}, false
	}
	return pick(w, list[max(0, len(list)-of):]), true
}

func (w *crowd) remember(of string, fields map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		v := fields[name]
		switch v := v.(type) {
		case map[string]any:
			w.remember(of, v)
			continue
		case []any:
			if len(v) > 0 {
				w.remember(of, map[string]any{name: v[0]})
			}
			continue
		}
		if name == "id" { // of what, the pallet knows
			w.note(of+".id", v)
		}
		w.note(name, v)
	}
}

func (w *crowd) note(name string, v any) {
	if list := w.seen[name]; len(list) < maxSeen {
		w.seen[name] = append(list, v)
	} else {
		list[w.IntN(maxSeen)] = v
	}
}

// recall returns something that was said under the name, or nil.
func (w *crowd) recall(name string) any {
	for _, name := range []string{name, name + "_id", strings.TrimSuffix(name, "_id"), strings.TrimSuffix(name, "s"), "id"} {
		if list := w.seen[name]; len(list) > 0 && !w.odds(5) {
			return pick(w, list)
		}
	}
	return nil
}

// call fills a call in, and returns who should sign it.
func (w *crowd) call(name string, c pallet.Call) *meter.Key {
	signer := pick(w, w.actors)
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Tag.Get("scale") != "-" {
			w.fill(v.Field(i), fieldName(f), 0)
		}
	}
	if known := script(name); known != nil && (!w.odds(10) || name == "Balances.transfer_all") {
		if who := known(w, v); who != nil {
			signer = who
		}
	}
	return signer
}

// fill makes a value up.
func (w *crowd) fill(v reflect.Value, name string, depth int) {
	switch p := v.Addr().Interface().(type) {
	case *pallet.Account:
		*p = w.account(name)
		return
	case *pallet.Hash:
		*p = w.hash(name)
		return
	case *pallet.Balance:
		*p = w.balance()
		return
	case *pallet.Bytes:
		*p = w.bytes(name)
		return
	case scale.Value:
		for range 8 { // enums and the like say no to most
			d := scale.NewDecoder(append([]byte{byte(w.IntN(8))}, w.noise(64)...))
			fresh := reflect.New(v.Type())
			if scale.Read(d, fresh.Interface()); d.Err() == nil {
				v.Set(fresh.Elem())
				return
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(w.odds(2))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(w.number(name) & (math.MaxUint64 >> (64 - v.Type().Bits())))
	case reflect.Int64:
		v.SetInt(int64(w.number(name)))
	case reflect.String:
		v.SetString(w.text(name))
	case reflect.Pointer:
		if !w.odds(3) {
			v.Set(reflect.New(v.Type().Elem()))
			w.fill(v.Elem(), name, depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			w.fill(v.Index(i), name, depth+1)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(w.bytes(name))
			return
		}
		n := w.IntN(4)
		if w.odds(50) {
			n = 40
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			w.fill(v.Index(i), name, depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("scale") != "-" {
				w.fill(v.Field(i), fieldName(f), depth+1)
			}
		}
	}
}

func (w *crowd) account(name string) pallet.Account {
	switch {
	case strings.Contains(name, "worker") || strings.Contains(name, "pubkey") || strings.Contains(name, "session"):
		return account(pick(w, w.workers).key)
	case w.odds(10):
		return pallet.Account(w.hash(name))
	case w.odds(10):
		return account(w.spare)
	}
	return account(pick(w, w.actors))
}

func (w *crowd) hash(name string) (h pallet.Hash) {
	if strings.Contains(name, "address") || w.odds(3) {
		return pick(w, w.apps)
	}
	if s, ok := w.recall(name).(string); ok && h.UnmarshalText([]byte(s)) == nil {
		return h
	}
	return pallet.Hash(w.noise(32))
}

func (w *crowd) balance() pallet.Balance {
	switch n := w.IntN(100); {
	case n < 50:
		return pallet.Units(w.Uint64N(1000))
	case n < 80:
		return pallet.Units(w.Uint64N(1_000_000_000))
	case n < 95:
		return pallet.Units(w.Uint64N(1_000_000_000_000_000))
	case n < 98:
		return pallet.Balance{Lo: w.Uint64(), Hi: w.Uint64()}
	}
	return pallet.Balance{Lo: math.MaxUint64, Hi: math.MaxUint64}
}

func (w *crowd) number(name string) uint64 {
	if n, ok := w.recall(name).(float64); ok && n >= 0 && n < 1<<53 && !w.odds(4) {
		return uint64(n)
	}
	switch n := w.IntN(100); {
	case n < 70:
		return w.Uint64N(8)
	case n < 90:
		return w.Uint64N(2000)
	case n < 95:
		return w.time + w.Uint64N(100_000)
	}
	return w.Uint64() >> w.IntN(64)
}

func (w *crowd) text(name string) string {
	switch {
	case strings.Contains(name, "node") && !w.odds(8):
		p := account(pick(w, w.actors))
		return hex.EncodeToString(p[:])
	case strings.Contains(name, "ip") && !w.odds(4):
		return fmt.Sprintf("10.0.0.%d", w.IntN(40))
	}
	if s, ok := w.recall(name).(string); ok && !w.odds(4) {
		return s
	}
	switch w.IntN(10) {
	case 0:
		return strings.Repeat("long ", w.IntN(800))
	case 1:
		return ""
	}
	return fmt.Sprintf("%s-%d", name, w.IntN(10))
}

func (w *crowd) bytes(name string) []byte {
	if s, ok := w.recall(name).(string); ok && !w.odds(4) {
		return []byte(s)
	}
	if w.odds(3) {
		return []byte(w.text(name))
	}
	return w.noise(w.IntN(100))
}

func (w *crowd) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.Uint32())
	}
	return b
}
