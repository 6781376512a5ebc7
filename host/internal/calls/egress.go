package calls

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// pattern is one line of an egress list.
type pattern struct {
	name     string       // lower case; "" if it goes by number; "*": any
	below    bool         // any name that ends in a dot and name
	prefix   netip.Prefix // by number
	from, to uint16
}

// parsePattern reads "host:port", "*.example.org:443", "*:443", "10.1.0.0/16:80", "[fd00::/8]:443"; ports as "1-65535".
func parsePattern(s string) (p pattern, ok bool) {
	n := strings.LastIndexByte(s, ':')
	if n < 0 {
		return p, false
	}
	host, ports := strings.ToLower(s[:n]), s[n+1:]
	from, to, span := strings.Cut(ports, "-")
	if !span {
		to = from
	}
	a, err1 := strconv.ParseUint(from, 10, 16)
	b, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil || a == 0 || a > b {
		return p, false
	}
	p.from, p.to = uint16(a), uint16(b)
	bare := strings.ReplaceAll(strings.ReplaceAll(host, "[", ""), "]", "")
	if x, err := netip.ParsePrefix(bare); err == nil {
		p.prefix = x.Masked()
		return p, true
	}
	if x, err := netip.ParseAddr(bare); err == nil && x.Zone() == "" {
		p.prefix = netip.PrefixFrom(x, x.BitLen())
		return p, true
	}
	if host == "*" {
		p.name = host
		return p, true
	}
	p.name, p.below = strings.CutPrefix(host, "*.")
	p.name = strings.TrimSuffix(p.name, ".")
	return p, validHost(p.name)
}

// validHost says whether this can be the name of a host, or an address.
func validHost(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}) < 0
}

// named reports whether a name, in lower case without a last dot, may be looked up for a port.
func named(list []pattern, name string, port uint16) bool {
	for _, p := range list {
		if p.name == "" || port < p.from || port > p.to {
			continue
		}
		if p.name == "*" || p.below && strings.HasSuffix(name, "."+p.name) || !p.below && name == p.name {
			return true
		}
	}
	return false
}

// permitted reports whether an address may be connected to. byName: it is one of a name that may be. An address that is not public
// must lie in a range of the list that is all within the same kind of addresses: who writes "0.0.0.0/0" does not mean the
// machine itself; and the host must allow it, whatever the list says. Whatever the form that carries an address of version 4, that
// address decides too.
func permitted(list []pattern, private []netip.Prefix, a netip.Addr, port uint16, byName bool) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	if anyAddress {
		return true
	}
	a = a.Unmap()
	if inner, ok := carried(a); ok && special(inner).IsValid() {
		return false
	}
	block := special(a)
	if block.IsValid() && !slices.ContainsFunc(private, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return false
	}
	if byName && !block.IsValid() {
		return true
	}
	for _, p := range list {
		if p.name != "" || port < p.from || port > p.to || !p.prefix.Contains(a) {
			continue
		}
		if !block.IsValid() || p.prefix.Bits() >= block.Bits() {
			return true
		}
	}
	return false
}

// carried returns the address of version 4 within one of version 6 that a gateway would send on to.
func carried(a netip.Addr) (netip.Addr, bool) {
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
	"::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8")

func prefixes(s string) (out []netip.Prefix) {
	for _, f := range strings.Fields(s) {
		out = append(out, netip.MustParsePrefix(f))
	}
	return out
}

// special returns the range of special addresses that one is of, or nothing.
func special(a netip.Addr) netip.Prefix {
	for _, p := range specials {
		if p.Contains(a) {
			return p
		}
	}
	return netip.Prefix{}
}
