package cli

import (
	"context"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge"
)

// onChain has a verb work with the chain that is named, or with that of the host.
func (a *app) onChain(ctx context.Context, f *chainFlags, use func(context.Context, chainClient) error) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	url := f.url
	if url == "" {
		n, err := a.open(ctx, served)
		if err != nil {
			return err
		}
		v, err := n.Chain(ctx)
		_ = n.close()
		if err != nil {
			return err
		}
		url = v.URL
	}
	c, err := chainbridge.Dial(url)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	err = use(ctx, c)
	if fault.CodeOf(err) == fault.BusyChain {
		err = fault.From(err).WithHint("is the node of " + fault.Quote(url) + " running? 'troupe chain status' tells what the host sees of it")
	}
	return err
}
