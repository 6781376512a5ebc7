package ip

import (
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const name = "PalletIp"

// Bounds.
const (
	MaxIPs = 600 // so that all may rest at once in one value
	MaxIP  = 45  // bytes
	MaxVM  = 128 // bytes
)

// ReleasePeriod is how many blocks a released address rests: 15 days of 6 seconds. A genesis may say otherwise.
const ReleasePeriod = 216000

// RoleKind is what an address is used for.
type RoleKind uint8

// The kinds of roles.
const (
	Hypervisor RoleKind = iota
	Client
	VM
	StorageMiner
)

// RoleType is who has an address: a node, a VM, or an account.
type RoleType struct {
	Kind    RoleKind
	Name    string
	Account pallet.Account // of Client
}

// EncodeScale implements scale.Value.
func (r *RoleType) EncodeScale(e *scale.Encoder) {
	e.U8(uint8(r.Kind))
	if r.Kind == Client {
		e.Raw(r.Account[:])
	} else {
		e.String(r.Name)
	}
}

// DecodeScale implements scale.Value.
func (r *RoleType) DecodeScale(d *scale.Decoder) {
	*r = RoleType{Kind: RoleKind(d.Enum(uint8(StorageMiner)))}
	if r.Kind == Client {
		d.Fixed(r.Account[:])
	} else {
		r.Name = d.String(MaxVM)
	}
}

type roleJSON struct {
	Hypervisor   *string         `json:"Hypervisor,omitempty"`
	Client       *pallet.Account `json:"Client,omitempty"`
	Vm           *string         `json:"Vm,omitempty"`
	StorageMiner *string         `json:"StorageMiner,omitempty"`
}

// MarshalJSON makes an object with one field, as the original has it.
func (r RoleType) MarshalJSON() ([]byte, error) {
	switch r.Kind {
	case Hypervisor:
		return json.Marshal(roleJSON{Hypervisor: &r.Name})
	case Client:
		return json.Marshal(roleJSON{Client: &r.Account})
	case VM:
		return json.Marshal(roleJSON{Vm: &r.Name})
	}
	return json.Marshal(roleJSON{StorageMiner: &r.Name})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *RoleType) UnmarshalJSON(b []byte) error {
	var j roleJSON
	if err := pallet.Params(b, &j); err != nil {
		return err
	}
	switch {
	case j.Client != nil:
		*r = RoleType{Kind: Client, Account: *j.Client}
	case j.Vm != nil:
		*r = RoleType{Kind: VM, Name: *j.Vm}
	case j.StorageMiner != nil:
		*r = RoleType{Kind: StorageMiner, Name: *j.StorageMiner}
	case j.Hypervisor != nil:
		*r = RoleType{Kind: Hypervisor, Name: *j.Hypervisor}
	}
	return nil
}

// IpReleaseRequest is an address in quarantine.
type IpReleaseRequest struct {
	VMName    string   `json:"vm_name" scale:"max=128"`
	IP        string   `json:"ip" scale:"max=45"`
	CreatedAt uint64   `json:"created_at"`
	RoleType  RoleType `json:"role_type"`
}

// The storage of PalletIp.
var (
	AvailableHypervisorIps   = state.NewItem[[]string](name, "AvailableHypervisorIps")
	AvailableClientIps       = state.NewItem[[]string](name, "AvailableClientIps")
	AvailableStorageMinerIps = state.NewItem[[]string](name, "AvailableStorageMinerIps")
	VMAvailableIps           = state.NewItem[[]string](name, "VmAvailableIps")
	AssignedVMIps            = state.NewItem[[]string](name, "AssignedVmIps")
	AssignedClientIps        = state.NewItem[[]string](name, "AssignedClientIps")
	IPToRole                 = state.NewMap[string, RoleType](name, "IpToRole")
	RoleToIP                 = state.NewMap[RoleType, string](name, "RoleToIp")
	IPReleaseRequests        = state.NewItem[[]IpReleaseRequest](name, "IpReleaseRequests") // the oldest first

	known    = state.NewMap[string, bool](name, "Known")      // all addresses, wherever they are
	count    = state.NewItem[uint32](name, "Count")           // of known
	reserved = state.NewMap[string, string](name, "Reserved") // for what
	holders  = state.NewMap[string, string](name, "Holders")  // reserved, the other way round
	period   = state.NewItem[uint64](name, "ReleasePeriod")
	due      = state.NewItem[uint64](name, "Due") // when the oldest of IPReleaseRequests is back
)

// pools are the available addresses by the kind of their role.
var pools = map[RoleKind]state.Item[[]string]{Hypervisor: AvailableHypervisorIps, Client: AvailableClientIps, VM: VMAvailableIps, StorageMiner: AvailableStorageMinerIps}

// Events.
type (
	// Address is the event IpAssigned, IpAdded or IpRemoved.
	Address struct {
		IP string `json:"ip"`
	}
	// AddressOf is the event IpReturned, into quarantine, or IpRetrieved, out of it.
	AddressOf struct {
		VMUUID string `json:"vm_uuid"`
		IP     string `json:"ip"`
	}
)

func fail(err, detail string) error { return pallet.Fail(name, err, detail) }

// add puts an address into a list.
func add(s *state.Store, list state.Item[[]string], ip string) {
	all, _ := list.Get(s)
	list.Put(s, append(all, ip))
}

// take takes an address out of a list, and says whether it was there.
func take(s *state.Store, list state.Item[[]string], ip string) bool {
	all, _ := list.Get(s)
	i := slices.Index(all, ip)
	if i < 0 {
		return false
	}
	list.Put(s, slices.Delete(all, i, i+1))
	return true
}

// Add puts a new address into the pool of a role.
//
// # Errors
//
// PalletIp.InvalidIp, IpAlreadyExists, TooManyIps.
func Add(c *pallet.Context, kind RoleKind, ip string) error {
	addr, err := netip.ParseAddr(ip)
	n, _ := count.Get(c.Store)
	switch {
	case err != nil, addr.String() != ip, addr.Zone() != "":
		return fail("InvalidIp", "an address in its usual form, like 127.0.0.2")
	case known.Has(c.Store, ip):
		return fail("IpAlreadyExists", "")
	case n >= MaxIPs:
		return fail("TooManyIps", "")
	}
	known.Put(c.Store, ip, true)
	count.Put(c.Store, n+1)
	add(c.Store, pools[kind], ip)
	c.Emit(name, "IpAdded", Address{ip})
	return nil
}

// Remove takes an address out of the pool of a role, for good. One that is in use is not in the pool.
//
// # Errors
//
// PalletIp.NoAvailableIp.
func Remove(c *pallet.Context, kind RoleKind, ip string) error {
	if !take(c.Store, pools[kind], ip) {
		return fail("NoAvailableIp", "")
	}
	known.Delete(c.Store, ip)
	n, _ := count.Get(c.Store)
	count.Put(c.Store, n-1)
	c.Emit(name, "IpRemoved", Address{ip})
	return nil
}

// Reserve takes an address for a VM out of the pool, for who asks.
//
// # Errors
//
// PalletIp.NoAvailableIp, VmAlreadyHasIp.
func Reserve(c *pallet.Context, holder string) (string, error) {
	all, _ := VMAvailableIps.Get(c.Store)
	if len(all) == 0 {
		return "", fail("NoAvailableIp", "the pool is empty")
	}
	if holders.Has(c.Store, holder) {
		return "", fail("VmAlreadyHasIp", "one is reserved")
	}
	VMAvailableIps.Put(c.Store, all[1:])
	reserved.Put(c.Store, all[0], holder)
	holders.Put(c.Store, holder, all[0])
	return all[0], nil
}

// Reserved returns what is reserved for a holder.
func Reserved(s *state.Store, holder string) (string, bool) { return holders.Get(s, holder) }

// Unreserve undoes Reserve, if there is something to undo: nobody has used the address, so it does not rest.
func Unreserve(c *pallet.Context, holder string) {
	if ip, ok := holders.Get(c.Store, holder); ok {
		holders.Delete(c.Store, holder)
		reserved.Delete(c.Store, ip)
		add(c.Store, VMAvailableIps, ip)
	}
}

// Assign gives a VM an address: the one that is reserved for the holder, or another one of the pool, and then the holder has none.
//
// # Errors
//
// PalletIp.VmAlreadyHasIp, NoAvailableIp.
func Assign(c *pallet.Context, vm, ip, holder string) error {
	role := RoleType{Kind: VM, Name: vm}
	if RoleToIP.Has(c.Store, role) {
		return fail("VmAlreadyHasIp", "")
	}
	if own, ok := holders.Get(c.Store, holder); ok && own == ip {
		holders.Delete(c.Store, holder)
		reserved.Delete(c.Store, ip)
	} else if !take(c.Store, VMAvailableIps, ip) {
		return fail("NoAvailableIp", "it is not in the pool")
	}
	Unreserve(c, holder)
	IPToRole.Put(c.Store, ip, role)
	RoleToIP.Put(c.Store, role, ip)
	add(c.Store, AssignedVMIps, ip)
	c.Emit(name, "IpAssigned", Address{ip})
	return nil
}

// Release takes the address of a VM away, and lets it rest.
//
// # Errors
//
// PalletIp.VmHasNoIp.
func Release(c *pallet.Context, vm string) (string, error) {
	ip, ok := release(c, RoleType{Kind: VM, Name: vm}, vm, AssignedVMIps)
	if !ok {
		return "", fail("VmHasNoIp", "")
	}
	return ip, nil
}

func release(c *pallet.Context, role RoleType, vm string, assigned state.Item[[]string]) (string, bool) {
	ip, ok := RoleToIP.Get(c.Store, role)
	if !ok {
		return "", false
	}
	RoleToIP.Delete(c.Store, role)
	IPToRole.Delete(c.Store, ip)
	take(c.Store, assigned, ip)
	resting, _ := IPReleaseRequests.Get(c.Store)
	if len(resting) == 0 {
		due.Put(c.Store, c.Height+Period(c.Store))
	}
	IPReleaseRequests.Put(c.Store, append(resting, IpReleaseRequest{vm, ip, c.Height, role}))
	c.Emit(name, "IpReturned", AddressOf{vm, ip})
	return ip, true
}

// AssignClient gives an account an address of the pool of clients.
//
// # Errors
//
// PalletIp.RoleAlreadyHasIp, NoAvailableIp.
func AssignClient(c *pallet.Context, who pallet.Account) (string, error) {
	role := RoleType{Kind: Client, Account: who}
	if RoleToIP.Has(c.Store, role) {
		return "", fail("RoleAlreadyHasIp", "")
	}
	all, _ := AvailableClientIps.Get(c.Store)
	if len(all) == 0 {
		return "", fail("NoAvailableIp", "the pool is empty")
	}
	AvailableClientIps.Put(c.Store, all[1:])
	IPToRole.Put(c.Store, all[0], role)
	RoleToIP.Put(c.Store, role, all[0])
	add(c.Store, AssignedClientIps, all[0])
	c.Emit(name, "IpAssigned", Address{all[0]})
	return all[0], nil
}

// ReleaseClient takes the address of an account away, and lets it rest.
//
// # Errors
//
// PalletIp.VmHasNoIp.
func ReleaseClient(c *pallet.Context, who pallet.Account) error {
	if _, ok := release(c, RoleType{Kind: Client, Account: who}, "", AssignedClientIps); !ok {
		return fail("VmHasNoIp", "")
	}
	return nil
}

// Period returns how many blocks a released address rests.
func Period(s *state.Store) uint64 {
	if p, ok := period.Get(s); ok {
		return p
	}
	return ReleasePeriod
}

// retrieve puts what has rested back into the pools: it is available in this block.
func retrieve(c *pallet.Context) error {
	if at, ok := due.Get(c.Store); !ok || c.Height < at {
		return nil
	}
	resting, _ := IPReleaseRequests.Get(c.Store)
	rest := Period(c.Store)
	n := 0
	for ; n < len(resting) && resting[n].CreatedAt+rest <= c.Height; n++ {
		r := resting[n]
		add(c.Store, pools[r.RoleType.Kind], r.IP)
		c.Emit(name, "IpRetrieved", AddressOf{r.VMName, r.IP})
	}
	if n == len(resting) {
		due.Delete(c.Store)
	} else {
		due.Put(c.Store, resting[n].CreatedAt+rest)
	}
	IPReleaseRequests.Put(c.Store, resting[n:])
	return nil
}
