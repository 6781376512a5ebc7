package origin

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

func newKey(t testing.TB) *meter.Key {
	t.Helper()
	k, err := meter.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealedQuery(t *testing.T) {
	k := newKey(t)
	v := New(Config{Worker: k.Public()})
	for name, sig := range map[string][]byte{"not signed": nil, "signed": sign(t, signer(t, Sr25519, 7), query, Terms{Worker: k.Public()}, nil), "signed with nothing": {}} {
		public, sealed, openReply, err := SealQuery(k.Public(), query, sig, nil)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(sealed, query.Payload) || bytes.Contains(sealed, []byte(query.Path)) {
			t.Errorf("%s: the query can be read on the way", name)
		}
		q, got, seal, err := v.Open(k, sealed, public)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(query, q); diff != "" || !bytes.Equal(sig, got) || (sig == nil) != (got == nil) {
			t.Errorf("%s: signature %x, want %x: %s", name, got, sig, diff)
		}
		if name == "signed" {
			if _, err := v.Verify(q, got); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, reply := range []string{"", "the reply"} {
			b := seal([]byte(reply))
			if reply != "" && bytes.Contains(b, []byte(reply)) {
				t.Errorf("%s: the reply can be read on the way", name)
			}
			if got, err := openReply(b); err != nil || string(got) != reply {
				t.Errorf("%s: reply %q, %v", name, got, err)
			}
		}
		if bytes.Equal(seal([]byte("twice")), seal([]byte("twice"))) {
			t.Errorf("%s: two replies look the same", name)
		}
	}
}

func TestSealedQueryRefused(t *testing.T) {
	k, other := newKey(t), newKey(t)
	v := New(Config{Worker: k.Public()})
	public, sealed, openReply, err := SealQuery(k.Public(), query, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, k *meter.Key, sealed []byte, public [32]byte) {
		t.Helper()
		_, _, seal, err := v.Open(k, sealed, public)
		want(t, name, err, fault.CallerSealed)
		if seal != nil {
			t.Errorf("%s: a reply can be sealed", name)
		}
	}
	refused("another worker", other, sealed, public)
	refused("another sender", k, sealed, other.Public())
	refused("no point", k, sealed, filled(0xff))
	refused("the neutral point", k, sealed, [32]byte{})
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		refused("a bit", k, bad, public)
		refused("cut", k, sealed[:i], public)
	}
	_, _, seal, err := v.Open(k, sealed, public)
	if err != nil {
		t.Fatal(err)
	}
	reply := seal([]byte("reply"))
	for i := range reply {
		bad := bytes.Clone(reply)
		bad[i] ^= 1
		for _, b := range [][]byte{bad, reply[:i]} {
			_, err := openReply(b)
			want(t, "a reply that was changed", err, fault.CallerSealed)
		}
	}
	_, err = openReply(sealed)
	want(t, "the query as its reply", err, fault.CallerSealed)
	refused("the reply as a query", k, reply, public)
	_, _, openOther, err := SealQuery(k.Public(), query, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openOther(reply)
	want(t, "the reply to another query", err, fault.CallerSealed)
	// Even if two queries were sealed with one key, a reply is to one of them.
	again, sealed2, openAgain, err := SealQuery(k.Public(), query, nil, bytes.NewReader(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	_, _, openThird, err := SealQuery(k.Public(), query, nil, bytes.NewReader(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, seal, err = v.Open(k, sealed2, again); err != nil {
		t.Fatal(err)
	}
	reply = seal([]byte("reply"))
	if _, err := openAgain(reply); err != nil {
		t.Errorf("its own reply: %v", err)
	}
	_, err = openThird(reply)
	want(t, "the reply to another query with the same key", err, fault.CallerSealed)
	for _, worker := range [][32]byte{{}, filled(0xff)} {
		_, _, _, err = SealQuery(worker, query, nil, nil)
		want(t, "to nobody", err, fault.CallerSealed)
	}
}

// What was sealed once must stay readable. The seeds are 32 times 1, the worker's, and 32 times 2.
func TestSealedFormatStays(t *testing.T) {
	k, sender := meter.KeyFromSeed(filled(1)), meter.KeyFromSeed(filled(2))
	sealed := fromHex(t, "8944dfa61464c23281540fff82d356e2194bd72d71b73b9aa57b9be8bf3c2eb9070b2fc9027fcb81f9382f58d4deda347c0c097035c34e05e94d3e676d58dfca74efc987dce0de84302b0b5272af9535086d")
	q, sig, _, err := New(Config{}).Open(k, sealed, sender.Public())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(query, q); diff != "" || string(sig) != "signature" {
		t.Errorf("signature %q: %s", sig, diff)
	}
	_, back, err := ways(sender, k.Public(), sender.Public(), k.Public())
	if err != nil {
		t.Fatal(err)
	}
	about := blake2b.Sum256(sealed)
	reply, err := open(back, fromHex(t, "8a3daa9e2e83ccfcdccf88183bf5a90621ee3592bce3d95338ea4d513f6e94d274"), about[:])
	if err != nil || string(reply) != "reply" {
		t.Errorf("reply %q, %v", reply, err)
	}
}

func FuzzDecodeSignature(f *testing.F) {
	chain := certify(f, signer(f, Ecdsa, 1), nil, Certificate{Delegate: [32]byte{1}, Apps: []manifest.Address{{1}}, Paths: []string{"/a"}})
	f.Add(sign(f, signer(f, Sr25519, 7), query, terms(start), nil))
	f.Add(sign(f, signer(f, Eip712, 7), query, Terms{Worker: worker, Signed: start, Account: [32]byte{1}}, chain))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSignature(b)
		if err != nil {
			if !errors.Is(err, fault.CallerSignature) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(s.encode(), b) {
			t.Fatal("two encodings of one signature")
		}
		_ = s.verify(query)
	})
}

func FuzzDecodeSealed(f *testing.F) {
	f.Add(encodeSealed(query, nil))
	f.Add(encodeSealed(query, []byte("signature")))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, sig, err := decodeSealed(b)
		if err != nil {
			if !errors.Is(err, fault.CallerSealed) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(encodeSealed(q, sig), b) {
			t.Fatal("two encodings of one query")
		}
	})
}

func BenchmarkSealed(b *testing.B) {
	k := newKey(b)
	v := New(Config{Worker: k.Public()})
	public, sealed, _, err := SealQuery(k.Public(), query, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_, _, seal, err := v.Open(k, sealed, public)
		if err != nil {
			b.Fatal(err)
		}
		seal(query.Payload)
	}
}
