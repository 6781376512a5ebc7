package manifest

import (
	"encoding/hex"
	"strings"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
)

// Address returns the name of the app: the BLAKE2b-256 of Encode.
func (m *Manifest) Address() Address { return blake2b.Sum256(m.Encode()) }

// String returns 64 lower-case hex digits.
func (a Address) String() string { return hex.EncodeToString(a[:]) }

// ParseAddress reads what String prints; 0x before it and upper-case digits do no harm.
func ParseAddress(s string) (Address, error) {
	var a Address
	digits := strings.TrimPrefix(s, "0x")
	if len(digits) != hex.EncodedLen(len(a)) {
		return Address{}, badAddress(s)
	}
	if _, err := hex.Decode(a[:], []byte(digits)); err != nil {
		return Address{}, badAddress(s)
	}
	return a, nil
}

func badAddress(s string) error {
	return fault.New(fault.CallerInvalid, "app address", fault.Quote(s), nil).WithHint("an address has 64 hex digits")
}

// MarshalText is String.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is ParseAddress.
func (a *Address) UnmarshalText(b []byte) error {
	parsed, err := ParseAddress(string(b))
	if err == nil {
		*a = parsed
	}
	return err
}
