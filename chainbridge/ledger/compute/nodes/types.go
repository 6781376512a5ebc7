package nodes

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// ID is the name of a node: for a host, the 64 hex digits of its worker key.
type ID = string

// MaxID bounds an ID in bytes.
const MaxID = 128

func name(names []string, v uint8) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%d", v)
}

func byName(names []string, text []byte) (uint8, error) {
	if i := slices.Index(names, string(text)); i >= 0 {
		return uint8(i), nil
	}
	return 0, fault.New(fault.CallerInvalid, "enum", fault.Quote(string(text)), nil)
}

// NodeType is what a node does.
type NodeType uint8

// The types of nodes.
const (
	Validator NodeType = iota
	StorageMiner
	StorageS3
	ComputeMiner
	GpuMiner
)

var nodeTypes = []string{"Validator", "StorageMiner", "StorageS3", "ComputeMiner", "GpuMiner"}

func (t NodeType) String() string { return name(nodeTypes, uint8(t)) }

// MarshalText is String.
func (t NodeType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads String.
func (t *NodeType) UnmarshalText(text []byte) error {
	v, err := byName(nodeTypes, text)
	*t = NodeType(v)
	return err
}

// EncodeScale implements scale.Value.
func (t *NodeType) EncodeScale(e *scale.Encoder) { e.U8(uint8(*t)) }

// DecodeScale implements scale.Value.
func (t *NodeType) DecodeScale(d *scale.Decoder) { *t = NodeType(d.Enum(uint8(GpuMiner))) }

// Status is how a node does.
type Status uint8

// The states of nodes.
const (
	Online Status = iota
	Degraded
	Offline
)

var statuses = []string{"Online", "Degraded", "Offline"}

func (t Status) String() string { return name(statuses, uint8(t)) }

// MarshalText is String.
func (t Status) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads String.
func (t *Status) UnmarshalText(text []byte) error {
	v, err := byName(statuses, text)
	*t = Status(v)
	return err
}

// EncodeScale implements scale.Value.
func (t *Status) EncodeScale(e *scale.Encoder) { e.U8(uint8(*t)) }

// DecodeScale implements scale.Value.
func (t *Status) DecodeScale(d *scale.Decoder) { *t = Status(d.Enum(uint8(Offline))) }

// NodeInfo is a registered node.
type NodeInfo struct {
	NodeID       ID             `json:"node_id"`
	NodeType     NodeType       `json:"node_type"`
	IpfsNodeID   *string        `json:"ipfs_node_id" scale:"max=128"`
	Status       Status         `json:"status"`
	RegisteredAt uint64         `json:"registered_at"`
	Owner        pallet.Account `json:"owner"`
}

// The kinds of signatures.
const (
	Ed25519 uint8 = iota
	Sr25519
	Ecdsa
)

// MultiSignature is a signature and its kind: 64 bytes, 65 for Ecdsa. The zero value is none.
type MultiSignature struct {
	Kind  uint8
	Bytes [65]byte
}

var kinds = []string{"Ed25519", "Sr25519", "Ecdsa"}

func (m *MultiSignature) bytes() []byte {
	if m.Kind == Ecdsa {
		return m.Bytes[:]
	}
	return m.Bytes[:64]
}

// EncodeScale implements scale.Value.
func (m *MultiSignature) EncodeScale(e *scale.Encoder) {
	e.U8(m.Kind)
	e.Raw(m.bytes())
}

// DecodeScale implements scale.Value.
func (m *MultiSignature) DecodeScale(d *scale.Decoder) {
	*m = MultiSignature{Kind: d.Enum(Ecdsa)}
	d.Fixed(m.bytes())
}

// MarshalText is the kind, a colon, and the bytes in hex.
func (m MultiSignature) MarshalText() ([]byte, error) {
	return []byte(name(kinds, m.Kind) + ":" + pallet.Bytes(m.bytes()).String()), nil
}

// UnmarshalText reads what MarshalText wrote. Nothing is none.
func (m *MultiSignature) UnmarshalText(text []byte) error {
	*m = MultiSignature{}
	if len(text) == 0 {
		return nil
	}
	kind, digits, _ := bytes.Cut(text, []byte(":"))
	k, err := byName(kinds, kind)
	if err != nil {
		return err
	}
	m.Kind = k
	var b pallet.Bytes
	if err := b.UnmarshalText(digits); err != nil {
		return err
	}
	if len(b) != len(m.bytes()) {
		return fault.New(fault.CallerInvalid, "signature", "", fmt.Errorf("%d bytes", len(b)))
	}
	copy(m.bytes(), b)
	return nil
}

// Payload is what a signature argument signs: the call's name, the genesis of the chain, and the arguments before the signature.
func Payload(genesis pallet.Hash, call string, args ...any) []byte {
	var e scale.Encoder
	e.String("troupe/compute/1")
	e.Raw(genesis[:])
	e.String(call)
	for _, a := range args {
		scale.Append(&e, a)
	}
	h := blake2b.Sum256(e.Encoded())
	return h[:]
}

// Valid says whether there is no signature, or one of the account.
func (m *MultiSignature) Valid(by pallet.Account, payload []byte) bool {
	switch {
	case *m == MultiSignature{Kind: m.Kind}:
		return true
	case m.Kind == Ed25519:
		return ed25519.Verify(by[:], payload, m.bytes())
	case m.Kind == Sr25519:
		return meter.Verify(by, payload, m.bytes())
	}
	return false // an account is no hash of a public key here
}
