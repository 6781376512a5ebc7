package artifacts

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// CodeHash is the SHA-256 of the code as given (maybe compressed).
type CodeHash [32]byte

// HashCode returns the hash of code.
func HashCode(code []byte) CodeHash { return sha256.Sum256(code) }

// String returns 64 hex digits.
func (h CodeHash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h CodeHash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *CodeHash) UnmarshalText(b []byte) error { return (*Digest)(h).UnmarshalText(b) }

// Digest is the SHA-256 of a part. In JSON it is hex, which is read many times faster than a list of numbers.
type Digest [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != 2*len(d) {
		return errors.New("a digest has 64 hex digits")
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// ParseCodeHash reads what String prints.
func ParseCodeHash(s string) (CodeHash, error) {
	b, err := parse32(s, "code hash")
	return CodeHash(b), err
}

// Key names an artifact: whatever changes the produced bytes enters it, and nothing else does.
type Key [32]byte

// String returns 64 hex digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// IsZero reports whether k was never set.
func (k Key) IsZero() bool { return k == Key{} }

// ParseKey reads what String prints.
func ParseKey(s string) (Key, error) {
	b, err := parse32(s, "artifact key")
	return Key(b), err
}

func parse32(s, what string) (out [32]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		return out, fault.New(fault.CallerInvalid, what, fault.Quote(s), nil).WithHint("pass 64 hex digits")
	}
	return [32]byte(b), nil
}

// Build says what made an artifact; an artifact of another Build is a miss.
type Build struct {
	Engine     string // name and version of the engine, e.g. "wazero v1.12.0"
	Format     uint32 // version of the artifact format
	Instrument uint32 // version of the instrumentation and of the gas table
	CPU        string // architecture and the CPU features that the compiler uses
}

// Options are the settings that change the bytes of an artifact.
type Options struct {
	CanonicalNaNs bool // every NaN that arithmetic makes is the canonical one
}

// KeyOf returns the key of the artifact that build makes of code. The hash covers, each length-prefixed: a domain tag, the
// code hash, the build and the options. No other setting changes the bytes, so none enters; the package comment has the table.
func KeyOf(code CodeHash, b Build, o Options) Key {
	h := sha256.New()
	put := func(s []byte) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write(s)
	}
	num := func(v uint64) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], v)
		put(n[:])
	}
	put([]byte("troupe artifact v3"))
	put(code[:])
	put([]byte(b.Engine))
	num(uint64(b.Format))
	num(uint64(b.Instrument))
	put([]byte(b.CPU))
	if o.CanonicalNaNs {
		num(1)
	} else {
		num(0)
	}
	return Key(h.Sum(nil))
}

// Names of the parts of an artifact.
const (
	PartCode   = "code"   // native code, and nothing else: it is mapped where it runs
	PartFrame  = "frame"  // what the engine keeps beside the code, offsets of functions above all, and where the image stands
	PartModule = "module" // the skeleton of the module: no bodies, no start section, no bytes that the image has
	PartImage  = "image"  // the initial linear memory as far as data segments write it; absent if they write nothing or cannot be applied before

	// PartSnapshot is what the default initialisation made, if somebody may begin there: bytes of linear memory in whole pages of
	// SnapshotPage, and the rest behind them. Of all parts it is the only one that code of the guest had a hand in.
	PartSnapshot = "snapshot"
)

// SnapshotPage is the unit of the addresses and sizes of snapshots, in bytes: it divides into the pages of every machine.
const SnapshotPage = 64 << 10

// SnapshotKey names what the snapshot part of an artifact was made under.
type SnapshotKey Digest

// IsZero reports whether there is none.
func (k SnapshotKey) IsZero() bool { return k == SnapshotKey{} }

// MarshalText implements encoding.TextMarshaler.
func (k SnapshotKey) MarshalText() ([]byte, error) { return Digest(k).MarshalText() }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *SnapshotKey) UnmarshalText(b []byte) error { return (*Digest)(k).UnmarshalText(b) }

// Initialisation is all that settles what initialisation makes. There are neither arguments nor an environment, and clock and random
// bytes are those of the deterministic world, whose beginnings the version of the format stands for.
type Initialisation struct {
	Initialised bool // _initialize is called
	MemoryBytes int64
	InitGas     int64
	StackValues int64
}

// SnapshotKeyOf returns the key of the snapshot that an initialisation of an artifact makes.
func SnapshotKeyOf(k Key, i Initialisation) SnapshotKey {
	b := append([]byte("troupe snapshot v1"), k[:]...)
	initialised := uint64(0)
	if i.Initialised {
		initialised = 1
	}
	for _, n := range [...]uint64{initialised, uint64(i.MemoryBytes), uint64(i.InitGas), uint64(i.StackValues)} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return sha256.Sum256(b)
}

// Import is one import of the code.
type Import struct {
	Module string `json:"module"`
	Name   string `json:"name"`
	Kind   string `json:"kind"` // func, memory, table, global
	Type   string `json:"type"` // e.g. "(i32, i32) -> (i64)"
	Known  bool   `json:"known"`
}

// Export is one export of the code.
type Export struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	Type string `json:"type"`
}

// Module is what preparation learned of the code. Names come from the guest and were passed through fault.Quote only
// where they are shown, since they must stay exact to be called.
type Module struct {
	Imports       []Import `json:"imports"`
	Exports       []Export `json:"exports"`
	MemoryPages   uint32   `json:"memory_pages"` // initial size of linear memory
	MemoryMax     uint32   `json:"memory_max_pages"`
	HasStart      bool     `json:"has_start"`
	WasmBytes     int64    `json:"wasm_bytes"` // after decompression
	NumFunctions  int      `json:"functions"`
	CodeBytes     int64    `json:"code_bytes"` // compiled
	DataBytes     int64    `json:"data_bytes"`
	TableElements uint64   `json:"table_elements"`

	Shape        Shape    `json:"shape,omitzero"`  // what the policy judges
	Resets       []string `json:"resets"`          // what it can change that a reset of globals and linear memory does not undo
	Mutable      int      `json:"mutable_globals"` // those of the code
	UncheckedGas uint64   `json:"unchecked_gas"`   // the most that is used between two checks of the gas
}

// Part is one stored piece of an artifact.
type Part struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 Digest `json:"sha256"`
}

// Meta is everything about an artifact but its parts' bytes.
type Meta struct {
	Key         Key           `json:"-"`
	Code        CodeHash      `json:"code_hash"`
	GivenBytes  int64         `json:"given_bytes"` // of the code as given, maybe compressed
	Build       Build         `json:"build"`
	Module      Module        `json:"module"`
	Parts       []Part        `json:"parts"`
	PreparedAt  time.Time     `json:"prepared_at"`
	PrepareCPU  time.Duration `json:"prepare_cpu"` // CPU time of the prepare worker until it had answered, by the host's account
	PrepareWall time.Duration `json:"prepare_wall"`
	PeakRSS     int64         `json:"peak_rss_bytes"` // of the prepare worker, until then

	CanonicalNaNs bool        `json:"canonical_nans,omitempty"` // see Options
	Snapshot      SnapshotKey `json:"snapshot,omitzero"`        // of that part; zero: there is none

	PrepareMemory int64 `json:"prepare_memory_bytes,omitempty"` // the memory budget that it was prepared under; 0: unknown
}

// Bytes returns the size of all parts.
func (m Meta) Bytes() int64 {
	var n int64
	for _, p := range m.Parts {
		n += p.Bytes
	}
	return n
}

// Failure is a failed preparation; it is stored like an artifact, so that it is answered from there after a restart.
type Failure struct {
	Code    CodeHash      `json:"code_hash"`
	Fault   fault.Code    `json:"fault"`
	Message string        `json:"message"`         // already quoted
	Cause   string        `json:"cause,omitempty"` // already quoted
	Count   int           `json:"count"`           // of failures in a row that say the same; what came of a smaller limit is not among them
	At      time.Time     `json:"at"`              // of the last one
	CPU     time.Duration `json:"cpu"`             // the most that an attempt used
	Budget  time.Duration `json:"budget"`          // the CPU budget under which it failed
	Wall    time.Duration `json:"wall,omitempty"`  // the wall budget

	MemoryBytes   int64 `json:"memory_bytes,omitempty"`   // the memory budget
	InflatedBytes int64 `json:"inflated_bytes,omitempty"` // the limit of decompression

	Policy string `json:"policy,omitempty"` // names the policy on features and complexity
}

// Holds reports whether a failure is one under these limits too: code that was too large for more is too large for less. What
// a policy refused holds under that policy only.
func (f Failure) Holds(memoryBytes, inflatedBytes int64, policy string) bool {
	switch f.Fault {
	case fault.GuestDecompressionBomb, fault.GuestCodeTooLarge:
		return inflatedBytes <= f.InflatedBytes
	case fault.GuestPrepareMemory: // which bounds the output by what the code may inflate to
		return inflatedBytes <= f.InflatedBytes && memoryBytes <= f.MemoryBytes
	case fault.GuestFeature, fault.GuestTooComplex:
		return policy == f.Policy
	}
	return true
}

// TooLarge returns the fault of code that this artifact was made of, under limits of code as given and after
// decompression, as its preparation would find it; "" if it fits.
func (m Meta) TooLarge(givenBytes, inflatedBytes int64) fault.Code {
	switch {
	case m.GivenBytes > givenBytes:
		return fault.GuestCodeTooLarge
	case m.Module.WasmBytes <= inflatedBytes:
		return ""
	case m.GivenBytes != m.Module.WasmBytes: // it was compressed
		return fault.GuestDecompressionBomb
	}
	return fault.GuestCodeTooLarge
}

// State is the state of an artifact in the cache.
type State uint8

// The states.
const (
	Preparing State = 1 + iota
	Prepared
	Failed
	Absent // only a pin is left
)

// String returns the lower-case name.
func (s State) String() string {
	switch s {
	case Preparing:
		return "preparing"
	case Prepared:
		return "prepared"
	case Failed:
		return "failed"
	case Absent:
		return "absent"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}
