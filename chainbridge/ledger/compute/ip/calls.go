package ip

import (
	"encoding/json"
	"strings"

	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

func root(c *pallet.Context, do func(*pallet.Context, RoleKind, string) error, kind RoleKind, ip string) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	return do(c, kind, ip)
}

// AddAvailableVmIp adds an address to the pool of VMs.
type AddAvailableVmIp struct {
	IP string `json:"ip" scale:"max=45"`
}

// Run implements pallet.Call.
func (a *AddAvailableVmIp) Run(c *pallet.Context) error { return root(c, Add, VM, a.IP) }

// AddAvailableHypervisorIp adds an address to the pool of hypervisors.
type AddAvailableHypervisorIp struct {
	IP string `json:"ip" scale:"max=45"`
}

// Run implements pallet.Call.
func (a *AddAvailableHypervisorIp) Run(c *pallet.Context) error {
	return root(c, Add, Hypervisor, a.IP)
}

// AddAvailableClientIp adds an address to the pool of clients.
type AddAvailableClientIp struct {
	IP string `json:"ip" scale:"max=45"`
}

// Run implements pallet.Call.
func (a *AddAvailableClientIp) Run(c *pallet.Context) error { return root(c, Add, Client, a.IP) }

// AddAvailableStorageMinerIp adds an address to the pool of storage miners.
type AddAvailableStorageMinerIp struct {
	IP string `json:"ip" scale:"max=45"`
}

// Run implements pallet.Call.
func (a *AddAvailableStorageMinerIp) Run(c *pallet.Context) error {
	return root(c, Add, StorageMiner, a.IP)
}

// RemoveAvailableVmIp removes an address from the pool of VMs.
type RemoveAvailableVmIp struct {
	IP string `json:"ip" scale:"max=45"`
}

// Run implements pallet.Call.
func (a *RemoveAvailableVmIp) Run(c *pallet.Context) error { return root(c, Remove, VM, a.IP) }

// RemoveAvailableHypervisorIp removes an address from the pool of hypervisors.
type RemoveAvailableHypervisorIp struct {
	IP string `json:"ip" scale:"max=45"`
}

// Run implements pallet.Call.
func (a *RemoveAvailableHypervisorIp) Run(c *pallet.Context) error {
	return root(c, Remove, Hypervisor, a.IP)
}

// RemoveAvailableClientIp removes an address from the pool of clients.
type RemoveAvailableClientIp struct {
	IP string `json:"ip" scale:"max=45"`
}

// Run implements pallet.Call.
func (a *RemoveAvailableClientIp) Run(c *pallet.Context) error { return root(c, Remove, Client, a.IP) }

// RemoveAvailableStorageMinerIp removes an address from the pool of storage miners.
type RemoveAvailableStorageMinerIp struct {
	IP string `json:"ip" scale:"max=45"`
}

// Run implements pallet.Call.
func (a *RemoveAvailableStorageMinerIp) Run(c *pallet.Context) error {
	return root(c, Remove, StorageMiner, a.IP)
}

// Pools is where all addresses are.
type Pools struct {
	VM             []string          `json:"vm"`
	Hypervisor     []string          `json:"hypervisor"`
	Client         []string          `json:"client"`
	StorageMiner   []string          `json:"storage_miner"`
	AssignedVM     []string          `json:"assigned_vm"`
	AssignedClient []string          `json:"assigned_client"`
	Reserved       map[string]string `json:"reserved"`   // for which request
	Quarantine     []Resting         `json:"quarantine"` // the oldest first
	ReleasePeriod  uint64            `json:"release_period"`
}

// Resting is an address in quarantine, and when it is back.
type Resting struct {
	IpReleaseRequest
	FreeAt uint64 `json:"free_at"`
}

// All returns where all addresses are.
func All(c *pallet.Context) Pools {
	get := func(kind RoleKind) []string {
		all, _ := pools[kind].Get(c.Store)
		return append([]string{}, all...)
	}
	vms, _ := AssignedVMIps.Get(c.Store)
	clients, _ := AssignedClientIps.Get(c.Store)
	p := Pools{
		VM: get(VM), Hypervisor: get(Hypervisor), Client: get(Client), StorageMiner: get(StorageMiner),
		AssignedVM: append([]string{}, vms...), AssignedClient: append([]string{}, clients...),
		Reserved: map[string]string{}, Quarantine: []Resting{}, ReleasePeriod: Period(c.Store),
	}
	reserved.Each(c.Store, nil, func(ip, holder string) bool {
		p.Reserved[ip] = holder
		return true
	})
	resting, _ := IPReleaseRequests.Get(c.Store)
	for _, r := range resting {
		p.Quarantine = append(p.Quarantine, Resting{r, r.CreatedAt + p.ReleasePeriod})
	}
	return p
}

func viewPools(c *pallet.Context, params json.RawMessage) (any, error) {
	if err := pallet.Params(params, &struct{}{}); err != nil {
		return nil, err
	}
	return All(c), nil
}

func viewIPOfVM(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		VMName string `json:"vm_name"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	var answer struct {
		IP *string `json:"ip"`
	}
	if ip, ok := RoleToIP.Get(c.Store, RoleType{Kind: VM, Name: p.VMName}); ok {
		answer.IP = &ip
	}
	return answer, nil
}

func viewRoleOfIP(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		IP string `json:"ip"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	var answer struct {
		Role *RoleType `json:"role"`
	}
	if role, ok := IPToRole.Get(c.Store, p.IP); ok {
		answer.Role = &role
	}
	return answer, nil
}

func genesis(c *pallet.Context, config json.RawMessage) error {
	var g struct {
		VM            []string `json:"vm"`
		Hypervisor    []string `json:"hypervisor"`
		Client        []string `json:"client"`
		StorageMiner  []string `json:"storage_miner"`
		ReleasePeriod *uint64  `json:"release_period"`
	}
	if err := pallet.Params(config, &g); err != nil {
		return err
	}
	for kind, ips := range [][]string{Hypervisor: g.Hypervisor, Client: g.Client, VM: g.VM, StorageMiner: g.StorageMiner} {
		for _, ip := range ips {
			if err := Add(c, RoleKind(kind), ip); err != nil {
				return err
			}
		}
	}
	if g.ReleasePeriod != nil {
		period.Put(c.Store, min(*g.ReleasePeriod, 1<<40))
	}
	return nil
}

// Pallet returns the pallet.
func Pallet() pallet.Pallet {
	return pallet.Pallet{
		Name: name, Index: 74,
		Calls: []pallet.Info{
			{Index: 0, Name: "add_available_vm_ip", New: func() pallet.Call { return new(AddAvailableVmIp) }},
			{Index: 1, Name: "add_available_hypervisor_ip", New: func() pallet.Call { return new(AddAvailableHypervisorIp) }},
			{Index: 2, Name: "add_available_client_ip", New: func() pallet.Call { return new(AddAvailableClientIp) }},
			{Index: 3, Name: "add_available_storage_miner_ip", New: func() pallet.Call { return new(AddAvailableStorageMinerIp) }},
			{Index: 4, Name: "remove_available_vm_ip", New: func() pallet.Call { return new(RemoveAvailableVmIp) }},
			{Index: 5, Name: "remove_available_hypervisor_ip", New: func() pallet.Call { return new(RemoveAvailableHypervisorIp) }},
			{Index: 6, Name: "remove_available_client_ip", New: func() pallet.Call { return new(RemoveAvailableClientIp) }},
			{Index: 7, Name: "remove_available_storage_miner_ip", New: func() pallet.Call { return new(RemoveAvailableStorageMinerIp) }},
		},
		Views:   []pallet.View{{Name: "pools", Run: viewPools}, {Name: "ip_of_vm", Run: viewIPOfVM}, {Name: "role_of_ip", Run: viewRoleOfIP}},
		Events:  strings.Fields("IpAssigned IpReturned IpRetrieved IpAdded IpRemoved"),
		Errors:  strings.Fields("NoAvailableIp VmAlreadyHasIp VmHasNoIp IpAlreadyExists RoleAlreadyHasIp InvalidIp TooManyIps"),
		Genesis: genesis,
		Begin:   retrieve,
	}
}
