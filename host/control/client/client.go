package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// Client calls one host.
type Client struct {
	http    *http.Client
	timeout time.Duration // of a call that is not a stream

	origin  string // see api.HeaderOrigin
	differs func(server string)

	mu      sync.Mutex
	version string // of the server, from its last reply
	pid     int    // of the process that listens, from the last connection; 0: not known
}

// callTimeout is more than a host takes to give up a call by itself.
const callTimeout = 20 * time.Second

// New returns a client for the host that listens on socket. While nobody listens there, a call tries again for up to
// patience, since a host that holds a data directory may still be starting.
func New(socket string, patience time.Duration) *Client {
	var client *Client
	client = Over(func(ctx context.Context) (net.Conn, error) {
		c, err := dialPatiently(ctx, socket, patience)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return nil, fault.New(fault.CallerDenied, "connect", socket, err).WithHint("this socket belongs to another user")
		case err != nil:
			return nil, fault.New(fault.CallerUnreachable, "connect", socket, err)
		}
		peer, err := api.PeerOf(c)
		if err == nil && !api.Trusts(os.Geteuid(), peer) && !ofOurGroup(socket) {
			err = fault.New(fault.CallerDenied, "connect", socket, nil).WithHint("this socket belongs to another user")
		}
		if err != nil {
			_ = c.Close()
			return nil, err
		}
		client.mu.Lock()
		defer client.mu.Unlock()
		client.pid = peer.PID
		return c, nil
	})
	return client
}

// Over returns a client that connects by dial.
func Over(dial func(context.Context) (net.Conn, error)) *Client {
	return &Client{timeout: callTimeout, http: &http.Client{
		Transport: &http.Transport{
			DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

const redial = 20 * time.Millisecond

func dialPatiently(ctx context.Context, socket string, patience time.Duration) (net.Conn, error) {
	var d net.Dialer
	give := time.NewTimer(patience)
	defer give.Stop()
	for {
		c, err := d.DialContext(ctx, "unix", socket)
		if err == nil || !(errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-give.C:
			return nil, err
		case <-time.After(redial):
		}
	}
}

// ServerVersion returns the version that the last reply named, or "".
func (c *Client) ServerVersion() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version
}

// Live reports whether the host answers.
func (c *Client) Live(ctx context.Context) error { return c.call(ctx, api.RouteLive, "", nil, nil) }

// Ready reports whether the host accepts work.
func (c *Client) Ready(ctx context.Context) error { return c.call(ctx, api.RouteReady, "", nil, nil) }

// Status returns everything about the host.
func (c *Client) Status(ctx context.Context) (h inspect.Host, err error) {
	err = c.call(ctx, api.RouteStatus, "", nil, &h)
	return h, err
}

// Artifacts returns all artifacts whose key begins with prefix, in the order of their keys.
func (c *Client) Artifacts(ctx context.Context, prefix string) ([]inspect.Artifact, error) {
	all := []inspect.Artifact{}
	for after := ""; ; {
		var page api.ArtifactList
		q := url.Values{"prefix": {prefix}, "after": {after}, "limit": {strconv.Itoa(api.MaxPage)}}
		if err := c.call(ctx, api.RouteList, "", q, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Artifacts...)
		if page.Next <= after { // empty, or a server that would lead us in circles
			return all, nil
		}
		after = page.Next
	}
}

// Artifact returns one artifact.
func (c *Client) Artifact(ctx context.Context, key string) (a api.Artifact, err error) {
	err = c.call(ctx, api.RouteShow, key, nil, &a)
	return a, err
}

// Verify checks the stored bytes of an artifact.
func (c *Client) Verify(ctx context.Context, key string) (d api.Done, err error) {
	return d, c.call(ctx, api.RouteVerify, key, nil, &d)
}

// Pin keeps an artifact from being pruned.
func (c *Client) Pin(ctx context.Context, key string) (d api.Done, err error) {
	return d, c.call(ctx, api.RoutePin, key, nil, &d)
}

// Unpin takes back Pin.
func (c *Client) Unpin(ctx context.Context, key string) (d api.Done, err error) {
	return d, c.call(ctx, api.RouteUnpin, key, nil, &d)
}

// Evict drops an artifact.
func (c *Client) Evict(ctx context.Context, key string) (d api.Done, err error) {
	return d, c.call(ctx, api.RouteEvict, key, nil, &d)
}

// Prune looks at size and age now.
func (c *Client) Prune(ctx context.Context) (p api.Pruned, err error) {
	err = c.call(ctx, api.RoutePrune, "", nil, &p)
	return p, err
}

// call carries out a route without a body and decodes the reply into v, unless v is nil.
func (c *Client) call(ctx context.Context, route, key string, q url.Values, v any) error {
	return c.within(ctx, c.timeout, func(ctx context.Context) error { return c.exchange(ctx, route, key, q, "", nil, v) })
}

// within gives a host so long to reply.
func (c *Client) within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errNoReply)
	defer cancel()
	err := f(ctx)
	if errors.Is(err, errNoReply) {
		who := "the host"
		c.mu.Lock()
		if c.pid != 0 {
			who = fmt.Sprintf("process %d", c.pid)
		}
		c.mu.Unlock()
		return fault.New(fault.CallerUnreachable, "control", "", fmt.Errorf("%s sent no reply within %v", who, limit)).WithHint("is that process stopped, or the machine overloaded?")
	}
	return err
}

var errNoReply = errors.New("no reply")

// exchange sends a request and decodes the reply into v, unless v is nil.
func (c *Client) exchange(ctx context.Context, route, key string, q url.Values, kind string, body io.Reader, v any) error {
	resp, err := c.do(ctx, route, key, q, kind, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if v == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, api.MaxReplyBytes)).Decode(v); err != nil {
		if other := otherVersion(resp); other != nil && ctx.Err() == nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return other
		}
		return lost(ctx, err)
	}
	return nil
}

// otherVersion is why a reply is not understood, if its host has another version; nil: it has not.
func otherVersion(resp *http.Response) error {
	version := resp.Header.Get(api.HeaderVersion)
	if version == "" || version == host.Version {
		return nil
	}
	return fault.New(fault.HostUnsupported, "control", "", fmt.Errorf("the host has version %s, this program %s, and they do not understand each other", fault.Quote(version), host.Version)).
		WithHint("use the troupe of that version, or restart 'troupe serve' with this one")
}

// do sends a request; a reply that is not a success becomes its error.
func (c *Client) do(ctx context.Context, route, key string, q url.Values, kind string, body io.Reader) (*http.Response, error) {
	return c.doWith(ctx, route, key, q, kind, body, nil)
}

// doWith sends more headers.
func (c *Client) doWith(ctx context.Context, route, key string, q url.Values, kind string, body io.Reader, headers map[string]string) (*http.Response, error) {
	method, path, _ := strings.Cut(route, " ")
	u := url.URL{Scheme: "http", Host: api.HostName, Path: path, RawQuery: q.Encode()}
	if before, named, ok := strings.Cut(path, "{"); ok {
		_, after, _ := strings.Cut(named, "}")
		u.Path, u.RawPath = before+key+after, before+url.PathEscape(key)+after
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fault.New(fault.CallerInvalid, "request", fault.Quote(key), err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	terms := termsOf(ctx)
	terms.set(req.Header)
	if c.origin != "" {
		req.Header.Set(api.HeaderOrigin, c.origin)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, lost(ctx, err)
	}
	c.saw(resp.Header.Get(api.HeaderVersion))
	if resp.StatusCode/100 == 2 && !terms.DryRun {
		return resp, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return nil, dryRunOf(resp)
	}
	var f api.Failure
	err = json.NewDecoder(io.LimitReader(resp.Body, api.MaxReplyBytes)).Decode(&f)
	if err != nil || f.Error.Code == "" || f.Error.Op == api.OpRoute { // an older host knows no route that was added since
		if other := otherVersion(resp); other != nil {
			return nil, other
		}
	}
	if err != nil || f.Error.Code == "" {
		return nil, fault.New(fault.BugProtocol, "control", resp.Status, err).WithHint("does something else listen on this socket?")
	}
	return nil, f.Error.Fault()
}

// lost names the fault of a call that got no reply.
func lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.From(context.Cause(ctx))
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the made-up address
	}
	return fault.New(fault.CallerUnreachable, "control", "the connection broke", err).WithHint("the host died or was stopped: see its log")
}
