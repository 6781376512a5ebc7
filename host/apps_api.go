package host

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// AppConfig is what a host allows its apps.
type AppConfig struct {
	// Slots bounds the instances that live on: services, and scheduled or long-running commands. Requests that have a run of
	// their own need none. Default: 8. Unit: instances. Range: 1 to 4096. Live: restart.
	Slots int
	// Requests bounds the requests of all apps that are under way. Default: 512. Unit: requests. Range: 1 to 65,536. Live: restart.
	Requests int
	// Resume says that the worker session, its apps and their totals go on after a restart. Default: false: a start forgets them,
	// as the end of a session does. Unit: yes or no. Range: any. Live: restart.
	Resume bool
	// Hold leaves worker key, session and apps on the directory to another host: here none can be opened or deployed. For hosts that
	// live for one request. Default: false. Unit: yes or no. Range: any, and no Resume. Live: restart.
	Hold bool
	// BlobBytes and Config.JobBytes together bound the blobs of apps and of jobs on disk. Default: 4 GiB. Unit: bytes. Range: 1 MiB to 16 TiB. Live: restart.
	BlobBytes int64
	// MaxBlobBytes bounds one of them. Default: 64 MiB. Unit: bytes. Range: 1 KiB to 1 GiB. Live: restart.
	MaxBlobBytes int64
	// LogBytes bounds the log of one app on disk; the oldest lines go first. Default: 8 MiB. Unit: bytes. Range: 64 KiB to 1 GiB.
	// Live: restart.
	LogBytes int64
	// ListenFrom and ListenTo are the TCP ports that apps may listen on, if their manifests say so too. Default: none. Unit: ports.
	// Range: 1 to 65535, From at most To. Live: restart.
	ListenFrom, ListenTo uint16
	// EgressPrivate are the addresses outside of the public network, this machine's own among them, that apps may connect to if their
	// manifests name them by number: prefixes like 10.1.0.0/16, separated by commas. Default: "", none. Unit: prefixes. Range: at most
	// 64. Live: restart.
	EgressPrivate string
	// Passphrase unlocks the worker key; a key that is made is locked with it. Default: none: the key is kept in a file that only
	// this user can read. Unit: bytes. Range: at most 1024. Live: restart.
	Passphrase []byte `json:"-"`
	// KeyFile has 32 bytes or more that do the same. Default: none. Unit: path. Range: a file, and no Passphrase. Live: restart.
	KeyFile string
	// Certificates finds those of TLS server names; see CertificateDir. Default: none, and no TLS for apps. Unit: a function. Range:
	// any. Live: restart.
	Certificates func(name string) (*tls.Certificate, error) `json:"-"`
	// BlockTime tells the newest block of the chain, for apps that ask. Default: none. Unit: a function. Range: any. Live: restart.
	BlockTime func() (time.Time, bool) `json:"-"`
}

func defaultApps() AppConfig {
	return AppConfig{Slots: 8, Requests: 512, BlobBytes: 4 << 30, MaxBlobBytes: 64 << 20, LogBytes: 8 << 20}
}

// withDefaults returns c with zero fields replaced.
func (c AppConfig) withDefaults() AppConfig {
	d := defaultApps()
	c.Slots, c.Requests = cmp.Or(c.Slots, d.Slots), cmp.Or(c.Requests, d.Requests)
	c.BlobBytes, c.MaxBlobBytes, c.LogBytes = cmp.Or(c.BlobBytes, d.BlobBytes), cmp.Or(c.MaxBlobBytes, d.MaxBlobBytes), cmp.Or(c.LogBytes, d.LogBytes)
	return c
}

// maxPassphrase bounds what the worker key is locked with, in bytes.
const maxPassphrase = 1024

// validate reports the first field outside of its range.
func (c AppConfig) validate() error {
	bad := func(field, why string) error {
		return fault.New(fault.CallerConfig, "config", "Apps."+field, nil).WithHint("Apps." + field + " " + why)
	}
	for _, f := range []struct {
		field       string
		v, min, max int64
	}{
		{"Slots", int64(c.Slots), 1, 4096}, {"Requests", int64(c.Requests), 1, 65536},
		{"BlobBytes", c.BlobBytes, 1 << 20, 16 << 40}, {"MaxBlobBytes", c.MaxBlobBytes, 1 << 10, 1 << 30},
		{"LogBytes", c.LogBytes, 64 << 10, 1 << 30}, {"Passphrase", int64(len(c.Passphrase)), 0, maxPassphrase},
	} {
		if f.v < f.min || f.v > f.max {
			return bad(f.field, fmt.Sprintf("is %d, must be between %d and %d", f.v, f.min, f.max))
		}
	}
	if _, err := prefixes(c.EgressPrivate); err != nil {
		return bad("EgressPrivate", "must be at most 64 prefixes like 10.1.0.0/16, separated by commas")
	}
	switch {
	case c.ListenFrom > c.ListenTo, c.ListenFrom == 0 && c.ListenTo != 0:
		return bad("ListenFrom", "must be a port that is at most ListenTo")
	case c.Hold && c.Resume:
		return bad("Hold", "must be false beside Resume")
	case c.KeyFile != "" && len(c.Passphrase) > 0:
		return bad("KeyFile", "must be empty beside a Passphrase")
	}
	return nil
}

// maxPrefixes bounds AppConfig.EgressPrivate.
const maxPrefixes = 64

// prefixes reads a list of prefixes.
func prefixes(s string) (list []netip.Prefix, err error) {
	if s == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(s, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		list = append(list, p.Masked())
	}
	if len(list) > maxPrefixes {
		return nil, errors.New("too many prefixes")
	}
	return list, nil
}

// DeployRequest asks for an app.
type DeployRequest struct {
	// Manifest is encoded as package manifest does it. Its blobs must be here.
	Manifest []byte
	// Config is for the guest, which asks for it as a fact; it is no part of the address. At most 64 KiB.
	Config []byte
	// Tenant owns the app. Default: Config.Tenant.
	Tenant string
	// ReuseInstances says, of an on-demand app of version 1, that one instance serves all. Version 2 has it in the manifest.
	ReuseInstances bool
	// Bench makes it the benchmark app, which fills slots and yields to all others.
	Bench bool
	// Complete is where the count of complete runs of its schedule begins.
	Complete uint64
}

// AppFilter chooses apps of a list.
type AppFilter struct {
	Tenant string // "": all
	After  uint64 // sequence of the last one of the page before
	Limit  int    // default and most: 1000
}

// AppQuery is a query to an app.
type AppQuery struct {
	Address string
	Path    string
	Payload []byte
	// Signature names the caller to the app, see host/internal/origin. Empty: it has no name.
	Signature []byte
	// Priority of the preparation and the run, if there is need. Default: High.
	Priority run.Priority
}

// AppReply is what an app answered.
type AppReply struct {
	Output  []byte
	Receipt *run.Receipt // of the run that was made for it; nil: an instance served it
}

// SessionRequest opens a worker session.
type SessionRequest struct {
	PNonce    []byte // the last nonce that the chain knows, at most 64 bytes
	Recipient []byte // at most 32 bytes
	Resume    bool   // go on with the session that there is
}

// SignedReport is one page of metrics.
type SignedReport struct {
	Encoded []byte // SignedAppsMetrics
	SN      uint64
	Apps    int
}

// LogLine is one line of what an app said.
type LogLine struct {
	Seq      uint64    `json:"seq"`
	At       time.Time `json:"at"`
	Instance uint64    `json:"instance,omitempty"`
	Level    string    `json:"level"` // error, warn (also stderr), info (also stdout), debug, trace
	Text     string    `json:"text"`
}

// Signed is something that the worker key has signed for the chain.
type Signed struct {
	Encoded   []byte // what was signed, without its content type
	Signature []byte
	WorkerKey []byte
}
