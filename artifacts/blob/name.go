package blob

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
)

// Name is what a manifest calls a blob: "sha256:<hex>" or "sha512:<hex>". The zero Name is none.
type Name struct {
	size int // of the hash
	sum  [sha512.Size]byte
}

var algorithms = map[int]string{sha256.Size: "sha256:", sha512.Size: "sha512:"}

// ParseName reads a name.
//
// # Errors
//
// caller.invalid_request.
func ParseName(text string) (Name, error) {
	for size, prefix := range algorithms {
		if digits, ok := strings.CutPrefix(text, prefix); ok && len(digits) == 2*size {
			n := Name{size: size}
			if _, err := hex.Decode(n.sum[:], []byte(digits)); err == nil {
				return n, nil
			}
		}
	}
	return Name{}, fault.New(fault.CallerInvalid, "read", fault.Quote(text), errors.New("the name of a blob is sha256: or sha512: and the hash in hex"))
}

// String returns the name as ParseName reads it, in lower case.
func (n Name) String() string {
	if n.size == 0 {
		return ""
	}
	return algorithms[n.size] + hex.EncodeToString(n.sum[:n.size])
}

// IsZero says that it is none.
func (n Name) IsZero() bool { return n.size == 0 }

// Name returns the name of a blob by its SHA-256.
func (h Hash) Name() Name {
	n := Name{size: sha256.Size}
	copy(n.sum[:], h[:])
	return n
}

func longName(sum [sha512.Size]byte) Name { return Name{size: sha512.Size, sum: sum} }
