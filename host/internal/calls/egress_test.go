package calls

import (
	"net/netip"
	"testing"
)

func TestWhatTheEgressListAllows(t *testing.T) { // W31
	list := func(s ...string) (out []pattern) {
		for _, e := range s {
			p, ok := parsePattern(e)
			if !ok {
				t.Fatalf("%q cannot be read", e)
			}
			out = append(out, p)
		}
		return out
	}
	for _, c := range []struct {
		list []string
		name string
		port uint16
		want bool
	}{
		{[]string{"Example.org:443"}, "example.org", 443, true},
		{[]string{"example.org:443"}, "example.org", 80, false},
		{[]string{"example.org:80-443"}, "example.org", 81, true},
		{[]string{"example.org:80-443"}, "example.org", 444, false},
		{[]string{"example.org:443"}, "www.example.org", 443, false},
		{[]string{"*.example.org:443"}, "www.example.org", 443, true},
		{[]string{"*.example.org:443"}, "a.b.example.org", 443, true},
		{[]string{"*.example.org:443"}, "example.org", 443, false},
		{[]string{"*.example.org:443"}, "evilexample.org", 443, false},
		{[]string{"*:443"}, "anything", 443, true},
		{[]string{"0.0.0.0/0:443"}, "anything", 443, false},
		{nil, "example.org", 443, false},
	} {
		if got := named(list(c.list...), c.name, c.port); got != c.want {
			t.Errorf("%v, %s:%d: %v", c.list, c.name, c.port, got)
		}
	}
	for _, c := range []struct {
		list   []string
		addr   string
		byName bool
		want   bool
	}{
		{nil, "8.8.8.8", true, true},
		{nil, "8.8.8.8", false, false},
		{nil, "2606:4700::1", true, true},
		{[]string{"8.8.8.0/24:80"}, "8.8.8.8", false, true},
		{[]string{"8.8.8.8:80"}, "8.8.8.8", false, true},
		{[]string{"8.8.8.8:81"}, "8.8.8.8", false, false},
		{[]string{"*:80"}, "8.8.8.8", false, false},
		{[]string{"0.0.0.0/0:80"}, "8.8.8.8", false, true},
		{[]string{"[2606:4700::]/32:80"}, "2606:4700::1", false, true},

		// Addresses that are not public, by name and by number.
		{nil, "127.0.0.1", true, false}, {nil, "10.1.2.3", true, false}, {nil, "172.31.0.1", true, false}, {nil, "192.168.1.1", true, false},
		{nil, "169.254.169.254", true, false}, {nil, "100.64.0.1", true, false}, {nil, "0.0.0.0", true, false}, {nil, "224.0.0.1", true, false},
		{nil, "255.255.255.255", true, false}, {nil, "198.18.0.1", true, false}, {nil, "::1", true, false}, {nil, "::", true, false},
		{nil, "fc00::1", true, false}, {nil, "fe80::1", true, false}, {nil, "ff02::1", true, false}, {nil, "fe80::1%eth0", true, false},
		{nil, "fec0::1", true, false},
		{nil, "::ffff:127.0.0.1", true, false}, {nil, "::ffff:10.0.0.1", true, false}, {nil, "::127.0.0.1", true, false},
		{nil, "::ffff:8.8.8.8", true, true},
		{nil, "2002:7f00:1::", true, false}, {nil, "2002:c0a8:101::1", true, false}, {nil, "2002:808:808::1", true, true},
		{nil, "64:ff9b::7f00:1", true, false}, {nil, "64:ff9b::a00:1", true, false}, {nil, "64:ff9b::808:808", true, true}, {nil, "64:ff9b:1::808:808", true, false},
		{nil, "2001:0:1234::80ff:fffe", true, false},
		{[]string{"*:80"}, "127.0.0.1", true, false},
		{[]string{"0.0.0.0/0:80"}, "127.0.0.1", false, false},
		{[]string{"0.0.0.0/0:80"}, "127.0.0.1", true, false},
		{[]string{"::/0:80"}, "::1", false, false},
		{[]string{"0.0.0.0/4:80"}, "10.0.0.1", false, false},
		{[]string{"64:ff9b::/96:80"}, "64:ff9b::7f00:1", false, false},
		{[]string{"2002::/16:80"}, "2002:7f00:1::", false, false},

		// Unless the list says so.
		{[]string{"127.0.0.0/8:80"}, "127.0.0.1", false, true},
		{[]string{"127.0.0.1:80"}, "127.0.0.1", true, true},
		{[]string{"127.0.0.1:80"}, "::ffff:127.0.0.1", true, true},
		{[]string{"127.0.0.1:80"}, "127.0.0.2", true, false},
		{[]string{"10.1.0.0/16:80"}, "10.1.2.3", true, true},
		{[]string{"10.1.0.0/16:80"}, "10.2.2.3", true, false},
		{[]string{"[::1]:80"}, "::1", false, true},
		{[]string{"fd00::/8:80"}, "fd12::1", false, true},
	} {
		if got := permitted(list(c.list...), everywhere, netip.MustParseAddr(c.addr), 80, c.byName); got != c.want {
			t.Errorf("%v, %s (by name %v): %v", c.list, c.addr, c.byName, got)
		}
	}
	for _, c := range []struct { // and the host does
		list, addr string
		want       bool
	}{{"127.0.0.1:80", "127.0.0.1", false}, {"10.1.0.0/16:80", "10.1.2.3", true}, {"10.1.0.0/16:80", "10.1.3.3", false}, {"93.184.216.0/24:80", "93.184.216.34", true}} {
		if got := permitted(list(c.list), []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}, netip.MustParseAddr(c.addr), 80, false); got != c.want {
			t.Errorf("a host with one private network, %s, %s: %v", c.list, c.addr, got)
		}
	}
	for _, s := range []string{"", "example.org", "example.org:", "example.org:0", "example.org:65536", "example.org:2-1", "example.org:a", ":80", "*.:80", "a*b:80", "a b:80"} {
		if _, ok := parsePattern(s); ok {
			t.Errorf("%q was read", s)
		}
	}
}

// everywhere is what a host allows that keeps no address from its apps.
var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
