package report

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
)

// Pallets of the chain.
const (
	registry    = "PhalaRegistry"
	market      = "Wapod"
	computation = "PhalaComputation"
	nodes       = "Registration"
	units       = "ExecutionUnit"
)

// data is bytes as the chain writes them: 0x and hex digits.
type data []byte

func (b data) MarshalText() ([]byte, error) { return []byte("0x" + hex.EncodeToString(b)), nil }

func (b *data) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(strings.TrimPrefix(string(text), "0x"))
	return err
}

func call(pallet, name string, args any) (chain.Call, error) {
	b, err := json.Marshal(args)
	if err != nil {
		return chain.Call{}, fault.New(fault.CallerInvalid, pallet+"."+name, "", err)
	}
	return chain.Call{Pallet: pallet, Name: name, Args: b}, nil
}

// registration is the call that makes the worker known, or known anew.
func registration(r Registration) (chain.Call, error) {
	type attestation struct {
		Provider string `json:"provider"`
		Report   data   `json:"report"`
	}
	args := struct {
		Registration data         `json:"registration"`
		Attestation  *attestation `json:"attestation"`
	}{Registration: r.Info}
	if r.Provider != "" {
		args.Attestation = &attestation{r.Provider, r.Report}
	}
	return call(registry, "register_worker_v2", args)
}

// reached is the call that says where the worker is.
func reached(payload, signature []byte) (chain.Call, error) {
	return call(registry, "update_worker_endpoint", struct {
		Payload   data `json:"endpoint_payload"`
		Signature data `json:"signature"`
	}{payload, signature})
}

// signedArgs are the arguments of calls that carry what the worker signed.
type signedArgs struct {
	Signed data `json:"signed"`
}

// described is the call that tells the prices.
func described(signed []byte) (chain.Call, error) {
	return call(market, "worker_description_set", signedArgs{signed})
}

// updated is the call that tells the session.
func updated(signed []byte) (chain.Call, error) {
	return call(market, "worker_session_update", signedArgs{signed})
}

// scored is the call that tells how fast the worker is, or answers a challenge.
func scored(as Scoring, signed []byte) (chain.Call, error) {
	return call(market, "benchmark_score_submit", struct {
		AsInitScore bool `json:"as_init_score"`
		signedArgs
	}{as == Initial, signedArgs{signed}})
}

// claimArgs are the tickets of one app, as the chain takes them.
type claimArgs struct {
	Address ID       `json:"address"`
	Tickets []uint64 `json:"tickets"`
}

// settlement is the call that has tickets pay.
func settlement(p Page, claims map[ID][]uint64) (sealed, error) {
	s := sealed{key: reportKey(p.Session, p.SN, p.Signed), session: p.Session, sn: p.SN, claims: map[ID][]uint64{}}
	list := []claimArgs{}
	for _, app := range p.Apps {
		if t := claims[app]; len(t) > 0 && s.claims[app] == nil {
			s.claims[app] = t
			list = append(list, claimArgs{app, t})
		}
	}
	slices.SortFunc(list, func(a, b claimArgs) int { return strings.Compare(string(a.Address[:]), string(b.Address[:])) })
	var err error
	s.call, err = call(market, "ticket_settle", struct {
		signedArgs
		ClaimMap []claimArgs `json:"claim_map"`
	}{signedArgs{p.Signed}, list})
	return s, err
}

// nodeKnown is the call that offers a node for compute requests.
func nodeKnown(node string) (chain.Call, error) {
	return call(nodes, "register_node_with_coldkey", struct {
		NodeType     string  `json:"node_type"`
		NodeID       string  `json:"node_id"`
		PayInCredits bool    `json:"pay_in_credits"`
		IpfsNodeID   *string `json:"ipfs_node_id"`
	}{NodeType: computeMiner, NodeID: node})
}

// computeMiner is the type of nodes that take compute requests.
const computeMiner = "ComputeMiner"

// specified is the call that tells what machine a node is. The account that signs it is the node's, so it bears no other signature.
func specified(node string, m *NodeMetrics) (chain.Call, error) {
	type info struct {
		Memory      uint64 `json:"memory_mb"`
		FreeMemory  uint64 `json:"free_memory_mb"`
		Storage     uint64 `json:"storage_total_mb"`
		FreeStorage uint64 `json:"storage_free_mb"`
		Bandwidth   uint32 `json:"network_bandwidth_mb_s"`
		CPUModel    string `json:"cpu_model"`
		CPUCores    uint32 `json:"cpu_cores"`
		Instances   uint32 `json:"vm_count"`
	}
	return call(units, "put_node_specs", struct {
		NodeID    string `json:"node_id"`
		Info      info   `json:"system_info"`
		Signature string `json:"signature"` // none
		Type      string `json:"node_type"`
	}{NodeID: node, Type: computeMiner, Info: info{m.MemoryMB, min(m.FreeMemoryMB, m.MemoryMB), m.StorageMB, min(m.FreeStorageMB, m.StorageMB), m.BandwidthMbps,
		strings.ToValidUTF8(m.CPUModel[:min(len(m.CPUModel), maxModel)], ""), m.CPUCores, m.Instances}})
}

const maxModel = 128 // bytes

// measured is the call that tells how a node does.
func measured(node string, m *NodeMetrics, height uint64) (chain.Call, error) {
	whole := func(d, unit time.Duration) uint32 { return uint32(min(max(d/unit, 0), math.MaxUint32-1)) }
	return call(units, "update_metrics_data", struct {
		NodeID     string `json:"node_id"`
		Signature  string `json:"signature"` // none
		Proof      uint32 `json:"storage_proof_time_ms"`
		Latency    uint32 `json:"latency_ms"`
		Peers      uint32 `json:"peer_count"`
		Failed     uint32 `json:"failed_challenges_count"`
		Successful uint32 `json:"successful_challenges"`
		Total      uint32 `json:"total_challenges"`
		Uptime     uint32 `json:"uptime_minutes"`
		Since      uint32 `json:"total_minutes"`
		Reliable   uint32 `json:"consecutive_reliable_days"`
		Downtime   uint32 `json:"recent_downtime_hours"`
		Type       string `json:"node_type"`
		Height     uint32 `json:"block_number"`
	}{NodeID: node, Latency: whole(m.Latency, time.Millisecond), Peers: m.Peers, Uptime: whole(m.Uptime, time.Minute), Since: whole(m.Since, time.Minute),
		Reliable: whole(m.Uptime, 24*time.Hour), Downtime: whole(m.DowntimeRecent, time.Hour), Type: computeMiner, Height: uint32(min(height, math.MaxUint32))})
}

// scoreOf reads what the benchmark app signed.
func scoreOf(b []byte, worker ID) (sn uint64, session ID, err error) {
	m, err := meter.OpenSignedMessage(b)
	switch {
	case err != nil:
		return 0, ID{}, err
	case m.Worker != [32]byte(worker):
		return 0, ID{}, fault.New(fault.CallerSignature, "score", "", nil).WithHint("it is of another worker")
	}
	return m.Score.Token.SN, m.Score.Token.Session, nil
}
