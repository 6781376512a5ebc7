package client

import "net/http"

// Transport returns the way to the host by itself, for who passes on requests that others have made: it connects as all calls do, with
// the same trust, and nothing limits its time. Requests go to http:// and api.HostName.
func (c *Client) Transport() http.RoundTripper { return c.http.Transport }
