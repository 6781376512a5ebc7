package cli

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"strings"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
)

const base58Digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

const maxAccountText = 64 // an account of 32 bytes in SS58 has 50 digits at most

// parseAccount reads an account of at most 32 bytes in hex digits or in SS58.
func parseAccount(text string) ([]byte, error) {
	bad := func(why string) error {
		return usage("account "+fault.Quote(text), why)
	}
	digits := strings.TrimPrefix(text, "0x")
	if b, err := hex.DecodeString(digits); err == nil {
		if len(b) == 0 || len(b) > 32 {
			return nil, bad("an account has 1 to 32 bytes")
		}
		return b, nil
	}
	if len(text) > maxAccountText {
		return nil, bad("write it in hex digits or in SS58")
	}
	b, ok := base58(text)
	if !ok {
		return nil, bad("write it in hex digits or in SS58")
	}
	// One byte of network, or two if the second highest bit of the first is set; 32 of the account; two of the check sum.
	network := 1
	if len(b) > 0 && b[0]&0x40 != 0 {
		network = 2
	}
	const account, check = 32, 2
	if len(b) != network+account+check || b[0]&0x80 != 0 {
		return nil, bad("SS58 of another length: only accounts of 32 bytes are known")
	}
	body := b[:network+account]
	sum := blake2b.Sum512(append([]byte("SS58PRE"), body...))
	if !bytes.Equal(sum[:check], b[len(body):]) {
		return nil, bad("its check sum is wrong: a letter is mistyped")
	}
	return body[network:], nil
}

// base58 reads digits; each leading 1 is a byte of zero.
func base58(text string) ([]byte, bool) {
	n, radix := new(big.Int), big.NewInt(int64(len(base58Digits)))
	for _, r := range text {
		i := strings.IndexRune(base58Digits, r)
		if i < 0 {
			return nil, false
		}
		n.Add(n.Mul(n, radix), big.NewInt(int64(i)))
	}
	zeros := len(text) - len(strings.TrimLeft(text, "1"))
	return append(make([]byte, zeros), n.Bytes()...), text != ""
}
