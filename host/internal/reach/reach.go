package reach

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// Public reports whether an address is one of the public network, and so is what it carries.
func Public(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if inner, ok := Carried(a); ok && Special(inner).IsValid() {
		return false
	}
	return !Special(a).IsValid()
}

// Carried returns the address of version 4 within one of version 6 that a gateway would send on to.
func Carried(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return a, false
	}
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(a):
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, ^binary.BigEndian.Uint32(b[12:])))), true
	}
	return a, false
}

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
	teredo    = netip.MustParsePrefix("2001::/32")
)

// specials are the addresses that are not of the public network. None is within another.
var specials = prefixes("0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 " +
	"192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 " +
	"::/96 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8")

func prefixes(s string) (out []netip.Prefix) {
	for _, f := range strings.Fields(s) {
		out = append(out, netip.MustParsePrefix(f))
	}
	return out
}

// Special returns the range of special addresses that one is of, or nothing.
func Special(a netip.Addr) netip.Prefix {
	for _, p := range specials {
		if p.Contains(a) {
			return p
		}
	}
	return netip.Prefix{}
}
