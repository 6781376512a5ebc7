package calls

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/troupehost/troupe/host/abi"
)

func TestALockIsReleasedWhenItsHolderEnds(t *testing.T) { // W34
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, AppConfig{})
		g := []*guest{newGuest(t, a, InstanceConfig{}), newGuest(t, a, InstanceConfig{}), newGuest(t, a, InstanceConfig{})}
		g[0].ok(abi.OpLock, n(0), "l")
		g[0].fails(abi.ErrExists, abi.OpLock, n(-1), "l")
		g[1].fails(abi.ErrPending, abi.OpLock, n(0), "l")
		g[1].fails(abi.ErrPending, abi.OpLock, n(second), "l")
		first := g[1].begin(abi.OpLock, n(-1), "l")
		synctest.Wait()
		next := g[2].begin(abi.OpLock, n(-1), "l")
		synctest.Wait()
		pending(t, first)
		g[0].i.End(errors.New("crashed"))
		synctest.Wait()
		h := int64(answered(t, first, 0).Nums[0])
		pending(t, next)
		g[1].ok(abi.OpClose, n(h))
		synctest.Wait()
		h = int64(answered(t, next, 0).Nums[0])
		g[2].ok(abi.OpClose, n(h))
		if len(a.locks) != 0 {
			t.Errorf("%d locks are left", len(a.locks))
		}
	})
}

func TestAWaiterThatEndsGivesItsPlaceUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, AppConfig{})
		g := []*guest{newGuest(t, a, InstanceConfig{}), newGuest(t, a, InstanceConfig{}), newGuest(t, a, InstanceConfig{})}
		h := int64(g[0].ok(abi.OpLock, n(0), "l").Nums[0])
		first := g[1].begin(abi.OpLock, n(-1), "l")
		synctest.Wait()
		next := g[2].begin(abi.OpLock, n(-1), "l")
		synctest.Wait()
		g[1].i.End(nil)
		synctest.Wait()
		answered(t, first, abi.ErrClosed)
		g[0].ok(abi.OpClose, n(h))
		synctest.Wait()
		answered(t, next, 0)
	})
}

func TestLocksAreBoundedAndOfOneApp(t *testing.T) {
	s := New(Config{})
	a, b := s.App(AppConfig{}), s.App(AppConfig{})
	g, other := newGuest(t, a, InstanceConfig{}), newGuest(t, b, InstanceConfig{})
	for k := range abi.MaxLocks {
		g.ok(abi.OpLock, n(0), fmt.Sprint(k))
	}
	g.fails(abi.ErrLimited, abi.OpLock, n(0), "more")
	other.ok(abi.OpLock, n(0), "0")
	g.fails(abi.ErrParam, abi.OpLock, n(0), "")
	g.fails(abi.ErrParam, abi.OpLock, n(0), string(make([]byte, abi.MaxKey+1)))
}
