package manifest

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

func TestEgress(t *testing.T) {
	for _, c := range []struct {
		rule string
		at   string // a name, or an address
		port uint16
		want bool
	}{
		{"example.org:443", "example.org", 443, true},
		{"example.org:443", "example.org", 80, false},
		{"example.org:443", "www.example.org", 443, false},
		{"*.example.org:443", "www.example.org", 443, true},
		{"*.example.org:443", "a.b.example.org", 443, true},
		{"*.example.org:443", "example.org", 443, false},
		{"*.example.org:443", ".example.org", 443, false},
		{"*.example.org:443", "badexample.org", 443, false},
		{"10.1.0.0/16:80", "10.1.2.3", 80, true},
		{"10.1.0.0/16:80", "::ffff:10.1.2.3", 80, true},
		{"10.1.0.0/16:80", "10.2.0.0", 80, false},
		{"10.1.2.3:1-65535", "10.1.2.3", 65535, true},
		{"10.1.2.3:1-65535", "10.1.2.3", 1, true},
		{"10.1.2.3:2-9", "10.1.2.3", 1, false},
		{"[fd00::/8]:1-65535", "fd12::1", 9, true},
		{"[fd00::1]:9", "fd00::1", 9, true},
		{"[fd00::1]:9", "fd00::2", 9, false},
		{"localhost:9", "localhost", 9, true},
	} {
		e, err := ParseEgress(c.rule)
		if err != nil {
			t.Error(err)
			continue
		}
		got := e.MatchName(c.at, c.port)
		if a, err := netip.ParseAddr(c.at); err == nil {
			if got {
				t.Errorf("%s is a name for %s", c.at, c.rule)
			}
			got = e.MatchAddress(a, c.port)
		} else if e.MatchAddress(netip.MustParseAddr("1.2.3.4"), c.port) {
			t.Errorf("%s matches an address", c.rule)
		}
		if got != c.want {
			t.Errorf("%s, %s, %d: %t", c.rule, c.at, c.port, got)
		}
	}
	for _, s := range []string{"", ":", "a", "a:", "a:0", "a:65536", "a:080", "a:+80", "a:2-1", "a:1-", "a:-1", "a:1-2-3", ":80", "*:80", "*.:80",
		"*a.b:80", "a.*.b:80", "*.*.b:80", "A.b:80", "a..b:80", ".a:80", "a.:80", "-a.b:80", "a_b.c:80", "a/b:80", "10.0.0.1/8:80", "10.0.0.0/33:80",
		"fd00::1:80", "fd00::/8:80", "[fd00::1:80", "[10.0.0.1]:80", "[a.b]:80", "[*.a]:80", "[fe80::1%eth0]:80", "[::ffff:10.0.0.1]:80",
		"[::ffff:10.0.0.0/104]:80", "256.1.1.1:80", "1.2.3:80", "0x7f000001:80", "1.2.0x3:80", "017.0.0.01:80", "ä.org:80", "a b:80",
		strings.Repeat("a.", 127) + ":80", strings.Repeat("a", 64) + ".org:80"} {
		if e, err := ParseEgress(s); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%q: %+v, %v", s, e, err)
		}
	}
}
