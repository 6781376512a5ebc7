package client

import (
	"context"
	"io"

	"github.com/troupehost/troupe/host/control/api"
)

// Metrics writes the metrics of the host to w, in the text format of Prometheus.
func (c *Client) Metrics(ctx context.Context, w io.Writer) error {
	return c.within(ctx, c.timeout, func(ctx context.Context) error {
		resp, err := c.do(ctx, api.RouteMetrics, "", nil, "", nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, api.MaxReplyBytes))
		if err != nil {
			return lost(ctx, err)
		}
		_, err = w.Write(b)
		return err
	})
}
