package nodes

import (
	"math"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
)

// NetworkType says where an address of a node counts.
type NetworkType uint8

// The types of networks.
const (
	Private NetworkType = iota
	Public
)

var networks = []string{"Private", "Public"}

// MarshalText is the name.
func (t NetworkType) MarshalText() ([]byte, error) { return []byte(name(networks, uint8(t))), nil }

// UnmarshalText reads the name.
func (t *NetworkType) UnmarshalText(text []byte) error {
	v, err := byName(networks, text)
	*t = NetworkType(v)
	return err
}

// EncodeScale implements scale.Value.
func (t *NetworkType) EncodeScale(e *scale.Encoder) { e.U8(uint8(*t)) }

// DecodeScale implements scale.Value.
func (t *NetworkType) DecodeScale(d *scale.Decoder) { *t = NetworkType(d.Enum(uint8(Public))) }

// NetworkDetails is where a node is.
type NetworkDetails struct {
	NetworkType NetworkType `json:"network_type"`
	City        *string     `json:"city" scale:"max=64"`
	Region      *string     `json:"region" scale:"max=64"`
	Country     *string     `json:"country" scale:"max=64"`
	Loc         *string     `json:"loc" scale:"max=64"`
}

// NetworkInterfaceInfo is how a node is reached.
type NetworkInterfaceInfo struct {
	Name           string          `json:"name" scale:"max=64"`
	MacAddress     *string         `json:"mac_address" scale:"max=64"`
	UplinkMb       uint64          `json:"uplink_mb"`
	DownlinkMb     uint64          `json:"downlink_mb"`
	NetworkDetails *NetworkDetails `json:"network_details"`
}

// DiskInfo is a disk and its use.
type DiskInfo struct {
	Name         string `json:"name" scale:"max=64"`
	DiskType     string `json:"disk_type" scale:"max=64"`
	TotalSpaceMb uint64 `json:"total_space_mb"`
	FreeSpaceMb  uint64 `json:"free_space_mb"`
}

// DiskDetails is a disk and its make.
type DiskDetails struct {
	Name         string `json:"name" scale:"max=64"`
	Serial       string `json:"serial" scale:"max=64"`
	Model        string `json:"model" scale:"max=64"`
	Size         string `json:"size" scale:"max=64"`
	IsRotational bool   `json:"is_rotational"`
	DiskType     string `json:"disk_type" scale:"max=64"`
}

// SystemInfo is what a node says of its machine.
type SystemInfo struct {
	MemoryMb                uint64                `json:"memory_mb"`
	FreeMemoryMb            uint64                `json:"free_memory_mb"`
	StorageTotalMb          uint64                `json:"storage_total_mb"`
	StorageFreeMb           uint64                `json:"storage_free_mb"`
	NetworkBandwidthMbS     uint32                `json:"network_bandwidth_mb_s"`
	PrimaryNetworkInterface *NetworkInterfaceInfo `json:"primary_network_interface"`
	Disks                   []DiskInfo            `json:"disks" scale:"max=16"`
	IpfsRepoSize            uint64                `json:"ipfs_repo_size"`
	IpfsStorageMax          uint64                `json:"ipfs_storage_max"`
	CPUModel                string                `json:"cpu_model" scale:"max=128"`
	CPUCores                uint32                `json:"cpu_cores"`
	IsSevEnabled            bool                  `json:"is_sev_enabled"`
	ZfsInfo                 []Line                `json:"zfs_info" scale:"max=16"`
	IpfsZfsPoolSize         meter.Uint128         `json:"ipfs_zfs_pool_size"`
	IpfsZfsPoolAlloc        meter.Uint128         `json:"ipfs_zfs_pool_alloc"`
	IpfsZfsPoolFree         meter.Uint128         `json:"ipfs_zfs_pool_free"`
	RaidInfo                []Line                `json:"raid_info" scale:"max=16"`
	VMCount                 uint32                `json:"vm_count"`
	GpuName                 *string               `json:"gpu_name" scale:"max=128"`
	GpuMemoryMb             *uint32               `json:"gpu_memory_mb"`
	HypervisorDiskType      *string               `json:"hypervisor_disk_type" scale:"max=64"`
	VMPoolDiskType          *string               `json:"vm_pool_disk_type" scale:"max=64"`
	DiskInfo                []DiskDetails         `json:"disk_info" scale:"max=16"`
}

// NodeMetricsData is all that is known of a node.
type NodeMetricsData struct {
	MinerID                  ID                    `json:"miner_id" scale:"max=128"`
	BandwidthMbps            uint32                `json:"bandwidth_mbps"`
	CurrentStorageBytes      uint64                `json:"current_storage_bytes"` // in use
	TotalStorageBytes        uint64                `json:"total_storage_bytes"`
	Geolocation              string                `json:"geolocation" scale:"max=64"`
	SuccessfulPinChecks      uint32                `json:"successful_pin_checks"`
	TotalPinChecks           uint32                `json:"total_pin_checks"`
	StorageProofTimeMs       uint32                `json:"storage_proof_time_ms"`
	StorageGrowthRate        uint32                `json:"storage_growth_rate"`
	LatencyMs                uint32                `json:"latency_ms"`
	TotalLatencyMs           uint32                `json:"total_latency_ms"`
	TotalTimesLatencyChecked uint32                `json:"total_times_latency_checked"`
	AvgResponseTimeMs        uint32                `json:"avg_response_time_ms"`
	PeerCount                uint32                `json:"peer_count"`
	FailedChallengesCount    uint32                `json:"failed_challenges_count"`
	SuccessfulChallenges     uint32                `json:"successful_challenges"`
	TotalChallenges          uint32                `json:"total_challenges"`
	UptimeMinutes            uint32                `json:"uptime_minutes"`
	TotalMinutes             uint32                `json:"total_minutes"`
	ConsecutiveReliableDays  uint32                `json:"consecutive_reliable_days"`
	RecentDowntimeHours      uint32                `json:"recent_downtime_hours"`
	IsSevEnabled             bool                  `json:"is_sev_enabled"`
	ZfsInfo                  []Line                `json:"zfs_info" scale:"max=16"`
	IpfsZfsPoolSize          meter.Uint128         `json:"ipfs_zfs_pool_size"`
	IpfsZfsPoolAlloc         meter.Uint128         `json:"ipfs_zfs_pool_alloc"`
	IpfsZfsPoolFree          meter.Uint128         `json:"ipfs_zfs_pool_free"`
	RaidInfo                 []Line                `json:"raid_info" scale:"max=16"`
	VMCount                  uint32                `json:"vm_count"`
	PrimaryNetworkInterface  *NetworkInterfaceInfo `json:"primary_network_interface"`
	Disks                    []DiskInfo            `json:"disks" scale:"max=16"`
	IpfsRepoSize             uint64                `json:"ipfs_repo_size"`
	IpfsStorageMax           uint64                `json:"ipfs_storage_max"`
	CPUModel                 string                `json:"cpu_model" scale:"max=128"`
	CPUCores                 uint32                `json:"cpu_cores"`
	MemoryMb                 uint64                `json:"memory_mb"`
	FreeMemoryMb             uint64                `json:"free_memory_mb"`
	GpuName                  *string               `json:"gpu_name" scale:"max=128"`
	GpuMemoryMb              *uint32               `json:"gpu_memory_mb"`
	HypervisorDiskType       *string               `json:"hypervisor_disk_type" scale:"max=64"`
	VMPoolDiskType           *string               `json:"vm_pool_disk_type" scale:"max=64"`
	DiskInfo                 []DiskDetails         `json:"disk_info" scale:"max=16"`
}

// Line is a line of what a tool of the node says.
type Line string

// maxLine bounds a Line in bytes.
const maxLine = 512

// EncodeScale implements scale.Value.
func (l *Line) EncodeScale(e *scale.Encoder) { e.String(string(*l)) }

// DecodeScale implements scale.Value.
func (l *Line) DecodeScale(d *scale.Decoder) { *l = Line(d.String(maxLine)) }

// What is taken for what a node has not said.
const (
	DefaultResponseMs = 100
	DefaultBandwidth  = 100
	DefaultStorage    = 100 << 30
	DefaultPeers      = 10
)

// fresh returns what is known of a node that said nothing yet.
func fresh(id ID) NodeMetricsData {
	return NodeMetricsData{
		MinerID: id, BandwidthMbps: DefaultBandwidth, CurrentStorageBytes: DefaultStorage, TotalStorageBytes: DefaultStorage,
		AvgResponseTimeMs: DefaultResponseMs, PeerCount: DefaultPeers,
	}
}

// fits says whether what a node says of its machine can be.
func (i *SystemInfo) fits() bool {
	return i.StorageFreeMb <= i.StorageTotalMb && i.FreeMemoryMb <= i.MemoryMb && i.StorageTotalMb <= math.MaxUint64>>20
}

// specs takes over what a node says of its machine.
func (m *NodeMetricsData) specs(i SystemInfo) {
	if i.NetworkBandwidthMbS > 0 {
		m.BandwidthMbps = i.NetworkBandwidthMbS
	}
	if i.StorageTotalMb > 0 {
		m.TotalStorageBytes = i.StorageTotalMb << 20
		m.CurrentStorageBytes = (i.StorageTotalMb - i.StorageFreeMb) << 20
	}
	if n := i.PrimaryNetworkInterface; n != nil && n.NetworkDetails != nil && n.NetworkDetails.Loc != nil {
		m.Geolocation = *n.NetworkDetails.Loc
	}
	m.IsSevEnabled, m.ZfsInfo, m.RaidInfo = i.IsSevEnabled, i.ZfsInfo, i.RaidInfo
	m.IpfsZfsPoolSize, m.IpfsZfsPoolAlloc, m.IpfsZfsPoolFree = i.IpfsZfsPoolSize, i.IpfsZfsPoolAlloc, i.IpfsZfsPoolFree
	m.VMCount, m.PrimaryNetworkInterface, m.Disks = i.VMCount, i.PrimaryNetworkInterface, i.Disks
	m.IpfsRepoSize, m.IpfsStorageMax = i.IpfsRepoSize, i.IpfsStorageMax
	m.CPUModel, m.CPUCores, m.MemoryMb, m.FreeMemoryMb = i.CPUModel, i.CPUCores, i.MemoryMb, i.FreeMemoryMb
	m.GpuName, m.GpuMemoryMb = i.GpuName, i.GpuMemoryMb
	m.HypervisorDiskType, m.VMPoolDiskType, m.DiskInfo = i.HypervisorDiskType, i.VMPoolDiskType, i.DiskInfo
}

// plus adds and stays at the most there is.
func plus(a, b uint32) uint32 {
	if a+b < a {
		return math.MaxUint32
	}
	return a + b
}

// merge takes over a report of how a node does.
func (m *NodeMetricsData) merge(u *UpdateMetricsData) {
	known := func(dst *uint32, v uint32) {
		if v != 0 && v != math.MaxUint32 {
			*dst = v
		}
	}
	known(&m.StorageProofTimeMs, u.StorageProofTimeMs)
	known(&m.PeerCount, u.PeerCount)
	known(&m.UptimeMinutes, u.UptimeMinutes)
	known(&m.TotalMinutes, u.TotalMinutes)
	known(&m.ConsecutiveReliableDays, u.ConsecutiveReliableDays)
	known(&m.RecentDowntimeHours, u.RecentDowntimeHours)
	m.FailedChallengesCount = plus(m.FailedChallengesCount, u.FailedChallengesCount)
	m.SuccessfulChallenges = plus(m.SuccessfulChallenges, u.SuccessfulChallenges)
	m.TotalChallenges = plus(m.TotalChallenges, u.TotalChallenges)
	if l := u.LatencyMs; l != 0 && l != math.MaxUint32 {
		if m.TotalLatencyMs > math.MaxUint32-l { // as if it had been half of the checks
			m.TotalLatencyMs, m.TotalTimesLatencyChecked = m.TotalLatencyMs/2, max(m.TotalTimesLatencyChecked/2, 1)
		}
		m.LatencyMs = l
		m.TotalLatencyMs = plus(m.TotalLatencyMs, l)
		m.TotalTimesLatencyChecked = plus(m.TotalTimesLatencyChecked, 1)
		m.AvgResponseTimeMs = m.TotalLatencyMs / m.TotalTimesLatencyChecked
	}
}

// FreeStorage returns the bytes that are not in use.
func (m *NodeMetricsData) FreeStorage() uint64 {
	return m.TotalStorageBytes - min(m.CurrentStorageBytes, m.TotalStorageBytes)
}
