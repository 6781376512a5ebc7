package api

import (
	"encoding/hex"
	"errors"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// Deploy asks for an app, or announces it. Its manifest and its configuration are parts of their own.
type Deploy struct {
	Tenant         string `json:"tenant,omitempty"`          // who owns the app; at most 64 bytes. Default: the caller
	ReuseInstances bool   `json:"reuse_instances,omitempty"` // of an on-demand service of version 1: one instance serves all
	Bench          bool   `json:"bench,omitempty"`           // the benchmark app, which yields to all others
}

// AppList is one page of apps in the order of their deployment.
type AppList struct {
	Apps []inspect.App `json:"apps"`
	Next uint64        `json:"next,omitempty"` // pass as ?after= to go on; 0 at the end
}

// AppsRemoved answers the removal of all apps.
type AppsRemoved struct {
	Removed int `json:"removed"`
}

// AppReply is what an app answered to a query.
type AppReply struct {
	Output  []byte       `json:"output"`            // base64
	Receipt *run.Receipt `json:"receipt,omitempty"` // of the run that was made for it; none: an instance served it
}

// AppLog is what an app said, the oldest line first.
type AppLog struct {
	Lines   []host.LogLine `json:"lines"`
	Dropped uint64         `json:"dropped_bytes"` // that the log has lost so far, since it was full
}

// BlobList is what the blob store has.
type BlobList struct {
	Blobs      []inspect.Blob `json:"blobs"`
	UsedBytes  int64          `json:"used_bytes"`
	QuotaBytes int64          `json:"quota_bytes"`
}

// OpenSession asks for a worker session.
type OpenSession struct {
	PNonce    Hex  `json:"pnonce,omitempty"`    // the last nonce that the chain knows; at most 64 bytes
	Recipient Hex  `json:"recipient,omitempty"` // account that is paid; at most 32 bytes
	Resume    bool `json:"resume,omitempty"`    // go on with the session that there is
}

// Opened is a worker session, and what tells the chain of it.
type Opened struct {
	Session inspect.Session `json:"session"`
	Update  Signed          `json:"update"`
}

// SetBench says which app is the benchmark, and how many slots it may fill.
type SetBench struct {
	Address   string `json:"address"` // "": none
	Instances uint32 `json:"instances"`
}

// AppMetricsList is the use of apps.
type AppMetricsList struct {
	Apps []inspect.AppMetrics `json:"apps"`
}

// Report asks for signed metrics.
type Report struct {
	Addresses []string `json:"addresses,omitempty"` // default: all apps
}

// Reports are the pages of a report, each with a sequence number of its own.
type Reports struct {
	Reports []SignedReport `json:"reports"`
}

// SignedReport is one page. It mirrors host.SignedReport.
type SignedReport struct {
	Encoded Hex    `json:"encoded"` // SignedAppsMetrics
	SN      uint64 `json:"sn"`
	Apps    int    `json:"apps"`
}

// Signed is something that the worker key has signed. It mirrors host.Signed.
type Signed struct {
	Encoded   Hex `json:"encoded"` // what was signed, without its content type
	Signature Hex `json:"signature"`
	WorkerKey Hex `json:"worker_key"`
}

// Key asks for a backup of the worker key or a restore from one, or locks it.
type Key struct {
	Passphrase []byte `json:"passphrase,omitempty"` // base64; at most 1024 bytes
	Backup     []byte `json:"backup,omitempty"`     // base64
}

// Endpoints asks to sign where the worker is reached.
type Endpoints struct {
	Endpoints []string `json:"endpoints"`
}

// Description asks to sign what the worker says of itself. Prices are whole numbers in decimal; "" asks for nothing.
type Description struct {
	Text   string `json:"text"`
	Prices Prices `json:"prices,omitzero"`
}

// Prices are what a worker asks for, each for one unit of a total.
type Prices struct {
	GeneralFeePerSecond string `json:"general_fee_per_second,omitempty"`
	Gas                 string `json:"gas,omitempty"`
	NetworkIngress      string `json:"network_ingress,omitempty"`
	NetworkEgress       string `json:"network_egress,omitempty"`
	StorageRead         string `json:"storage_read,omitempty"`
	StorageWrite        string `json:"storage_write,omitempty"`
	Storage             string `json:"storage,omitempty"`
	Memory              string `json:"memory,omitempty"`
	Tip                 string `json:"tip,omitempty"`
}

// Registration asks to sign what registers the worker on a chain.
type Registration struct {
	Genesis  Hex    `json:"genesis"`            // hash of the first block, 32 bytes
	Operator Hex    `json:"operator,omitempty"` // account, 32 bytes; default none
	ParaID   uint32 `json:"para_id,omitempty"`
}

// Hex is bytes that JSON has in hex digits. 0x before them does no harm.
type Hex []byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(b []byte) error {
	if len(b) >= 2 && b[0] == '0' && b[1] == 'x' {
		b = b[2:]
	}
	v, err := hex.AppendDecode(nil, b)
	if err != nil {
		return errors.New("not hex digits, two for each byte")
	}
	*h = v
	return nil
}
