package origin

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

const opVerify = "verify a query"

var (
	errTooLarge  = errors.New("it is too large")
	errSignature = errors.New("the signature does not fit")
	errAccount   = errors.New("it is not signed by the account that it names")
	errChain     = errors.New("a certificate is not issued by the delegate of the one before it")
	errLonger    = errors.New("more certificates follow than one of them allows")
	errScope     = errors.New("a certificate does not cover it")
	errFuture    = errors.New("it is signed in the future")
	errLifetime  = errors.New("it lives for more than ten minutes")
	errBefore    = errors.New("it was signed before this host started")
	errOver      = errors.New("its time is over")
	errCertOver  = errors.New("the time of a certificate is over")
)

// Config is what a Verifier needs. Zero fields mean the time of the machine and 262,144 nonces.
type Config struct {
	Worker  [32]byte
	Now     func() time.Time
	MaxSeen int // nonces that are remembered, about 100 bytes each; of one app at most as many as are left for the others
}

// Verifier verifies the queries for one worker.
type Verifier struct {
	now    func() time.Time
	worker atomic.Pointer[[32]byte]
	seen   *seen
}

// New returns a Verifier, which refuses what was signed before now.
func New(cfg Config) *Verifier {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxSeen <= 0 {
		cfg.MaxSeen = 1 << 18
	}
	v := &Verifier{now: cfg.Now, seen: newSeen(cfg.MaxSeen, cfg.Now())}
	v.SetWorker(cfg.Worker)
	return v
}

// SetWorker says that the worker has another key.
func (v *Verifier) SetWorker(public [32]byte) { v.worker.Store(&public) }

// Verify returns the account that a query speaks for. encoded is what Sign returned. A query passes once.
//
// # Errors
//
// caller.signature_invalid, _expired, _scope, _worker and _replayed. busy.queue_full: too many signatures are alive, of all apps or of this one.
func (v *Verifier) Verify(q Query, encoded []byte) (account [32]byte, err error) {
	s, err := decodeSignature(encoded)
	if err != nil {
		return account, err
	}
	now := v.now()
	if s.Worker != *v.worker.Load() {
		return account, fault.New(fault.CallerSignatureWorker, opVerify, "", nil)
	}
	if len(q.Path) > MaxPath {
		return account, refuse(fault.CallerSignature, errTooLarge)
	}
	if err := s.timely(now, v.seen.born); err != nil {
		return account, err
	}
	for i, l := range s.Chain {
		switch {
		case !now.Before(l.Expiry):
			return account, refuse(fault.CallerSignatureExpired, errCertOver)
		case !l.covers(q):
			return account, refuse(fault.CallerSignatureScope, errScope)
		case int(l.Delegations) < len(s.Chain)-1-i:
			return account, refuse(fault.CallerSignatureScope, errLonger)
		}
	}
	n := seenNonce{keyOf(s.Account, s.Nonce), q.Address}
	if err := v.seen.check(n, s.Expiry, now); err != nil { // before the work of verifying it
		return account, err
	}
	if err := s.verify(q); err != nil {
		return account, err
	}
	if err := v.seen.add(n, s.Expiry, now); err != nil {
		return account, err
	}
	return s.Account, nil
}

func refuse(code fault.Code, why error) error { return fault.New(code, opVerify, "", why) }

// timely checks when it was signed and how long it holds.
func (s signature) timely(now, born time.Time) error {
	switch {
	case !now.Before(s.Expiry):
		return refuse(fault.CallerSignatureExpired, errOver)
	case s.Signed.After(now.Add(MaxSkew)):
		return refuse(fault.CallerSignatureExpired, errFuture)
	case s.Expiry.Sub(s.Signed) > MaxLifetime:
		return refuse(fault.CallerSignatureExpired, errLifetime)
	case s.Signed.Before(born):
		return refuse(fault.CallerSignatureExpired, errBefore)
	}
	return nil
}

// verify checks the signatures: from the account along the certificates to the key that signed the query.
func (s signature) verify(q Query) error {
	signer, why := s.Account, errAccount
	for i, l := range s.Chain {
		got, ok := l.Proof.account(issued{l.Certificate, idOf(s.Chain[:i])})
		if !ok {
			return refuse(fault.CallerSignature, errSignature)
		}
		if got != signer {
			return refuse(fault.CallerSignature, why)
		}
		signer, why = l.Delegate, errChain
	}
	got, ok := s.Proof.account(newSignedQuery(s.Terms, q, s.Chain))
	if !ok {
		return refuse(fault.CallerSignature, errSignature)
	}
	if got != signer {
		return refuse(fault.CallerSignature, why)
	}
	return nil
}

// covers reports whether a query is within a certificate.
func (c Certificate) covers(q Query) bool {
	if len(c.Apps) > 0 && !slices.Contains(c.Apps, q.Address) {
		return false
	}
	if len(c.Paths) == 0 {
		return true
	}
	path, _, _ := strings.Cut(q.Path, "?")
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return slices.ContainsFunc(c.Paths, func(p string) bool {
		rest, ok := strings.CutPrefix(path, p)
		return ok && (rest == "" || strings.HasSuffix(p, "/") || rest[0] == '/')
	})
}
