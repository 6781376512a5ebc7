package meter

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// root is the key of the development phrase that all chains of Substrate know.
func root() *Key {
	return KeyFromSeed([32]byte(unhex("fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e")))
}

// junction is what Substrate makes of //name: the text with its length, and zeros.
func junction(name string) (j [32]byte) {
	j[0] = byte(len(name) << 2)
	copy(j[1:], name)
	return j
}

func TestDevelopmentKeys(t *testing.T) {
	for path, want := range map[string]string{
		"":            "46ebddef8cd9bb167dc30878d7113b7e168e6f0646beffd77d69d39bad76b47a",
		"Alice":       "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d",
		"Bob":         "8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48",
		"Alice stash": "be5ddb1579b72e84524fc29e78609e3caf42e85aa118ebfe0b0ad404b5bdd25f",
	} {
		k := root()
		var steps [][32]byte
		for _, name := range strings.Fields(path) {
			steps = append(steps, junction(name))
		}
		derived := k.Derive(steps...)
		if got := derived.Public(); hex.EncodeToString(got[:]) != want {
			t.Errorf("%q: %x, want %s", path, got, want)
		}
		if again := KeyFromSeed(derived.Seed()); again.Public() != derived.Public() || again.Secret() != derived.Secret() {
			t.Errorf("%q: its seed makes another key", path)
		}
	}
}

// Alice's secret is known in the form that is multiplied by 8, as Ed25519 has it.
func TestSecret(t *testing.T) {
	const want = "98319d4ff8a9508c4bb0cf0b5a78d760a0b2082c02775e6e82370816fedfff48925a225d97aa00682d6a59b95b18780c10d7032336e88f3442b42361f4a66011"
	k := root().Derive(junction("Alice"))
	if seed := k.Seed(); hex.EncodeToString(seed[:]) != "e5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a" {
		t.Errorf("seed %x", seed)
	}
	secret := k.Secret()
	scalar := secret[:32]
	slices.Reverse(scalar) // numbers of the library begin with the highest byte
	n := new(big.Int).SetBytes(scalar)
	n.Lsh(n, 3).FillBytes(scalar)
	slices.Reverse(scalar)
	if got := hex.EncodeToString(secret[:]); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A signature that the reference implementation made.
func TestVerifyForeignSignature(t *testing.T) {
	public := root().Public()
	msg := []byte("this is a message")
	sig := unhex("4e172314444b8f820bb54c22e95076f220ed25373e5c178234aa6c211d29271244b947e3ff3418ff6b45fd1df1140c8cbff69fc58ee6dc96df70936a2bb74b82")
	if !Verify(public, msg, sig) {
		t.Fatal("refused")
	}
	for i := range 8 * len(sig) {
		bad := bytes.Clone(sig)
		bad[i/8] ^= 1 << (i % 8)
		if Verify(public, msg, bad) {
			t.Errorf("bit %d does not matter", i)
		}
	}
	for i := range 8 * len(public) {
		bad := public
		bad[i/8] ^= 1 << (i % 8)
		if Verify(bad, msg, sig) {
			t.Errorf("bit %d of the key does not matter", i)
		}
	}
	// The order of the group, added to the second half: the same signature in another spelling.
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := bytes.Clone(sig[32:])
	s[31] &= 127
	slices.Reverse(s)
	new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(s)
	slices.Reverse(s)
	s[31] |= 128
	if Verify(public, msg, append(bytes.Clone(sig[:32]), s...)) {
		t.Error("a signature has two spellings")
	}
}

func TestSign(t *testing.T) {
	k, err := NewKey(bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	if k.Public() != KeyFromSeed([32]byte(bytes.Repeat([]byte{7}, 32))).Public() {
		t.Error("not the key of what was read")
	}
	a, b := k.Sign([]byte("x")), k.Sign([]byte("x"))
	if a == b {
		t.Error("the same nonce twice")
	}
	for _, sig := range [][]byte{a[:], b[:]} {
		if !Verify(k.Public(), []byte("x"), sig) || Verify(k.Public(), []byte("y"), sig) || Verify(root().Public(), []byte("x"), sig) {
			t.Errorf("%x", sig)
		}
	}
	if _, err := NewKey(strings.NewReader("too short")); !errors.Is(err, fault.HostKey) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

// Keys of no strength, and signatures of no form.
func TestVerifyRefuses(t *testing.T) {
	k := root()
	sig := k.Sign(nil)
	var identity [32]byte
	ones := [32]byte(bytes.Repeat([]byte{0xff}, 32))
	zero := make([]byte, 64)
	zero[63] = 128
	unmarked := sig
	unmarked[63] &= 127
	for name, c := range map[string]struct {
		key [32]byte
		sig []byte
	}{
		"the identity as key": {identity, zero}, "no point": {ones, sig[:]}, "no signature": {k.Public(), nil}, "63 bytes": {k.Public(), sig[:63]},
		"65 bytes": {k.Public(), append(sig[:], 0)}, "zeros": {k.Public(), make([]byte, 64)}, "zeros with a mark": {k.Public(), zero},
		"without its mark": {k.Public(), unmarked[:]},
	} {
		if Verify(c.key, nil, c.sig) {
			t.Error(name)
		}
	}
	if !Verify(k.Public(), nil, sig[:]) {
		t.Error("the signature itself")
	}
}

func TestKeysPrintNoSecrets(t *testing.T) {
	k := root()
	seed := k.Seed()
	secret := k.Secret()
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if got := fmt.Sprintf(format, k); got != k.String() || strings.Contains(got, hex.EncodeToString(seed[:4])) || strings.Contains(got, hex.EncodeToString(secret[:4])) {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestKeyOfManyGoroutines(t *testing.T) {
	k := root()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			msg := []byte{byte(i)}
			sig := k.Derive(junction("Alice")).Sign(msg)
			if !Verify(k.Derive(junction("Alice")).Public(), msg, sig[:]) {
				t.Error(i)
			}
		})
	}
	wg.Wait()
}

func FuzzVerify(f *testing.F) {
	sig := root().Sign([]byte("x"))
	public := root().Public()
	f.Add(public[:], []byte("x"), sig[:])
	f.Add(make([]byte, 32), []byte(nil), make([]byte, 64))
	f.Fuzz(func(t *testing.T, public, msg, sig []byte) {
		var key [32]byte
		copy(key[:], public)
		if once := Verify(key, msg, sig); Verify(key, append(msg, 1), sig) && once {
			t.Error("a signature of two messages")
		}
	})
}

func BenchmarkSign(b *testing.B) {
	k := root()
	for b.Loop() {
		k.Sign([]byte("x"))
	}
}

func BenchmarkVerify(b *testing.B) {
	k := root()
	sig := k.Sign([]byte("x"))
	for b.Loop() {
		Verify(k.Public(), []byte("x"), sig[:])
	}
}

func BenchmarkDerive(b *testing.B) {
	k := root()
	for b.Loop() {
		k.Derive(junction("Alice"))
	}
}
