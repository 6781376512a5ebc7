package chain

import (
	"encoding/hex"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
)

// Hash is the hash of a block or transaction, or an account. As text it is 64 hex digits.
type Hash [32]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero says whether there is none.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText is String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads hex digits, 0x before them or not.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(strings.TrimPrefix(string(text), "0x"))
	if err != nil || len(b) != len(h) {
		return fault.New(fault.CallerInvalid, "hash", fault.Quote(string(text)), nil).WithHint("it has 64 hex digits")
	}
	copy(h[:], b)
	return nil
}
