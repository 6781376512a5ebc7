package meter

import (
	"bytes"
	"slices"
	"strconv"
	"testing"

	"github.com/ChainSafe/go-schnorrkel"
	"github.com/gtank/ristretto255"
)

// TestSignatures: what is signed here is what the library verifies, and what it signs is verified here; no two are alike.
func TestSignatures(t *testing.T) {
	seen := map[[SignatureBytes]byte]bool{}
	for n := range 64 {
		k := KeyFromSeed([32]byte{byte(n), 1})
		msg := make([]byte, n*3)
		sig := k.Sign(msg)
		var s schnorrkel.Signature
		if err := s.Decode(sig); err != nil {
			t.Fatal(err)
		}
		public, err := schnorrkel.NewPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := public.Verify(&s, schnorrkel.NewSigningContext([]byte(signingContext), msg)); !ok || err != nil {
			t.Errorf("key %d: %v, %v", n, ok, err)
		}
		if !Verify(k.Public(), msg, sig[:]) || Verify(k.Public(), append(msg, 0), sig[:]) {
			t.Errorf("key %d: its signature is not for its message alone", n)
		}
		theirs, err := k.secret.Sign(schnorrkel.NewSigningContext([]byte(signingContext), msg))
		if err != nil {
			t.Fatal(err)
		}
		if b := theirs.Encode(); !Verify(k.Public(), msg, b[:]) {
			t.Errorf("key %d: what the library signs is refused", n)
		}
		for _, sig := range [][SignatureBytes]byte{sig, k.Sign(msg)} {
			if seen[sig] {
				t.Error("a signature comes twice")
			}
			seen[sig] = true
		}
	}
}

// libraryVerify is what Verify was before it was written out.
func libraryVerify(public [32]byte, msg, sig []byte) bool {
	var key schnorrkel.PublicKey
	var s schnorrkel.Signature
	if len(sig) != SignatureBytes || key.Decode(public) != nil || s.Decode([SignatureBytes]byte(sig)) != nil {
		return false
	}
	ok, err := key.Verify(&s, schnorrkel.NewSigningContext([]byte(signingContext), msg))
	return ok && err == nil
}

// TestVerifyAsTheLibrary: each bit of a signature and of its key matters to both or to none, and so do points and scalars that are
// spelled otherwise or are none.
func TestVerifyAsTheLibrary(t *testing.T) {
	k := KeyFromSeed([32]byte{3})
	msg := []byte("both")
	good := k.Sign(msg)
	same := func(name string, public [32]byte, sig [SignatureBytes]byte) {
		if got, want := Verify(public, msg, sig[:]), libraryVerify(public, msg, sig[:]); got != want {
			t.Errorf("%s: %v, and the library says %v", name, got, want)
		}
	}
	same("good", k.Public(), good)
	for i := range 8 * SignatureBytes {
		bad := good
		bad[i/8] ^= 1 << (i % 8)
		same("a bit of the signature", k.Public(), bad)
	}
	for i := range 256 {
		bad := k.Public()
		bad[i/8] ^= 1 << (i % 8)
		same("a bit of the key", bad, good)
	}
	// Field elements that are no canonical spelling, negative ones, and the neutral element, in each place.
	prime := [32]byte{0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	for _, odd := range [][32]byte{{}, {1}, {2}, {31: 0x80}, {31: 0x7f}, prime, {0xff, 31: 0xff}} {
		bad := good
		copy(bad[:], odd[:])
		same("point", k.Public(), bad)
		same("key", odd, good)
		copy(bad[32:], odd[:])
		same("point and scalar", k.Public(), bad)
		bad[63] |= 0x80
		same("all", odd, bad)
	}
}

// FuzzVerifyAsTheLibrary looks for what one takes and the other refuses.
func FuzzVerifyAsTheLibrary(f *testing.F) {
	k := KeyFromSeed([32]byte{4})
	public, sig := k.Public(), k.Sign([]byte("x"))
	f.Add(public[:], []byte("x"), sig[:])
	f.Add(make([]byte, 32), []byte("x"), append(make([]byte, 63), 0x80))
	f.Fuzz(func(t *testing.T, public, msg, sig []byte) {
		var key [32]byte
		copy(key[:], public)
		if got, want := Verify(key, msg, sig), libraryVerify(key, msg, sig); got != want {
			t.Errorf("%v, and the library says %v", got, want)
		}
	})
}

// TestVerifyAll: a batch says of each what Verify says, whatever is wrong with whichever of them.
func TestVerifyAll(t *testing.T) {
	var good []Signed
	for n := range byte(20) {
		k, msg := KeyFromSeed([32]byte{n, 5}), []byte{n}
		sig := k.Sign(msg)
		good = append(good, Signed{k.Public(), msg, sig[:]})
	}
	// Two that are wrong by as much, one more and one less: without numbers of chance they would make up for each other.
	one := make([]byte, 32)
	one[0] = 1
	shift := func(sig []byte, sub bool) []byte {
		s, d := ristretto255.NewScalar(), ristretto255.NewScalar()
		half := [32]byte(sig[32:])
		half[31] &= 0x7f
		if s.Decode(half[:]) != nil || d.Decode(one) != nil {
			t.Fatal("no scalar")
		}
		if sub {
			s.Subtract(s, d)
		} else {
			s.Add(s, d)
		}
		out := s.Encode(slices.Clone(sig[:32]))
		out[63] |= 0x80
		return out
	}
	for name, change := range map[string]func(b []Signed){
		"all right":    func([]Signed) {},
		"another key":  func(b []Signed) { b[3].Public = b[4].Public },
		"no point":     func(b []Signed) { b[0].Signature = append(bytes.Repeat([]byte{0xff}, 32), b[0].Signature[32:]...) },
		"no signature": func(b []Signed) { b[19].Signature = nil },
		"swapped":      func(b []Signed) { b[1].Signature, b[2].Signature = b[2].Signature, b[1].Signature },
		"a message":    func(b []Signed) { b[7].Message = []byte("x") },
		"two that add up": func(b []Signed) {
			b[5].Signature, b[6].Signature = shift(b[5].Signature, false), shift(b[6].Signature, true)
		},
		"the neutral key": func(b []Signed) { b[9].Public = [32]byte{} },
	} {
		batch := slices.Clone(good)
		change(batch)
		for n := range len(batch) + 1 {
			for i, got := range VerifyAll(batch[:n]) {
				if s := batch[i]; got != libraryVerify(s.Public, s.Message, s.Signature) {
					t.Errorf("%s: %d of %d is %v", name, i, n, got)
				}
			}
		}
	}
}

// BenchmarkVerifyAll is one of a batch.
func BenchmarkVerifyAll(b *testing.B) {
	for _, n := range []int{8, 32, 64, 128, 256} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var batch []Signed
			for i := range n {
				k := KeyFromSeed([32]byte{byte(i), byte(i >> 8)})
				sig := k.Sign([]byte("x"))
				batch = append(batch, Signed{k.Public(), []byte("x"), sig[:]})
			}
			for i := 0; b.Loop(); i++ {
				if i%n == 0 && slices.Contains(VerifyAll(batch), false) {
					b.Fatal("wrong")
				}
			}
		})
	}
}

// BenchmarkSignOfTheLibrary is what BenchmarkSign is compared with.
func BenchmarkSignOfTheLibrary(b *testing.B) {
	k, msg := KeyFromSeed([32]byte{1}), []byte("x")
	for b.Loop() {
		_, _ = k.secret.Sign(schnorrkel.NewSigningContext([]byte(signingContext), msg))
	}
}
