package calls

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/troupehost/troupe/host/internal/reach"
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
	if inner, ok := reach.Carried(a); ok && reach.Special(inner).IsValid() {
		return false
	}
	block := reach.Special(a)
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
