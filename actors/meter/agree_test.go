package meter

import (
	"errors"
	"testing"

	"github.com/gtank/ristretto255"

	"github.com/troupehost/troupe/actors/fault"
)

func TestAgree(t *testing.T) {
	a, b, c := KeyFromSeed([32]byte{1}), KeyFromSeed([32]byte{2}), KeyFromSeed([32]byte{3})
	agree := func(k *Key, with [32]byte) [32]byte {
		t.Helper()
		s, err := k.Agree(with)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ab := agree(a, b.Public())
	if ab != agree(b, a.Public()) {
		t.Error("the two do not agree")
	}
	if ab == agree(a, c.Public()) || ab == agree(c, b.Public()) || ab == a.Public() || ab == b.Public() {
		t.Error("others know it")
	}
	base := [32]byte(ristretto255.NewElement().Base().Encode(nil))
	if agree(a, base) != a.Public() {
		t.Error("it is not the product of the secret scalar and the point")
	}
	not := [32]byte{}
	for i := range not {
		not[i] = 0xff
	}
	for _, public := range [][32]byte{{}, {1}, not} {
		if _, err := a.Agree(public); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%x: %v", public, err)
		}
	}
}
