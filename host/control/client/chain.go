package client

import (
	"context"
	"net/url"
	"strconv"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// Chain shows what the host has to do with its chain.
func (c *Client) Chain(ctx context.Context) (v inspect.ChainView, err error) {
	err = c.call(ctx, api.RouteChain, "", nil, &v)
	return v, err
}

// ChainCalls returns a page of calls on their way to the chain, or of those that are settled.
func (c *Client) ChainCalls(ctx context.Context, f host.CallFilter) (l api.CallList, err error) {
	q := url.Values{"after": {strconv.FormatUint(f.After, 10)}}
	for name, on := range map[string]bool{"history": f.History, "newest": f.Newest} {
		if on {
			q.Set(name, "true")
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	err = c.call(ctx, api.RouteChainCalls, "", q, &l)
	return l, err
}

// ChainDemands returns a page of what the chain wants of the host.
func (c *Client) ChainDemands(ctx context.Context, after string) (l api.DemandList, err error) {
	err = c.call(ctx, api.RouteChainDemands, "", url.Values{"after": {after}}, &l)
	return l, err
}

// ChainPay returns a page of what apps have earned.
func (c *Client) ChainPay(ctx context.Context, after string) (l api.PayList, err error) {
	err = c.call(ctx, api.RouteChainPay, "", url.Values{"after": {after}}, &l)
	return l, err
}

// ReportToChain has the use of apps settled now, of all of them without addresses, and returns when that is final.
func (c *Client) ReportToChain(ctx context.Context, addresses ...string) (r api.ChainReported, err error) {
	err = c.call(ctx, api.RouteChainReport, "", url.Values{"address": addresses}, &r)
	return r, err
}

// SendToChain has a call signed by the worker key, and returns what became of it when that is final.
func (c *Client) SendToChain(ctx context.Context, call api.ChainCall) (s api.ChainSent, err error) {
	err = c.post(ctx, api.RouteChainSend, call, &s)
	return s, err
}

// AdoptChain has the host take the chain that is there now in place of the one that it knew.
func (c *Client) AdoptChain(ctx context.Context, genesis string) (d api.Done, err error) {
	err = c.post(ctx, api.RouteChainAdopt, api.Adopt{Genesis: genesis}, &d)
	return d, err
}
