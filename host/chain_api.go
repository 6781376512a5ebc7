package host

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
)

// ChainConfig is what a host has to do with a chain.
type ChainConfig struct {
	// Port is the chain. Default: none, and nothing of what follows has an effect. Unit: a port. Range: any. Live: restart.
	Port chain.Port `json:"-"`
	// URL is where others reach it, for those who look. Default: "". Unit: URL. Range: at most 1024 bytes. Live: restart.
	URL string
	// Recipient is the account that is paid. Default: that of the worker key. Unit: bytes. Range: 32 bytes. Live: restart.
	Recipient []byte
	// Operator is the account that may put the worker into a pool. Default: that of the worker key. Unit: bytes. Range: 32 bytes.
	// Live: restart.
	Operator []byte
	// Description is what the worker says of itself on the chain. Default: "". Unit: text. Range: at most 1024 bytes. Live: restart.
	Description string
	// Prices are what the worker asks for. Default: nothing. Unit: the chain's smallest unit, for one unit of each total. Range: any.
	// Live: restart.
	Prices *meter.Prices
	// Endpoints say on the chain where the worker is reached. Default: none. Unit: URLs. Range: at most 64, joined by commas. Live: restart.
	Endpoints string
	// ReportEvery is how often use is reported. Default: 10 min. Unit: time. Range: 100 ms to 24 h. Live: restart.
	ReportEvery time.Duration
	// MetricsEvery is how often the node's metrics are reported, if Compute. Default: 1 min. Unit: time. Range: 100 ms to 24 h. Live: restart.
	MetricsEvery time.Duration
	// MaxApps bounds the apps that are deployed for tickets. Default: 128. Unit: apps. Range: 1 to 4096. Live: restart.
	MaxApps int
	// Sources are where manifests and blobs are fetched from: directories, and URLs that a hash or CID is appended to, joined by commas, in
	// the order in which they are tried. Default: none: what is not here is not deployed. Unit: paths and URLs. Range: at most 16.
	// Live: restart.
	Sources string
	// Compute says that compute requests are served, too. Default: false. Unit: yes or no. Range: any. Live: restart.
	Compute bool
	// Agent is the URL of what serves compute requests in place of this host. Default: "", this host. Unit: URL. Range: http or https.
	// Live: restart.
	Agent string
	// Attest makes what attests the worker's registration. Default: nothing does. Unit: a function. Range: any. Live: restart.
	Attest func(ctx context.Context, registration []byte) (provider string, report []byte, err error) `json:"-"`
}

const maxSources = 16

func defaultChain() ChainConfig {
	return ChainConfig{ReportEvery: 10 * time.Minute, MetricsEvery: time.Minute, MaxApps: 128}
}

// withDefaults returns c with zero fields replaced.
func (c ChainConfig) withDefaults() ChainConfig {
	d := defaultChain()
	c.ReportEvery, c.MetricsEvery, c.MaxApps = cmp.Or(c.ReportEvery, d.ReportEvery), cmp.Or(c.MetricsEvery, d.MetricsEvery), cmp.Or(c.MaxApps, d.MaxApps)
	return c
}

// validate reports the first field outside of its range.
func (c ChainConfig) validate() error {
	bad := func(field, why string) error {
		return fault.New(fault.CallerConfig, "config", "Chain."+field, nil).WithHint("Chain." + field + " " + why)
	}
	for _, f := range []struct {
		field       string
		v, min, max time.Duration
	}{{"ReportEvery", c.ReportEvery, 100 * time.Millisecond, 24 * time.Hour}, {"MetricsEvery", c.MetricsEvery, 100 * time.Millisecond, 24 * time.Hour}} {
		if f.v < f.min || f.v > f.max {
			return bad(f.field, fmt.Sprintf("is %v, must be between %v and %v", f.v, f.min, f.max))
		}
	}
	for _, f := range []struct {
		field string
		b     []byte
	}{{"Recipient", c.Recipient}, {"Operator", c.Operator}} {
		if n := len(f.b); n != 0 && n != 32 {
			return bad(f.field, fmt.Sprintf("has %d bytes, an account has 32", n))
		}
	}
	switch {
	case c.MaxApps < 1 || c.MaxApps > 4096:
		return bad("MaxApps", fmt.Sprintf("is %d, must be between 1 and 4096 apps", c.MaxApps))
	case len(c.URL) > 1024:
		return bad("URL", "must be at most 1024 bytes")
	case len(c.Description) > meter.MaxDescriptionBytes:
		return bad("Description", "must be at most 1024 bytes")
	case len(commaList(c.Endpoints)) > meter.MaxEndpoints:
		return bad("Endpoints", "must be at most 64")
	case len(commaList(c.Sources)) > maxSources:
		return bad("Sources", "must be at most 16")
	}
	for _, e := range commaList(c.Endpoints) {
		if len(e) > meter.MaxEndpointBytes {
			return bad("Endpoints", "must have at most 512 bytes each")
		}
	}
	if u, err := url.Parse(c.Agent); c.Agent != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return bad("Agent", "must be an http or https URL")
	}
	return nil
}

// commaList splits a text at its commas.
func commaList(s string) (out []string) {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
