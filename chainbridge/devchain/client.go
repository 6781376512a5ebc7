package devchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// Client is a chain behind its API. It is a chain.Port and needs no closing, but Close gives up what it keeps open.
type Client struct {
	url  string // of HTTP
	http *http.Client
	last atomic.Uint64
}

var _ chain.Port = (*Client)(nil)

// Waits of a client.
const (
	callTimeout = 30 * time.Second // of a request that is to be answered at once
	quietTime   = 30 * time.Second // after which a chain that says nothing is asked whether it is there
)

// Dial names a chain by its URL: http, https, ws, wss, or unix with the path of a socket. Nothing is asked yet.
//
// # Errors
//
// caller.chain_url.
func Dial(raw string) (*Client, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fault.New(fault.CallerChainURL, "dial", fault.Quote(raw), nil)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: callTimeout,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext}
	switch u.Scheme {
	case "unix":
		path := u.Path
		if u.Host != "" || path == "" {
			return nil, fault.New(fault.CallerChainURL, "dial", fault.Quote(raw), nil).WithHint("a socket is written as unix:///path/to.sock")
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "unix", path)
		}
		u = &url.URL{Scheme: "http", Host: HostName}
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	case "http", "https":
	default:
		return nil, fault.New(fault.CallerChainURL, "dial", fault.Quote(raw), nil)
	}
	if u.Host == "" || u.User != nil {
		return nil, fault.New(fault.CallerChainURL, "dial", fault.Quote(u.Redacted()), nil)
	}
	u.Fragment = ""
	return &Client{url: u.String(), http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Close gives up idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

func lost(op string, err error) error {
	return fault.New(fault.BusyChain, op, "", err).WithRetryAfter(time.Second)
}

// call asks over HTTP.
func (c *Client) call(ctx context.Context, method string, params, out any) error {
	body, err := c.request(method, params)
	if err != nil {
		return err
	}
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.CallerChainURL, method, "", err)
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := c.http.Do(r)
	if err != nil {
		return ended(asked, method, err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(io.LimitReader(a.Body, maxAnswerBytes))
	if err != nil {
		return ended(asked, method, err)
	}
	return readAnswer(method, b, out, a.Status)
}

// ended tells who gave up from a chain that is not there.
func ended(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fault.From(context.Cause(ctx))
	}
	return lost(op, err)
}

func (c *Client) request(method string, params any) ([]byte, error) {
	r := request{Version: version, ID: fmt.Append(nil, c.last.Add(1)), Method: method}
	if params != nil {
		b, err := json.Marshal(params)
		if err != nil {
			return nil, fault.New(fault.CallerInvalid, method, "", err)
		}
		r.Params = b
	}
	return json.Marshal(r)
}

func readAnswer(method string, b []byte, out any, status string) error {
	var a response
	if err := json.Unmarshal(b, &a); err != nil || a.Version != version {
		return lost(method, fmt.Errorf("no answer of a chain: %s", fault.Quote(status)))
	}
	if a.Error != nil {
		return a.Error.fault(method)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.Result, out); err != nil {
		return lost(method, err)
	}
	return nil
}

// Status tells how the chain is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, methodInfo, nil, &s)
}

// Info implements chain.Port.
func (c *Client) Info(ctx context.Context) (chain.Info, error) {
	s, err := c.Status(ctx)
	return s.Info, err
}

// Account implements chain.Port.
func (c *Client) Account(ctx context.Context, account [32]byte) (a chain.Account, err error) {
	return a, c.call(ctx, methodAccount, accountParams{account}, &a)
}

// Sign implements chain.Port.
func (c *Client) Sign(call chain.Call, s chain.Signing) (chain.Tx, error) { return sign(call, s) }

// Submit implements chain.Port.
func (c *Client) Submit(ctx context.Context, tx []byte) error {
	return c.call(ctx, methodSubmit, txParams{tx}, nil)
}

// Query implements chain.Port.
func (c *Client) Query(ctx context.Context, path string, params, out any) error {
	p := queryParams{Path: path}
	if params != nil {
		b, err := json.Marshal(params)
		if err != nil {
			return fault.New(fault.CallerInvalid, "query", fault.Quote(path), err)
		}
		p.Params = b
	}
	return c.call(ctx, methodQuery, p, out)
}

// Block returns the block of a height, with its header and its transactions.
func (c *Client) Block(ctx context.Context, height uint64) (b BlockAnswer, err error) {
	return b, c.call(ctx, methodBlock, blockParams{Height: &height}, &b)
}

// BlockOf returns the block with a hash.
func (c *Client) BlockOf(ctx context.Context, hash chain.Hash) (b BlockAnswer, err error) {
	return b, c.call(ctx, methodBlock, blockParams{Hash: &hash}, &b)
}

// Blocks returns the blocks from a height on, at most limit and as many as an answer may have.
func (c *Client) Blocks(ctx context.Context, from uint64, limit int) (p BlockPage, err error) {
	return p, c.call(ctx, methodBlocks, blocksParams{from, limit}, &p)
}

// Tx tells where a transaction is.
func (c *Client) Tx(ctx context.Context, hash chain.Hash) (at TxPlace, err error) {
	return at, c.call(ctx, methodTx, hashParams{hash}, &at)
}

// State returns the value of a key of the state, nil if there is none.
func (c *Client) State(ctx context.Context, key []byte) ([]byte, error) {
	var v *pallet.Bytes
	if err := c.call(ctx, methodState, stateParams{key}, &v); err != nil || v == nil {
		return nil, err
	}
	return *v, nil
}

// Export copies the export of the state to w.
func (c *Client) Export(ctx context.Context, w io.Writer) error {
	at, err := url.JoinPath(c.url, "export")
	if err != nil {
		return fault.New(fault.CallerChainURL, "export", "", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return fault.New(fault.CallerChainURL, "export", "", err)
	}
	a, err := c.http.Do(r)
	if err != nil {
		return ended(ctx, "export", err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(a.Body, MaxRequestBytes))
		if err := readAnswer("export", b, nil, a.Status); err != nil {
			return err
		}
		return lost("export", errors.New(a.Status))
	}
	if _, err := io.Copy(w, a.Body); err != nil {
		return ended(ctx, "export", err)
	}
	return nil
}

// Follow implements chain.Port. It connects once: when the connection breaks it returns busy.chain.
func (c *Client) Follow(ctx context.Context, after chain.Cursor, use func(chain.Block) error) error {
	return c.listen(ctx, subscribeParams{Kind: "blocks", After: &after}, func(method string, params json.RawMessage) error {
		if method != noteBlock {
			return nil
		}
		var n BlockNote
		if err := json.Unmarshal(params, &n); err != nil {
			return lost("follow", err)
		}
		return use(n.Block)
	})
}

// Events calls use with the events that fit a filter, of the blocks behind the cursor, until ctx ends or use fails. A nil cursor is the
// newest block. It returns busy.chain when the connection breaks.
func (c *Client) Events(ctx context.Context, after *chain.Cursor, filter []Filter, use func(EventNote) error) error {
	return c.listen(ctx, subscribeParams{Kind: "events", After: after, Filter: filter}, func(method string, params json.RawMessage) error {
		if method != noteEvents {
			return nil
		}
		var n EventNote
		if err := json.Unmarshal(params, &n); err != nil {
			return lost("events", err)
		}
		return use(n)
	})
}

// listen subscribes, and calls use with each notification, but for the last one.
func (c *Client) listen(ctx context.Context, p subscribeParams, use func(method string, params json.RawMessage) error) error {
	opening, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, _, err := websocket.Dial(opening, c.url, &websocket.DialOptions{HTTPClient: c.http, CompressionMode: websocket.CompressionDisabled}) //nolint:bodyclose // the library has
	if err != nil {
		return ended(ctx, "follow", err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxAnswerBytes)
	body, err := c.request(methodSubscribe, p)
	if err != nil {
		return err
	}
	if err := conn.Write(opening, websocket.MessageText, body); err != nil {
		return ended(ctx, "follow", err)
	}
	alive, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var busy atomic.Bool // use runs: nobody reads, so nothing can be heard
	go watch(alive, stop, conn, &busy)
	for {
		_, b, err := conn.Read(alive)
		if err != nil {
			if ctx.Err() == nil && alive.Err() != nil {
				err = context.Cause(alive)
			}
			return ended(ctx, "follow", err)
		}
		var m struct {
			response
			Method string          `json:"method"`
			Params json.RawMessage `json:"params"`
		}
		if err := json.Unmarshal(b, &m); err != nil || m.Version != version {
			return lost("follow", errors.New("no message of a chain"))
		}
		switch {
		case m.Error != nil:
			return m.Error.fault("follow")
		case m.Method == noteEnd:
			var n EndNote
			if err := json.Unmarshal(m.Params, &n); err != nil || n.Error == nil {
				return lost("follow", err)
			}
			return n.Error.fault("follow")
		case m.Method != "":
			busy.Store(true)
			if err := use(m.Method, m.Params); err != nil {
				return err
			}
			busy.Store(false)
		}
	}
}

// watch pings a chain that may have nothing to say for long.
func watch(ctx context.Context, stop context.CancelCauseFunc, conn *websocket.Conn, busy *atomic.Bool) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(quietTime):
		}
		if busy.Load() {
			continue
		}
		ping, cancel := context.WithTimeout(ctx, callTimeout)
		err := conn.Ping(ping)
		cancel()
		if err != nil && !busy.Load() {
			stop(err)
			return
		}
	}
}
