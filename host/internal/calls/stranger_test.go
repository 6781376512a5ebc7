package calls

import (
	"net"
	"testing"
	"testing/synctest"

	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
)

// What a host lets its own apps reach of its network is not for an app whose manifest a stranger wrote.
func TestW30StrangerHasNoPrivateAddress(t *testing.T) {
	for _, stranger := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := &cloud{servers: map[string]func(net.Conn){"10.1.2.3:80": echo}}
			s := New(Config{Net: Net{Private: everywhere, Resolver: c, Dialer: c, Listener: c}})
			g := newGuest(t, s.App(AppConfig{Stranger: stranger, Grants: manifest.Grants{Egress: []string{"10.0.0.0/8:80"}}}), InstanceConfig{Meter: &tally{}})
			if stranger {
				g.fails(abi.ErrForbidden, abi.OpConnect, n(0, -1), "10.1.2.3:80")
			} else {
				g.ok(abi.OpConnect, n(0, -1), "10.1.2.3:80")
			}
			g.i.End(nil)
		})
	}
}
