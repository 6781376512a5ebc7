package origin

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/artifacts/manifest"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func filled(b byte) (out [32]byte) {
	for i := range out {
		out[i] = b
	}
	return out
}

// What is signed, byte for byte: computed from the format in doc.go by a program of its own, in another language.
func TestMessages(t *testing.T) {
	tm := Terms{Worker: filled(1), Signed: time.UnixMilli(1700000000000), Expiry: time.UnixMilli(1700000060000), Account: filled(2)}
	for i := range byte(16) {
		tm.Nonce = append(tm.Nonce, i)
	}
	q := Query{Address: filled(3), Path: "/a/b", Payload: []byte("hello")}
	chain := []Link{{Certificate: Certificate{
		Delegate: filled(4), Expiry: time.UnixMilli(1800000000000), Delegations: 2,
		Apps: []manifest.Address{filled(3)}, Paths: []string{"/a", "/ü"},
	}}}
	for _, c := range []struct {
		name      string
		statement statement
		size      int
		want      map[Type]string
	}{
		{"direct", newSignedQuery(tm, q, nil), 180, map[Type]string{
			Ecdsa:             "71a2b77ebea52fc2998dc052c7e39a4eaab6036ee854c05ce05d25c556fbaae3",
			EcdsaWrapBytes:    "8f96ef387496a0a917ff766ac80f4ed5faeee5606f86cf827c7d79628f5a5cba",
			Eip712:            "f52f3518696b2466e5178c831857a2bd91cbb22fdec01d17fdc6cb0b83213877",
			EvmEcdsa:          "f77cd69dc7946b1b8b0d4b1b18bbf8281f3ef2361e4e38138b1f8993d0d77682",
			EvmEcdsaWrapBytes: "ed13216abdeb34c47438d3fa900e43cff3f2bf2878a67d65feb46b7d4bae700d",
		}},
		{"by a certificate", newSignedQuery(tm, q, chain), 212, map[Type]string{
			Ecdsa:             "a91a69565542ad5c8c159c8e008079c721590330823f4849444294bf7d9c49e9",
			EcdsaWrapBytes:    "48cd0e72d383661fa08d66646e32919da20c119fa259a07f98b998496d482831",
			Eip712:            "2623ca72d267186ecaee16ffcd954cd095c4be8f45b07f974f6fb31ead620a3e",
			EvmEcdsa:          "ebc0c080b748e117f3ddc75c8585ac386c50954f3eb808a6cefbb4739adbe53d",
			EvmEcdsaWrapBytes: "b7270e740409a97b33a763a4a7b427b5cf0aa939bafc09bd1b14e9bc9418394e",
		}},
		{"certificate", issued{Certificate: chain[0].Certificate}, 128, map[Type]string{
			Ecdsa:             "1f9a8691002d51dc337b21d9692c60554d5995cb1acc4ea40648fa8fa4c8d8bb",
			EcdsaWrapBytes:    "3c0a0cdf5d98cf7b0d05eb125f48aac2447a649ca8d5f4c2fcb068dd688cfe59",
			Eip712:            "1a776afea25e0182bb34e551cec098054dc44cb10a7a1585a216a161447b3955",
			EvmEcdsa:          "40638c25eb99addb910b7dc7bb4708ea0c96de540259c78bee7b8ff81ed8d8e1",
			EvmEcdsaWrapBytes: "eed5875be24b07c1265caac56afcd00e5e852f866e442cdd3d501efc48e14073",
		}},
	} {
		if n := len(c.statement.message()); n != c.size {
			t.Errorf("%s: %d bytes, want %d", c.name, n, c.size)
		}
		for kind, want := range c.want {
			if got := hex.EncodeToString(kind.signed(c.statement)); got != want {
				t.Errorf("%s, %v: %s, want %s", c.name, kind, got, want)
			}
		}
		// The types that sign the message itself.
		for plain, digest := range map[Type]Type{Ed25519: Ecdsa, Sr25519: Ecdsa, Ed25519WrapBytes: EcdsaWrapBytes, Sr25519WrapBytes: EcdsaWrapBytes} {
			sum := blake2b.Sum256(plain.signed(c.statement))
			if got := hex.EncodeToString(sum[:]); got != c.want[digest] {
				t.Errorf("%s, %v signs something else", c.name, plain)
			}
		}
	}
}

// The accounts of known keys: Substrate's Alice on secp256k1, and the key of the web3.js documentation.
func TestKnownAccounts(t *testing.T) {
	for _, c := range []struct {
		kind            Type
		secret, account string
	}{
		{Ecdsa, "cb6df9de1efca7a3998a8ead4e02159d5fa99c3e0d4fd6432667390bb4726854", "01e552298e47454041ea31273b4b630c64c104e4514aa3643490b8aaca9cf8ed"},
		{EvmEcdsa, "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318", "2c7536e3605d9c16a7a3d7b1898e529396a65c23" + hex.EncodeToString([]byte("@evm_address"))},
	} {
		s, err := NewSigner(c.kind, fromHex(t, c.secret))
		if err != nil {
			t.Fatal(err)
		}
		account := s.Account()
		if got := hex.EncodeToString(account[:]); got != c.account {
			t.Errorf("%v: %s, want %s", c.kind, got, c.account)
		}
	}
}

// The signature of "Some data" in the web3.js documentation.
func TestPersonalSign(t *testing.T) {
	digest := keccak([]byte("\x19Ethereum Signed Message:\n9"), []byte("Some data"))
	if got := hex.EncodeToString(digest[:]); got != "1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655" {
		t.Errorf("digest %s", got)
	}
	sig := fromHex(t, "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c")
	key, ok := recoverKey(sig, digest[:])
	if !ok {
		t.Fatal("no key")
	}
	account := secpAccount(EvmEcdsa, key)
	if got := hex.EncodeToString(account[:20]); got != "2c7536e3605d9c16a7a3d7b1898e529396a65c23" {
		t.Errorf("address %s", got)
	}
	for _, v := range []byte{0, 2, 3, 26, 27, 29, 30, 255} {
		bad := append(append([]byte{}, sig[:64]...), v)
		if k, ok := recoverKey(bad, digest[:]); ok && k.IsEqual(key) {
			t.Errorf("%d passes for %d", v, sig[64])
		}
	}
	// The other s that fits: n - s, with the other parity.
	var s secp256k1.ModNScalar
	s.SetByteSlice(sig[32:64])
	s.Negate()
	high := s.Bytes()
	if _, ok := recoverKey(append(append(append([]byte{}, sig[:32]...), high[:]...), 27), digest[:]); ok {
		t.Error("a second signature was made of one")
	}
}

// The example of EIP-712: mail from Cow to Bob.
func TestTypedData(t *testing.T) {
	address := func(s string) (w [32]byte) { copy(w[12:], fromHex(t, s)); return w }
	hash := func(s string) [32]byte { return keccak([]byte(s)) }
	struc := func(fields ...[32]byte) [32]byte {
		var all []byte
		for _, f := range fields {
			all = append(all, f[:]...)
		}
		return keccak(all)
	}
	domain := struc(hash("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
		hash("Ether Mail"), hash("1"), word(1), address("CcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC"))
	person := hash("Person(string name,address wallet)")
	got := typed(domain, hash("Mail(Person from,Person to,string contents)Person(string name,address wallet)"),
		struc(person, hash("Cow"), address("CD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826")),
		struc(person, hash("Bob"), address("bBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB")),
		hash("Hello, Bob!"))
	if s := hex.EncodeToString(got[:]); s != "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2" {
		t.Errorf("digest %s", s)
	}
}

// Points of small order have signatures that nobody made.
func TestNobodysKeys(t *testing.T) {
	for _, kind := range []Type{Ed25519, Sr25519, Ed25519WrapBytes, Sr25519WrapBytes} {
		for _, key := range weakKeys {
			for _, sign := range []byte{0, 0x80} {
				key[31] |= sign
				forged := 0
				for n := range 64 { // whether one fits depends on the message
					tm := Terms{Worker: worker, Signed: start, Expiry: start.Add(time.Minute), Nonce: make([]byte, 16), Account: key}
					tm.Nonce[0] = byte(n)
					for _, r := range weakKeys {
						p := Proof{Type: kind, Key: key[:], Signature: append(append([]byte{}, r[:]...), make([]byte, 32)...)}
						if kind == Sr25519 || kind == Sr25519WrapBytes {
							p.Signature[63] |= 0x80
						}
						if _, ok := p.account(newSignedQuery(tm, query, nil)); ok {
							forged++
						}
					}
				}
				if forged > 0 {
					t.Errorf("%v: %d signatures of %x", kind, forged, key)
				}
			}
		}
	}
}
