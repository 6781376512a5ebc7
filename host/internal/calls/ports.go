package calls

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// What a KV says of a key that is not there, and of a value for which there is no room.
var (
	ErrNotFound = errors.New("no such key")
	ErrQuota    = errors.New("no room within the quota")
)

// KV is the key-value space of one app.
type KV interface {
	Get(ctx context.Context, key string) ([]byte, error) // ErrNotFound
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error // ErrNotFound
	// List returns keys in their order, at most max of those that begin with prefix and follow after.
	List(ctx context.Context, prefix, after string, max int) ([]string, error)
	Used() (bytes, quota int64)
}

// Log takes what a guest logs. It must not keep text, nor block for long.
type Log interface {
	Write(level int, text []byte)
}

// Meter takes what an instance uses. Commit returns when all that was added is written.
type Meter interface {
	Add(u meter.Use)
	Commit(ctx context.Context) error
}

// Turn is an instance's share of the processor; see package turns.
type Turn interface {
	Next(ctx context.Context, gas int64) error
	Pause()
	Resume(ctx context.Context) error
	Leave()
}

// Keys signs and derives for apps.
type Keys interface {
	SignApp(app manifest.Address, data []byte) [64]byte
	Secret(app manifest.Address, path []byte) [64]byte
	Public() [32]byte
}

// Token makes a token that says how much gas the app's session has used.
type Token func(ctx context.Context) (gas uint64, token meter.Token, err error)

// Blobs reads content-addressed bytes for an app. n is short only at the end.
type Blobs interface {
	ReadAt(ctx context.Context, app, hash string, p []byte, off int64) (n int, size int64, err error)
}

// Resolver finds the addresses of a name. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dialer connects. *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Listener listens. *net.ListenConfig is one.
type Listener interface {
	Listen(ctx context.Context, network, address string) (net.Listener, error)
}

// Net is the network. Nil fields mean that of the machine.
type Net struct {
	Resolver Resolver
	Dialer   Dialer
	Listener Listener
	Private  []netip.Prefix // addresses that are not public and that apps may have in their lists; none: no such address
	Roots    *x509.CertPool // of TLS; nil: those of the machine
	Rand     io.Reader      // of TLS; nil: crypto/rand
}

// Config is what a Server needs.
type Config struct {
	Now         func() time.Time // of metering; nil: time.Now
	Net         Net
	ListenRange manifest.Ports                 // where guests may listen at all; zero: nowhere
	BlobReader  Blobs                          // nil: there are no blobs
	BlockTime   func() (at time.Time, ok bool) // of the newest block; nil: there is no chain
	Linger      time.Duration                  // for bytes of a closed handle that nobody reads; 0: 30 s
	MaxSockets  int                            // connections and listeners of all apps; 0: 4096
	DialTimeout time.Duration                  // of a connect whose guest waits for longer; 0: 60 s
}

// AppConfig is what an App needs. A nil port means that the app does not have it.
type AppConfig struct {
	Address       manifest.Address
	Session       [32]byte
	WorkerSession [32]byte
	ListenAt      netip.Addr // the app's own address, at which it may have all ports of its manifest; zero: those of Config.ListenRange, anywhere
	Tenant        string
	Stranger      bool // nobody of this host wrote the manifest: what Net.Private lets others reach is not for it
	Label         string
	Config        []byte
	Grants        manifest.Grants
	Blobs         []string // hashes that it may read
	KV            KV
	Keys          Keys
	Token         Token
}

// InstanceConfig is what an Instance needs.
type InstanceConfig struct {
	ID       uint64
	Meter    Meter // nil: nobody counts
	Turn     Turn  // nil: it always may go on
	Log      Log   // nil: nobody listens
	One      bool  // it gets exactly one event
	Queue    int   // events that wait; 0: 20
	GasLimit int64 // 0: none
	Reply    int64 // bytes of a reply that is written before it is sent; 0: abi.MaxBytes
}
