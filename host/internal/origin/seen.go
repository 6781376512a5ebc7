package origin

import (
	"sync"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// seen has the nonces of signatures that are still alive.
type seen struct {
	limit int
	born  time.Time // whole milliseconds

	mu      sync.Mutex
	expires map[[16]byte]struct{}
	shares  map[manifest.Address]int // of them
	by      map[int64][]seenNonce    // of them, those that expire within a second
	swept   int64                    // second at which expired ones were dropped last
	horizon time.Time                // who expires up to here may have been forgotten
}

type seenNonce struct {
	key [16]byte
	app manifest.Address
}

func newSeen(limit int, born time.Time) *seen {
	return &seen{limit: limit, born: born.Truncate(time.Millisecond), expires: map[[16]byte]struct{}{}, shares: map[manifest.Address]int{}, by: map[int64][]seenNonce{}}
}

// keyOf names a nonce of an account.
func keyOf(account [32]byte, nonce []byte) [16]byte {
	sum := blake2b.Sum256(append(account[:], nonce...))
	return [16]byte(sum[:16])
}

// check says whether add would fail.
func (s *seen) check(n seenNonce, expiry, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checkLocked(n, expiry, now)
}

// add remembers a nonce until its signature expires.
func (s *seen) add(n seenNonce, expiry, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkLocked(n, expiry, now); err != nil {
		return err
	}
	s.expires[n.key] = struct{}{}
	s.shares[n.app]++
	second := expiry.Unix()
	s.by[second] = append(s.by[second], n)
	return nil
}

func (s *seen) checkLocked(n seenNonce, expiry, now time.Time) error {
	s.sweepLocked(now)
	if !expiry.After(s.horizon) { // the clock went back
		return refuse(fault.CallerSignatureExpired, errOver)
	}
	if _, ok := s.expires[n.key]; ok {
		return refuse(fault.CallerSignatureReplay, nil)
	}
	// An app has at most as many as are left for all others, so that whoever fills its share leaves room for them.
	if s.shares[n.app] >= s.limit-len(s.expires) {
		return fault.New(fault.BusyQueueFull, opVerify, "", nil).WithRetryAfter(time.Second)
	}
	return nil
}

// sweepLocked drops what has expired. There are few seconds, so it looks at each of them, once in a second.
func (s *seen) sweepLocked(now time.Time) {
	second := now.Unix()
	if second == s.swept {
		return
	}
	s.swept = second
	for at, nonces := range s.by {
		if at >= second {
			continue
		}
		for _, n := range nonces {
			delete(s.expires, n.key)
			if s.shares[n.app]--; s.shares[n.app] == 0 {
				delete(s.shares, n.app)
			}
		}
		delete(s.by, at)
		if end := time.Unix(at+1, 0); end.After(s.horizon) {
			s.horizon = end
		}
	}
}
