//go:build undefended

package calls

import (
	"net"
	"testing"
	"testing/synctest"

	"github.com/troupehost/troupe/host/abi"
)

// TestUndefendedEgress: without the list a guest reaches the machine that it runs on.
func TestUndefendedEgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{servers: map[string]func(net.Conn){"127.0.0.1:80": echo}, names: map[string][]string{"inner.example.org": {"127.0.0.1"}}}
		g, _ := online(t, c, Config{}, "inner.example.org:80")
		g.fails(abi.ErrForbidden, abi.OpConnect, n(0, -1), "inner.example.org:80")
		anyAddress = true
		defer func() { anyAddress = false }()
		g.ok(abi.OpConnect, n(0, -1), "inner.example.org:80")
		g.i.End(nil)
	})
}

// TestUndefendedRights: without them whoever may send receives what is for others.
func TestUndefendedRights(t *testing.T) {
	s := New(Config{})
	sender := newGuest(t, s.App(granting(abi.RightSend)), InstanceConfig{})
	h := int64(sender.ok(abi.OpGrant, nil, "c").Nums[0])
	sender.fails(abi.ErrForbidden, abi.OpChannelClose, n(h))
	anyRight = true
	t.Cleanup(func() { anyRight = false })
	sender.fails(abi.ErrPending, abi.OpRecv, n(h, 0, 10))
	sender.ok(abi.OpChannelClose, n(h))
}
