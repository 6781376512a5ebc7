package manifest

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
)

// Egress is where an app may connect to: one of Host, Suffix and Prefix, and ports.
type Egress struct {
	Host   string       // this name
	Suffix string       // ".example.org": all names below it
	Prefix netip.Prefix // addresses; a single one is a prefix of its full length
	Ports  Ports
}

// ParseEgress reads "host:port", "*.example.org:443", "10.1.0.0/16:80" or "[fd00::/8]:1-65535". Names are in lower case.
// IPv4 addresses in IPv6 form are refused, and bits below a prefix must be zero, so that nothing is spelt in two ways.
//
// # Errors
//
// caller.invalid_request.
func ParseEgress(s string) (Egress, error) {
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return Egress{}, badEgress(s, "has no port")
	}
	where := s[:at]
	ports, ok := parsePorts(s[at+1:])
	if !ok {
		return Egress{}, badEgress(s, "must end in a port, or in a range such as 1-65535")
	}
	inner, bracketed := strings.CutPrefix(where, "[")
	if bracketed {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok {
			return Egress{}, badEgress(s, "has a bracket that is not closed")
		}
	}
	if p, ok := parsePrefix(inner); ok {
		if p.Addr().Is6() != bracketed {
			return Egress{}, badEgress(s, "must have brackets around an IPv6 address, and around no other")
		}
		return Egress{Prefix: p, Ports: ports}, nil
	}
	suffix, below := strings.CutPrefix(where, "*")
	switch {
	case below && strings.HasPrefix(suffix, ".") && hostName(suffix[1:]):
		return Egress{Suffix: suffix, Ports: ports}, nil
	case !bracketed && !below && hostName(where):
		return Egress{Host: where, Ports: ports}, nil
	}
	return Egress{}, badEgress(s, "must begin with a host name in lower case, *. and a name, or an address or network")
}

func badEgress(s, why string) error {
	return fault.New(fault.CallerInvalid, "egress", fault.Quote(s), nil).WithHint(fault.Quote(s) + " " + why)
}

func parsePrefix(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p != p.Masked() || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p, true
}

func parsePorts(s string) (Ports, bool) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	a, okA := parsePort(from)
	b, okB := parsePort(to)
	return Ports{a, b}, okA && okB && a <= b
}

func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0 && s[0] != '0' && s[0] != '+'
}

// Contains says whether the port is one of the range.
func (p Ports) Contains(port uint16) bool { return p.From <= port && port <= p.To }

// MatchName says whether the rule is one for this name, in lower case, and port.
func (e Egress) MatchName(name string, port uint16) bool {
	if !e.Ports.Contains(port) || name == "" {
		return false
	}
	return name == e.Host || e.Suffix != "" && len(name) > len(e.Suffix) && strings.HasSuffix(name, e.Suffix)
}

// MatchAddress says whether the rule is one for this address, of IPv4 also in its IPv6 form, and port.
func (e Egress) MatchAddress(a netip.Addr, port uint16) bool {
	return e.Ports.Contains(port) && e.Prefix.IsValid() && e.Prefix.Contains(a.Unmap().WithZone(""))
}

// hostName says whether s is a name of DNS in lower case, and not the digits of an address.
func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	return !number(labels[len(labels)-1]) // else it is an address in one of the old forms
}

func number(s string) bool {
	digits, isHex := strings.CutPrefix(s, "0x")
	for i := range len(digits) {
		if c := digits[i]; (c < '0' || c > '9') && (!isHex || c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
