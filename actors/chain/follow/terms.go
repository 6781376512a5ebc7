package follow

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Bounds of what a compute request may want.
const (
	maxDescription = 64 << 10
	maxCores       = manifest.MaxWeight / manifest.DefaultWeight
	maxGB          = 1024
	gib            = 1 << 30
)

// terms are what a compute request wants, as the description of its plan says it.
type terms struct {
	cores, ram, storage uint32 // ram and storage in GB
	inbound, outbound   uint64
	gpu, sev            bool
	gpuType             string
}

// amount is a number that a plan may have as a number or as text; null and "" are none.
type amount uint64

// UnmarshalJSON reads both forms. A fraction counts as a whole one.
func (a *amount) UnmarshalJSON(b []byte) error {
	s := strings.Trim(strings.TrimSpace(strings.Trim(string(b), `"`)), " ")
	if s == "" || s == "null" {
		*a = 0
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1<<53 {
		return fault.New(fault.CallerInvalid, "number", fault.Quote(s), nil)
	}
	*a = amount(math.Ceil(f))
	return nil
}

// flag is a truth value that a plan may have as text, as a number, or as the name of the thing.
type flag bool

// UnmarshalJSON reads all forms: what is not a plain no is a yes.
func (f *flag) UnmarshalJSON(b []byte) error {
	switch s := strings.ToLower(strings.TrimSpace(strings.Trim(string(b), `"`))); s {
	case "", "null", "false", "0", "no", "none":
		*f = false
	default:
		*f = true
	}
	return nil
}

// readTerms reads the description of a plan.
func readTerms(description string) (terms, error) {
	var d struct {
		Cores    amount `json:"cpu_cores"`
		RAM      amount `json:"ram_gb"`
		Storage  amount `json:"storage_gb"`
		Inbound  amount `json:"inbound_bandwidth"`
		Outbound amount `json:"outbound_bandwidth"`
		GPU      flag   `json:"gpu"`
		GPUType  text   `json:"gpu_type"`
		SEV      flag   `json:"is_sev_enabled"`
	}
	if len(description) > maxDescription {
		return terms{}, fmt.Errorf("the description of the plan is longer than %d bytes", maxDescription)
	}
	if err := json.Unmarshal([]byte(description), &d); err != nil {
		return terms{}, fmt.Errorf("the description of the plan cannot be read: %s", fault.Quote(err.Error()))
	}
	switch {
	case d.Cores > maxCores:
		return terms{}, fmt.Errorf("it wants %d cores, and this node gives at most %d", d.Cores, maxCores)
	case d.RAM > maxGB, d.Storage > maxGB:
		return terms{}, fmt.Errorf("it wants %d GB of memory and %d GB of storage, and this node gives at most %d of each", d.RAM, d.Storage, maxGB)
	}
	return terms{
		cores: max(uint32(d.Cores), 1), ram: max(uint32(d.RAM), 1), storage: uint32(d.Storage), inbound: uint64(d.Inbound), outbound: uint64(d.Outbound),
		gpu: bool(d.GPU), gpuType: fault.Quote(string(d.GPUType)), sev: bool(d.SEV),
	}, nil
}

// cannot says why a worker of wasm does not run it; "": it does.
func (t terms) cannot() string {
	switch {
	case t.gpu:
		return "this node has no GPU for guests"
	case t.sev:
		return "this node has no encrypted memory (SEV) for guests"
	}
	return ""
}

// build makes the manifest of a compute request: the image, within what the plan gives. Cores are a share of the processor, and as
// many instances at most; memory is that of one instance, of which wasm can address 4 GiB; storage is the quota of the key-value
// space. Manifests have no limit of bandwidth: the agent has the figures.
func (t terms) build(request string, image Image) (*manifest.Manifest, error) {
	m := &manifest.Manifest{CodeHash: image.CodeHash}
	if image.Manifest != nil {
		var err error
		if m, err = manifest.Decode(image.Manifest); err != nil {
			return nil, err
		}
	}
	if m.Terms == nil {
		m.Terms = &manifest.Terms{Grants: manifest.Grants{HTTP: true}}
	}
	if m.MaxQueryBytes == 0 {
		m.MaxQueryBytes = 1 << 20
	}
	m.Version = manifest.Version2
	m.Label = "request-" + request
	m.Terms.Weight = t.cores * manifest.DefaultWeight
	m.Terms.Limits.MemoryBytes = uint64(min(int64(t.ram)*gib, run.MaxMemoryBytes))
	m.Terms.Grants.KVBytes = min(uint64(t.storage)*gib, manifest.MaxKVBytes)
	return m, m.Validate()
}
