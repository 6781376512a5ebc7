package meter

import (
	"errors"

	"github.com/gtank/ristretto255"

	"github.com/troupehost/troupe/actors/fault"
)

var errNotAPoint = errors.New("the public key is no point to agree on")

// Agree returns what only the holders of this key and of the key behind public can compute: Diffie-Hellman over Ristretto. It is no
// key itself; derive one from it.
//
// # Errors
//
// caller.invalid_request: public is no public key, or the neutral element.
func (k *Key) Agree(public [32]byte) ([32]byte, error) {
	secret := k.Secret()
	x, p := ristretto255.NewScalar(), ristretto255.NewElement()
	if x.Decode(secret[:32]) != nil || p.Decode(public[:]) != nil || p.Equal(ristretto255.NewElement().Zero()) == 1 {
		return [32]byte{}, fault.New(fault.CallerInvalid, "agree", "", errNotAPoint)
	}
	return [32]byte(ristretto255.NewElement().ScalarMult(x, p).Encode(nil)), nil
}
