package pallet

import (
	"encoding/hex"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
)

// Balance is an amount of the chain's smallest unit. In JSON it is a text of decimal digits.
type Balance = meter.Uint128

// Units returns n smallest units.
func Units(n uint64) Balance { return Balance{Lo: n} }

// Account is the public key of its owner, or a hash that nobody has a key of. In JSON it is 64 hex digits.
type Account [32]byte

// Hash is a hash, or any other name of 32 bytes. In JSON it is 64 hex digits.
type Hash [32]byte

// Bytes is data. In JSON it is 0x and hex digits.
type Bytes []byte

func (a Account) String() string { return hex.EncodeToString(a[:]) }
func (h Hash) String() string    { return hex.EncodeToString(h[:]) }
func (b Bytes) String() string   { return "0x" + hex.EncodeToString(b) }

// MarshalText is String.
func (a Account) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// MarshalText is String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// MarshalText is String.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads hex digits, 0x before them or not.
func (a *Account) UnmarshalText(text []byte) error { return fixed(a[:], text) }

// UnmarshalText reads hex digits, 0x before them or not.
func (h *Hash) UnmarshalText(text []byte) error { return fixed(h[:], text) }

// UnmarshalText reads hex digits, 0x before them or not.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	if *b, err = hex.DecodeString(strings.TrimPrefix(string(text), "0x")); err != nil {
		return notHex(text)
	}
	return nil
}

func fixed(dst []byte, text []byte) error {
	b, err := hex.DecodeString(strings.TrimPrefix(string(text), "0x"))
	if err != nil || len(b) != len(dst) {
		return notHex(text)
	}
	copy(dst, b)
	return nil
}

func notHex(text []byte) error {
	return fault.New(fault.CallerInvalid, "hex", fault.Quote(string(text)), nil).WithHint("32 bytes are written as 64 hex digits, data as 0x and pairs of hex digits")
}
