package origin

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

var (
	worker = [32]byte{9}
	start  = time.UnixMilli(1_700_000_000_000)
	query  = Query{Address: manifest.Address{3}, Path: "/a/b", Payload: []byte("hello")}
)

// clock is the time of a Verifier.
type clock struct{ now time.Time }

func (c *clock) verifier(seen int) *Verifier {
	return New(Config{Worker: worker, Now: func() time.Time { return c.now }, MaxSeen: seen})
}

func signer(t testing.TB, kind Type, n byte) *Signer {
	t.Helper()
	s, err := NewSigner(kind, bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var nonces byte

// terms are good ones, with a nonce of their own.
func terms(at time.Time) Terms {
	nonces++
	return Terms{Worker: worker, Signed: at, Expiry: at.Add(time.Minute), Nonce: append(bytes.Repeat([]byte{nonces}, 15), byte(at.Unix()))}
}

func sign(t testing.TB, s *Signer, q Query, tm Terms, chain []Link) []byte {
	t.Helper()
	b, err := Sign(s, q, tm, chain)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func certify(t testing.TB, s *Signer, by []Link, c Certificate) []Link {
	t.Helper()
	if c.Expiry.IsZero() {
		c.Expiry = start.Add(24 * time.Hour)
	}
	chain, err := s.Certify(by, c)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

func want(t *testing.T, what string, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Errorf("%s: %v, want %q", what, err, code)
	}
}

func eachType(t *testing.T, f func(*testing.T, Type)) {
	for kind := Ed25519; kind <= EvmEcdsaWrapBytes; kind++ {
		t.Run(kind.String(), func(t *testing.T) { f(t, kind) })
	}
}

func TestEachTypeHasItsAccount(t *testing.T) {
	eachType(t, func(t *testing.T, kind Type) {
		v := (&clock{start}).verifier(0)
		s := signer(t, kind, 7)
		got, err := v.Verify(query, sign(t, s, query, terms(start), nil))
		if err != nil || got != s.Account() {
			t.Errorf("account %x, want %x: %v", got, s.Account(), err)
		}
		if back, ok := ParseType(kind.String()); !ok || back != kind {
			t.Errorf("parsed as %v", back)
		}
	})
}

// A bit that differs anywhere in the query or in what is sent along with it is found.
func TestAnyBitCounts(t *testing.T) {
	eachType(t, func(t *testing.T, kind Type) {
		v := (&clock{start}).verifier(0)
		s := signer(t, kind, 7)
		chain := certify(t, signer(t, kind, 8), nil, Certificate{Delegate: s.Account(), Apps: []manifest.Address{query.Address}, Paths: []string{"/a"}})
		tm := terms(start)
		tm.Account = signer(t, kind, 8).Account()
		good := sign(t, s, query, tm, chain)
		for i := range good {
			for _, bit := range []byte{1, 0x80} {
				bad := bytes.Clone(good)
				bad[i] ^= bit
				if _, err := v.Verify(query, bad); !errors.Is(err, fault.Caller) {
					t.Fatalf("byte %d ^ %#x: %v", i, bit, err)
				}
			}
			if _, err := v.Verify(query, good[:i]); !errors.Is(err, fault.CallerSignature) {
				t.Fatalf("cut at %d: %v", i, err)
			}
		}
		for name, q := range map[string]Query{
			"path":    {query.Address, "/a/c", query.Payload},
			"payload": {query.Address, query.Path, []byte("hellO")},
			"both":    {query.Address, "/a/bh", []byte("ello")},
			"empty":   {query.Address, query.Path, nil},
		} {
			_, err := v.Verify(q, good)
			want(t, name, err, fault.CallerSignature)
		}
		_, err := v.Verify(Query{manifest.Address{4}, query.Path, query.Payload}, good)
		want(t, "app", err, fault.CallerSignatureScope)
		_, err = v.Verify(query, append(bytes.Clone(good), 0))
		want(t, "a byte too many", err, fault.CallerSignature)
		if _, err := v.Verify(query, good); err != nil { // none of them used up the nonce
			t.Errorf("the good one: %v", err)
		}
	})
}

// A signature of one type is none of another, and nobody's account is another's.
func TestTypesAreApart(t *testing.T) {
	v := (&clock{start}).verifier(0)
	for kind := Ed25519; kind <= EvmEcdsaWrapBytes; kind++ {
		for as := Ed25519; as <= EvmEcdsaWrapBytes; as++ {
			b := sign(t, signer(t, kind, 7), query, terms(start), nil)
			s, err := decodeSignature(b)
			if err != nil {
				t.Fatal(err)
			}
			if s.Proof.Type = as; as == kind {
				continue
			}
			_, err = v.Verify(query, s.encode())
			want(t, fmt.Sprintf("%v as %v", kind, as), err, fault.CallerSignature)
		}
	}
}

func TestAccountIsBound(t *testing.T) {
	eachType(t, func(t *testing.T, kind Type) {
		v := (&clock{start}).verifier(0)
		tm := terms(start)
		tm.Account = signer(t, kind, 8).Account()
		_, err := v.Verify(query, sign(t, signer(t, kind, 7), query, tm, nil))
		want(t, "of another", err, fault.CallerSignature)
	})
}

func TestWorker(t *testing.T) {
	v := (&clock{start}).verifier(0)
	s := signer(t, Sr25519, 7)
	tm := terms(start)
	tm.Worker = [32]byte{8}
	b := sign(t, s, query, tm, nil)
	_, err := v.Verify(query, b)
	want(t, "another worker", err, fault.CallerSignatureWorker)
	other, err := decodeSignature(b)
	if err != nil {
		t.Fatal(err)
	}
	other.Worker = worker
	_, err = v.Verify(query, other.encode())
	want(t, "said to be for this one", err, fault.CallerSignature)
	v.SetWorker([32]byte{8})
	if _, err := v.Verify(query, b); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
}

func TestTimes(t *testing.T) {
	s := signer(t, Ed25519, 7)
	for _, c := range []struct {
		name           string
		signed, expiry time.Duration // from now
		code           fault.Code
	}{
		{"a minute", 0, time.Minute, ""},
		{"the longest", 0, MaxLifetime, ""},
		{"a millisecond longer", 0, MaxLifetime + time.Millisecond, fault.CallerSignatureExpired},
		{"the last millisecond", -time.Minute, time.Millisecond, ""},
		{"over", -time.Minute, 0, fault.CallerSignatureExpired},
		{"long over", -time.Hour, -time.Hour + time.Minute, fault.CallerSignatureExpired},
		{"over before it was signed", 0, -time.Minute, fault.CallerSignatureExpired},
		{"a clock that is a little ahead", MaxSkew, time.Minute, ""},
		{"a clock that is ahead", MaxSkew + time.Millisecond, time.Minute, fault.CallerSignatureExpired},
		{"before the host began", -time.Hour - time.Millisecond, -time.Hour + time.Millisecond, fault.CallerSignatureExpired},
		{"the end of time", 0, 1 << 62, fault.CallerSignatureExpired},
	} {
		k := &clock{start.Add(-time.Hour)}
		v := k.verifier(0)
		k.now = start
		tm := terms(start)
		tm.Signed, tm.Expiry = start.Add(c.signed), start.Add(c.expiry)
		_, err := v.Verify(query, sign(t, s, query, tm, nil))
		want(t, c.name, err, c.code)
	}
}

func TestReplay(t *testing.T) {
	k := &clock{start}
	v := k.verifier(0)
	a, b := signer(t, Sr25519, 7), signer(t, Sr25519, 8)
	tm := terms(start)
	first := sign(t, a, query, tm, nil)
	if _, err := v.Verify(query, first); err != nil {
		t.Fatal(err)
	}
	_, err := v.Verify(query, first)
	want(t, "the same bytes", err, fault.CallerSignatureReplay)
	_, err = v.Verify(query, sign(t, a, query, tm, nil))
	want(t, "signed again with the nonce", err, fault.CallerSignatureReplay)
	_, err = v.Verify(Query{Address: query.Address}, sign(t, a, Query{Address: query.Address}, tm, nil))
	want(t, "another query with the nonce", err, fault.CallerSignatureReplay)
	if _, err := v.Verify(query, sign(t, b, query, tm, nil)); err != nil {
		t.Errorf("another account with the nonce: %v", err)
	}
	k.now = tm.Expiry.Add(-time.Millisecond)
	_, err = v.Verify(query, first)
	want(t, "in its last millisecond", err, fault.CallerSignatureReplay)
	k.now = tm.Expiry
	_, err = v.Verify(query, first)
	want(t, "once it is over", err, fault.CallerSignatureExpired)
	k.now = tm.Expiry.Add(2 * time.Second)
	if _, err := v.Verify(query, sign(t, a, query, terms(k.now), nil)); err != nil {
		t.Fatal(err)
	}
	if n := len(v.seen.expires); n != 1 {
		t.Errorf("%d nonces are remembered", n)
	}
	k.now = start.Add(time.Second) // its nonce is forgotten, but the clock went back
	_, err = v.Verify(query, first)
	want(t, "after the clock went back", err, fault.CallerSignatureExpired)
}

// What a host has seen is not known to the next one, which refuses what was signed before it began.
func TestReplayAfterRestart(t *testing.T) {
	k := &clock{start}
	b := sign(t, signer(t, Ed25519, 7), query, terms(start), nil)
	if _, err := k.verifier(0).Verify(query, b); err != nil {
		t.Fatal(err)
	}
	k.now = start.Add(time.Second)
	_, err := k.verifier(0).Verify(query, b)
	want(t, "after a restart", err, fault.CallerSignatureExpired)
}

func TestReplayAtOnce(t *testing.T) {
	v := (&clock{start}).verifier(0)
	b := sign(t, signer(t, Ed25519, 7), query, terms(start), nil)
	var all sync.WaitGroup
	passed := make(chan struct{}, 32)
	for range 32 {
		all.Go(func() {
			if _, err := v.Verify(query, b); err == nil {
				passed <- struct{}{}
			} else if !errors.Is(err, fault.CallerSignatureReplay) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(passed) != 1 {
		t.Errorf("it passed %d times", len(passed))
	}
}

func TestFullIsBusy(t *testing.T) {
	k := &clock{start}
	v := k.verifier(6)
	s := signer(t, Ed25519, 7)
	var first []byte
	for i := range 3 {
		b := sign(t, s, query, terms(start), nil)
		if _, err := v.Verify(query, b); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = b
		}
	}
	late := sign(t, s, query, terms(start), nil)
	_, err := v.Verify(query, late)
	want(t, "one too many", err, fault.BusyQueueFull)
	if fault.From(err).RetryAfter <= 0 {
		t.Error("it does not say when to come back")
	}
	other := query // of 6, this one has 3, and another one has room
	for i := range 2 {
		other.Address = manifest.Address{byte(4 + i)}
		if _, err := v.Verify(other, sign(t, s, other, terms(start), nil)); err != nil {
			t.Errorf("of another app: %v", err)
		}
	}
	_, err = v.Verify(other, sign(t, s, other, terms(start), nil))
	want(t, "as many as are left", err, fault.BusyQueueFull)
	_, err = v.Verify(query, first)
	want(t, "the first one is not forgotten", err, fault.CallerSignatureReplay)
	k.now = start.Add(62 * time.Second)
	if _, err := v.Verify(query, sign(t, s, query, terms(k.now), nil)); err != nil {
		t.Errorf("when the others have expired: %v", err)
	}
	if len(v.seen.shares) != 1 || v.seen.shares[query.Address] != 1 {
		t.Errorf("shares: %v", v.seen.shares)
	}
}

func TestCertificates(t *testing.T) {
	root := signer(t, Sr25519, 1)
	keys := []*Signer{signer(t, Ed25519, 2), signer(t, EvmEcdsa, 3), signer(t, EcdsaWrapBytes, 4), signer(t, Eip712, 5), signer(t, Ed25519, 6)}
	// chain of n certificates, the last of which is for keys[n-1]
	chain := func(n int, change func(i int, c *Certificate)) (links []Link) {
		by := root
		for i := range n {
			c := Certificate{Delegate: keys[i].Account(), Delegations: uint8(n - 1 - i), Expiry: start.Add(time.Hour)}
			if change != nil {
				change(i, &c)
			}
			links = certify(t, by, links, c)
			by = keys[i]
		}
		return links
	}
	asked := func(v *Verifier, s *Signer, links []Link, q Query) ([32]byte, error) {
		tm := terms(start)
		tm.Account = root.Account()
		return v.Verify(q, sign(t, s, q, tm, links))
	}
	v := (&clock{start}).verifier(0)
	for n := 1; n <= MaxChain; n++ {
		got, err := asked(v, keys[n-1], chain(n, nil), query)
		if err != nil || got != root.Account() {
			t.Errorf("%d certificates: %x, %v", n, got, err)
		}
	}
	if _, err := keys[3].Certify(chain(4, nil), Certificate{}); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("a fifth: %v", err)
	}
	five := append(chain(4, nil), chain(1, nil)...)
	if _, err := Sign(keys[0], query, terms(start), five); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("sign with five: %v", err)
	}
	tm := terms(start)
	_, err := v.Verify(query, signature{tm, five, keys[0].prove(newSignedQuery(tm, query, five))}.encode())
	want(t, "five", err, fault.CallerSignature)

	for _, c := range []struct {
		name   string
		n      int
		change func(i int, c *Certificate)
		q      Query
		code   fault.Code
	}{
		{"apps", 1, func(_ int, c *Certificate) { c.Apps = []manifest.Address{{1}, query.Address} }, query, ""},
		{"another app", 1, func(_ int, c *Certificate) { c.Apps = []manifest.Address{{1}} }, query, fault.CallerSignatureScope},
		{"path", 1, func(_ int, c *Certificate) { c.Paths = []string{"/x", "/a/b"} }, query, ""},
		{"path above", 1, func(_ int, c *Certificate) { c.Paths = []string{"/a"} }, query, ""},
		{"folder above", 1, func(_ int, c *Certificate) { c.Paths = []string{"/a/"} }, query, ""},
		{"path below", 1, func(_ int, c *Certificate) { c.Paths = []string{"/a/b/c"} }, query, fault.CallerSignatureScope},
		{"half a segment", 1, func(_ int, c *Certificate) { c.Paths = []string{"/a"} }, Query{Path: "/ab"}, fault.CallerSignatureScope},
		{"dots", 1, func(_ int, c *Certificate) { c.Paths = []string{"/a"} }, Query{Path: "/a/../b"}, fault.CallerSignatureScope},
		{"a dot", 1, func(_ int, c *Certificate) { c.Paths = []string{"/a"} }, Query{Path: "/a/./b"}, fault.CallerSignatureScope},
		{"dots without paths", 1, nil, Query{Path: "/a/../b"}, ""},
		{"what is asked for", 1, func(_ int, c *Certificate) { c.Paths = []string{"/a"} }, Query{Path: "/a?b=../c"}, ""},
		{"no path", 1, func(_ int, c *Certificate) { c.Paths = []string{"/a"} }, Query{}, fault.CallerSignatureScope},
		{"scope of the first", 3, func(i int, c *Certificate) {
			if i == 0 {
				c.Paths = []string{"/x"}
			}
		}, query, fault.CallerSignatureScope},
		{"scope of the last", 3, func(i int, c *Certificate) {
			if i == 2 {
				c.Apps = []manifest.Address{{1}}
			}
		}, query, fault.CallerSignatureScope},
		{"expired", 1, func(_ int, c *Certificate) { c.Expiry = start }, query, fault.CallerSignatureExpired},
		{"not yet expired", 1, func(_ int, c *Certificate) { c.Expiry = start.Add(time.Millisecond) }, query, ""},
		{"the middle one expired", 3, func(i int, c *Certificate) {
			if i == 1 {
				c.Expiry = start
			}
		}, query, fault.CallerSignatureExpired},
		{"no delegations", 2, func(_ int, c *Certificate) { c.Delegations = 0 }, query, fault.CallerSignatureScope},
		{"too few delegations", 4, func(i int, c *Certificate) { c.Delegations = uint8(2 - min(i, 2)) }, query, fault.CallerSignatureScope},
	} {
		_, err := asked(v, keys[c.n-1], chain(c.n, c.change), c.q)
		want(t, c.name, err, c.code)
	}

	_, err = asked(v, keys[1], chain(1, nil), query)
	want(t, "not the delegate", err, fault.CallerSignature)
	_, err = asked(v, root, chain(1, nil), query)
	want(t, "the account beside a certificate", err, fault.CallerSignature)
	links := chain(3, nil)
	_, err = asked(v, keys[2], links[1:], query)
	want(t, "without the first", err, fault.CallerSignature)
	_, err = asked(v, keys[2], []Link{links[0], links[2]}, query)
	want(t, "without the second", err, fault.CallerSignature)
	_, err = asked(v, keys[2], []Link{links[1], links[0], links[2]}, query)
	want(t, "in another order", err, fault.CallerSignatureScope)

	// A wider certificate does not fit where a narrower one was: what follows names its parent, and the query names the last one.
	narrow := chain(2, func(i int, c *Certificate) { c.Paths = []string{"/x"} })
	wide := chain(2, nil)
	_, err = asked(v, keys[1], []Link{wide[0], narrow[1]}, Query{Path: "/x"})
	want(t, "another parent", err, fault.CallerSignature)
	tm = terms(start)
	tm.Account = root.Account()
	b, err := decodeSignature(sign(t, keys[1], query, tm, narrow))
	if err != nil {
		t.Fatal(err)
	}
	b.Chain = wide
	_, err = v.Verify(query, b.encode())
	want(t, "another chain", err, fault.CallerSignature)
	b.Chain = nil
	_, err = v.Verify(query, b.encode())
	want(t, "no chain", err, fault.CallerSignature)

	// The certificate's own bytes are what proves it, not those of the query.
	b, err = decodeSignature(sign(t, keys[0], query, tm, chain(1, nil)))
	if err != nil {
		t.Fatal(err)
	}
	b.Chain[0].Proof = b.Proof
	_, err = v.Verify(query, b.encode())
	want(t, "the proof of the query", err, fault.CallerSignature)
}

func TestChainGoesRound(t *testing.T) {
	chain := certify(t, signer(t, Ecdsa, 1), nil, Certificate{Delegate: [32]byte{1}, Delegations: 1, Apps: []manifest.Address{{1}}, Paths: []string{"/a"}})
	chain = certify(t, signer(t, Ed25519, 2), chain, Certificate{Delegate: [32]byte{2}})
	got, err := DecodeChain(EncodeChain(chain))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(chain, got); diff != "" {
		t.Error(diff)
	}
	if _, err := DecodeChain(append(EncodeChain(chain), 0)); !errors.Is(err, fault.CallerSignature) {
		t.Errorf("%v", err)
	}
}

func TestSignRefuses(t *testing.T) {
	s := signer(t, Ed25519, 7)
	for name, f := range map[string]func(*Query, *Terms){
		"short nonce": func(_ *Query, tm *Terms) { tm.Nonce = make([]byte, 15) },
		"long nonce":  func(_ *Query, tm *Terms) { tm.Nonce = make([]byte, 33) },
		"long path":   func(q *Query, _ *Terms) { q.Path = string(make([]byte, MaxPath+1)) },
	} {
		q, tm := query, terms(start)
		f(&q, &tm)
		_, err := Sign(s, q, tm, nil)
		want(t, name, err, fault.CallerInvalid)
	}
	_, err := Sign(s, query, terms(start), certify(t, s, nil, Certificate{}))
	want(t, "no account", err, fault.CallerInvalid)
	for _, secret := range [][]byte{nil, make([]byte, 31), make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)} {
		_, err := NewSigner(EvmEcdsa, secret)
		want(t, "secret", err, fault.CallerInvalid)
	}
	_, err = NewSigner(9, make([]byte, 32))
	want(t, "type", err, fault.CallerInvalid)
	filled, err := decodeSignature(sign(t, s, query, Terms{Worker: worker}, nil))
	if err != nil || len(filled.Nonce) < MinNonce || filled.Expiry.Sub(filled.Signed) != DefaultLifetime || filled.Account != s.Account() {
		t.Errorf("what is filled in: %+v, %v", filled, err)
	}
}

func BenchmarkVerify(b *testing.B) {
	for kind := Ed25519; kind <= EvmEcdsaWrapBytes; kind++ {
		b.Run(kind.String(), func(b *testing.B) {
			enc := sign(b, signer(b, kind, 7), query, terms(start), nil)
			for b.Loop() {
				v := (&clock{start}).verifier(0)
				if _, err := v.Verify(query, enc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
