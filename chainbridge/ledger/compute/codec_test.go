package compute_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/compute"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/ip"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/plans"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/requests"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// vectors is testdata/hippius-compute.json, which another codec made.
type vectors struct {
	Pallets map[string]struct {
		Index byte
		Calls map[string]struct {
			Index byte
			Args  orderedArgs
			// Encoded is left out where an argument is a signature.
			Encoded string
		}
		Storage map[string]struct {
			Kind, Key, Example, Error string
			Hashers                   []string
			KeyType                   string `json:"key_type"`
			ValueType                 string `json:"value_type"`
		}
		Events map[string]struct {
			Index  int
			Fields [][2]string
		}
		Errors map[string]int
	}
}

type argument struct {
	Name  string
	Type  string
	Value any
}

// orderedArgs keeps the order that a JSON object has.
type orderedArgs []argument

func (o *orderedArgs) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		a := argument{Name: name.(string)}
		if err := d.Decode(&a); err != nil {
			return err
		}
		*o = append(*o, a)
	}
	return nil
}

func load[T any](t testing.TB, file string) (v T) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// The account and the hash that the vectors have in their arguments.
const (
	vectorAccount = "d17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69"
	vectorSS58    = "5GoNkf6WdbxCFnPdAnYYQyCjAKPJgLNxXwPjwTh6DGg6gN3E"
)

func snake(s string) string {
	var out strings.Builder
	for _, r := range s {
		if r >= 'A' && r <= 'Z' {
			out.WriteByte('_')
			r += 'a' - 'A'
		}
		out.WriteRune(r)
	}
	return out.String()
}

func find(t testing.TB, pallets []pallet.Pallet, name string) pallet.Pallet {
	t.Helper()
	i := slices.IndexFunc(pallets, func(p pallet.Pallet) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("no pallet %s", name)
	}
	return pallets[i]
}

// encode encodes a call as a chain does.
func encode(p pallet.Pallet, i pallet.Info, c pallet.Call) string {
	return hex.EncodeToString(append([]byte{p.Index, i.Index}, scale.Marshal(c)...))
}

func TestS84CallsEncode(t *testing.T) {
	v := load[vectors](t, "hippius-compute.json")
	seen := 0
	for name, want := range v.Pallets {
		p := find(t, compute.Pallets(), name)
		same(t, want.Index, p.Index)
		for call, w := range want.Calls {
			i := slices.IndexFunc(p.Calls, func(i pallet.Info) bool { return i.Name == call })
			if i < 0 {
				t.Fatalf("no call %s.%s", name, call)
			}
			same(t, w.Index, p.Calls[i].Index)
			args, suffix := map[string]any{}, ""
			for _, a := range w.Args {
				value := a.Value
				switch {
				case a.Type == "SpRuntimeMultiSignature":
					value, suffix = "Sr25519:0x"+strings.Repeat("cd", 64), "01"+strings.Repeat("cd", 64)
				case a.Type == "u64":
					value = json.Number(value.(string))
				case value == vectorSS58:
					value = vectorAccount
				}
				args[snake(a.Name)] = value
			}
			c := p.Calls[i].New()
			if err := pallet.Params(marshal(t, args), c); err != nil {
				t.Fatalf("%s.%s: %v", name, call, err)
			}
			got := encode(p, p.Calls[i], c)
			if suffix == "" {
				same(t, strings.TrimPrefix(w.Encoded, "0x"), got)
			} else { // the arguments before the signature are those of another call with the same ones
				begin := v.Pallets[name].Calls["mark_compute_request_fulfilled"].Encoded
				same(t, fmt.Sprintf("43%02x", w.Index)+begin[6:]+suffix, got)
			}
			back := p.Calls[i].New()
			raw, err := hex.DecodeString(got[4:])
			if err != nil {
				t.Fatal(err)
			}
			if err := scale.Unmarshal(raw, back); err != nil {
				t.Fatalf("%s.%s: %v", name, call, err)
			}
			same(t, c, back)
			seen++
		}
	}
	same(t, 17+8, seen)
}

func TestS84StorageKeys(t *testing.T) {
	v := load[vectors](t, "hippius-compute.json")
	var who pallet.Account
	if err := who.UnmarshalText([]byte(vectorAccount)); err != nil {
		t.Fatal(err)
	}
	const node = "text-node"
	keys := map[string][]byte{
		"Compute.NextRequestId":                requests.NextRequestID.Key(),
		"Compute.ComputeRequests":              requests.ComputeRequests.Key(who),
		"Compute.MinerComputeRequests":         requests.MinerComputeRequests.Key(node),
		"Compute.MinerComputeDeletionRequests": requests.DeletionRequests.Key(node),
		"Compute.MinerComputeStopRequests":     requests.StopRequests.Key(node),
		"Compute.MinerComputeBootRequests":     requests.BootRequests.Key(node),
		"Compute.MinerComputeRebootRequests":   requests.RebootRequests.Key(node),
		"Compute.MinerComputeResizeRequests":   requests.ResizeRequests.Key(node),
		"PalletIp.AvailableHypervisorIps":      ip.AvailableHypervisorIps.Key(),
		"PalletIp.AvailableClientIps":          ip.AvailableClientIps.Key(),
		"PalletIp.AvailableStorageMinerIps":    ip.AvailableStorageMinerIps.Key(),
		"PalletIp.VmAvailableIps":              ip.VMAvailableIps.Key(),
		"PalletIp.AssignedVmIps":               ip.AssignedVMIps.Key(),
		"PalletIp.AssignedClientIps":           ip.AssignedClientIps.Key(),
		"PalletIp.IpToRole":                    ip.IPToRole.Key(node),
		"PalletIp.IpReleaseRequests":           ip.IPReleaseRequests.Key(),
	}
	for name, p := range v.Pallets {
		for item, w := range p.Storage {
			if item == "palletVersion" || w.Error != "" {
				continue // the first is Substrate's own, the others the vectors do not have
			}
			key, ok := keys[name+"."+item]
			if !ok {
				t.Fatalf("no storage %s.%s", name, item)
			}
			same(t, strings.TrimPrefix(w.Key, "0x"), hex.EncodeToString(key))
			delete(keys, name+"."+item)
		}
	}
	same(t, 0, len(keys))
	// RoleToIp, whose key is an enum.
	same(t, "00"+"0c"+"616263", hex.EncodeToString(ip.RoleToIP.Key(ip.RoleType{Kind: ip.Hypervisor, Name: "abc"})[48:]))
	same(t, "01"+vectorAccount, hex.EncodeToString(ip.RoleToIP.Key(ip.RoleType{Kind: ip.Client, Account: who})[48:]))
}

func TestS84EventsAndErrors(t *testing.T) {
	v := load[vectors](t, "hippius-compute.json")
	for name, want := range v.Pallets {
		p := find(t, compute.Pallets(), name)
		for event, w := range want.Events {
			same(t, event, p.Events[w.Index])
		}
		for e, w := range want.Errors {
			same(t, e, p.Errors[w])
		}
	}
}

// layouts is testdata/metadata-layouts.json: the layouts of the original's types, each with values and their encoding.
type layouts struct {
	Records map[string][]struct {
		Value   json.RawMessage
		Encoded string
	}
	Pallets map[string]struct {
		Index byte
		Calls map[string]struct {
			Index   byte
			Args    json.RawMessage
			Encoded string
		}
		Events  [][]string
		Errors  []string
		Storage map[string]string
	}
}

func TestS84Records(t *testing.T) {
	l := load[layouts](t, "metadata-layouts.json")
	records := map[string]func() any{
		"ComputeRequest":              func() any { return new(requests.ComputeRequest) },
		"MinerComputeRequest":         func() any { return new(requests.MinerComputeRequest) },
		"MinerComputeDeletionRequest": func() any { return new(requests.SideRequest) },
		"MinerComputeStopRequest":     func() any { return new(requests.SideRequest) },
		"MinerComputeBootRequest":     func() any { return new(requests.SideRequest) },
		"MinerComputeRebootRequest":   func() any { return new(requests.SideRequest) },
		"MinerComputeResizeRequest":   func() any { return new(requests.ResizeRequest) },
		"IpReleaseRequest":            func() any { return new(ip.IpReleaseRequest) },
		"NodeInfo":                    func() any { return new(nodes.NodeInfo) },
		"NodeMetricsData":             func() any { return new(nodes.NodeMetricsData) },
		"OfflineStatus":               func() any { return new(nodes.OfflineStatus) },
		"SystemInfo":                  func() any { return new(nodes.SystemInfo) },
		"Plan":                        func() any { return new(plans.Plan) },
		"UserPlanSubscription":        func() any { return new(plans.UserPlanSubscription) },
		"ImageDetails":                func() any { return new(plans.ImageDetails) },
	}
	same(t, slices.Sorted(maps.Keys(l.Records)), slices.Sorted(maps.Keys(records)))
	for name, list := range l.Records {
		for _, w := range list {
			r := records[name]()
			if err := pallet.Params(w.Value, r); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			same(t, w.Encoded, hex.EncodeToString(scale.Marshal(r)))
			back := records[name]()
			raw, err := hex.DecodeString(w.Encoded)
			if err != nil {
				t.Fatal(err)
			}
			if err := scale.Unmarshal(raw, back); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			same(t, parsed(t, w.Value), parsed(t, marshal(t, back))) // no field is missing
		}
	}
}

// Calls of the original that this chain does not have: they are about what it does not have.
var missing = strings.Fields(`enable_vms_backup disable_vms_backup storage_request storage_unpin_request set_price_per_gb set_bandwidth_price
	process_storage_request_approval chargeback create_referral_code change_referral_code fulfill_locked_credits set_lock_period
	set_min_lock_amount set_node_status_to_degraded_unsigned`)

func TestS84AllPallets(t *testing.T) {
	l := load[layouts](t, "metadata-layouts.json")
	all := compute.Pallets()
	same(t, len(l.Pallets), len(all))
	for name, want := range l.Pallets {
		p := find(t, all, name)
		same(t, want.Index, p.Index)
		for i, e := range want.Events {
			same(t, e[0], p.Events[i])
		}
		same(t, want.Errors, p.Errors[:len(want.Errors)])
		for call, w := range want.Calls {
			i := slices.IndexFunc(p.Calls, func(i pallet.Info) bool { return i.Name == call })
			if i < 0 {
				if !slices.Contains(missing, call) {
					t.Errorf("no call %s.%s", name, call)
				}
				continue
			}
			c := p.Calls[i].New()
			if err := pallet.Params(w.Args, c); err != nil {
				t.Fatalf("%s.%s: %v", name, call, err)
			}
			same(t, w.Encoded, encode(p, p.Calls[i], c))
			same(t, parsed(t, w.Args), parsed(t, marshal(t, c)))
		}
		indices := map[byte]string{}
		for _, i := range p.Calls {
			if other, ok := indices[i.Index]; ok {
				t.Errorf("%s and %s of %s have an index", i.Name, other, name)
			}
			indices[i.Index] = i.Name
			for call, w := range want.Calls {
				if w.Index == i.Index && call != i.Name {
					t.Errorf("%s.%s has the index of %s", name, i.Name, call)
				}
			}
		}
	}
}

// What statuses are called, and their numbers.
func TestS84Statuses(t *testing.T) {
	for i, name := range strings.Fields("Pending Stopped InProgress Running Failed Cancelled") {
		var s requests.Status
		if err := s.UnmarshalText([]byte(name)); err != nil || int(s) != i || s.String() != name {
			t.Errorf("%s is %d (%v)", name, s, err)
		}
	}
	var s requests.Status
	if scale.Unmarshal([]byte{6}, &s) == nil || s.UnmarshalText([]byte("Paused")) == nil {
		t.Error("a status that there is not")
	}
}

func marshal(t testing.TB, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parsed reads JSON with numbers of any size.
func parsed(t testing.TB, b []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// FuzzCalls decodes calls as a chain does and runs them, whoever signed. Nothing may panic, and what a decoder takes it writes again.
func FuzzCalls(f *testing.F) {
	l := load[layouts](f, "metadata-layouts.json")
	for _, p := range l.Pallets {
		for _, c := range p.Calls {
			b, err := hex.DecodeString(c.Encoded)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, byte(0))
			f.Add(b, byte(1))
		}
	}
	all := compute.Pallets()
	f.Fuzz(func(t *testing.T, b []byte, who byte) {
		if len(b) < 2 {
			return
		}
		for _, p := range all {
			for _, i := range p.Calls {
				if p.Index != b[0] || i.Index != b[1] {
					continue
				}
				c := i.New()
				if scale.Unmarshal(b[2:], c) != nil {
					continue
				}
				if again := scale.Marshal(c); !bytes.Equal(again, b[2:]) {
					t.Fatalf("%s.%s: read %x, wrote %x", p.Name, i.Name, b[2:], again)
				}
				j := i.New()
				if err := pallet.Params(marshal(t, c), j); err != nil {
					t.Fatalf("%s.%s in JSON: %v", p.Name, i.Name, err)
				}
				if diff := cmp.Diff(c, j); diff != "" {
					t.Fatalf("%s.%s in JSON (-want +got)\n%s", p.Name, i.Name, diff)
				}
				ch := newChain(t, nil)
				o := signed(account(who))
				if who == 0 {
					o = root
				}
				_ = ch.as(o, c)
				ch.next(1)
			}
		}
	})
}

// FuzzViews asks all views with any parameters.
func FuzzViews(f *testing.F) {
	f.Add([]byte(`{"limit":1,"after":"1","owner":"` + vectorAccount + `","status":"Pending"}`))
	f.Add([]byte(`{"node_id":"x"}`))
	f.Add([]byte(`{"request_id":"1"}`))
	f.Add([]byte(`{"miner_node_id":"` + id(miner1) + `"}`))
	f.Add([]byte(`{"account":"` + vectorAccount + `","plan_id":"` + vectorAccount + `"}`))
	c := running(f)
	f.Fuzz(func(t *testing.T, params []byte) {
		for _, p := range c.pallets {
			for _, v := range p.Views {
				answer, err := v.Run(c.context(pallet.Origin{}), params)
				if err == nil {
					marshal(t, answer)
				}
			}
		}
		if len(c.store.Changes()) != 0 {
			t.Fatal("a view changed the state")
		}
	})
}

// FuzzDescription reads technical descriptions.
func FuzzDescription(f *testing.F) {
	f.Add(description)
	f.Add(`{"gpu":"A100","cpu_cores":1e2}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, s string) {
		n, err := requests.ParseNeeds(s)
		if err != nil && !reflect.ValueOf(n).IsZero() {
			t.Fatal("needs of what is refused")
		}
		if err == nil && (len(s) > requests.MaxDescription || !utf8.ValidString(s) && !json.Valid([]byte(s))) {
			t.Fatal("taken")
		}
	})
}
