package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

// Terms are what a change is asked for under. The zero value says nothing.
type Terms struct {
	Reason string // why, for the audit log; at most 512 bytes
	Key    string // the same key within an hour gives the same answer
	Match  uint64 // the generation that the target must have; 0: any
	DryRun bool   // nothing is changed: the call fails with a *DryRun, which says what it would do
}

type termsKey struct{}

// Under returns a context whose calls are made under terms. Those that only look ignore them, but for a dry run, which they must
// not be asked for.
func Under(ctx context.Context, t Terms) context.Context {
	return context.WithValue(ctx, termsKey{}, t)
}

func termsOf(ctx context.Context) Terms {
	t, _ := ctx.Value(termsKey{}).(Terms)
	return t
}

func (t Terms) set(h http.Header) {
	for name, value := range map[string]string{api.HeaderReason: t.Reason, api.HeaderIdempotency: t.Key} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if t.Match != 0 {
		h.Set(api.HeaderIfMatch, strconv.Quote(strconv.FormatUint(t.Match, 10)))
	}
	if t.DryRun {
		h.Set(api.HeaderDryRun, "true")
	}
}

// DryRun is what a change would have done.
type DryRun struct{ api.Would }

// Error implements error.
func (d *DryRun) Error() string { return "nothing was changed; it " + d.Would.Would }

func dryRunOf(resp *http.Response) error {
	var d DryRun
	if err := json.NewDecoder(io.LimitReader(resp.Body, api.MaxRequestBytes)).Decode(&d.Would); err != nil || !d.DryRun {
		return fault.New(fault.BugProtocol, "dry run", "", err).WithHint("this call changes nothing, or the host is too old")
	}
	return &d
}
