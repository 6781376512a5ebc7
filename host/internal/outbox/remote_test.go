package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/fake"
)

// remote is a fake chain in another process, behind a socket.
type remote struct{ client http.Client }

func dialRemote(socket string) *remote {
	r := &remote{}
	r.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	return r
}

func (r *remote) call(ctx context.Context, path string, in, out any) error {
	body, err := r.open(ctx, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	return json.NewDecoder(body).Decode(out)
}

func (r *remote) open(ctx context.Context, path string, in any) (io.ReadCloser, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://chain"+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	a, err := r.client.Do(q)
	if err != nil {
		return nil, fault.New(fault.BusyChain, "call", path, err)
	}
	if code := a.Header.Get("Fault"); code != "" {
		_ = a.Body.Close()
		return nil, fault.New(fault.Code(code), "call", path, nil)
	}
	return a.Body, nil
}

func (r *remote) Info(ctx context.Context) (i chain.Info, err error) {
	return i, r.call(ctx, "/info", nil, &i)
}

func (r *remote) Account(ctx context.Context, a [32]byte) (out chain.Account, err error) {
	return out, r.call(ctx, "/account", a, &out)
}

func (r *remote) Sign(c chain.Call, s chain.Signing) (chain.Tx, error) { return fake.Sign(c, s) }

func (r *remote) Submit(ctx context.Context, tx []byte) error {
	var out struct{}
	return r.call(ctx, "/submit", tx, &out)
}

func (r *remote) Query(ctx context.Context, path string, _, out any) error {
	return r.call(ctx, "/query", path, out)
}

func (r *remote) Follow(ctx context.Context, after chain.Cursor, use func(chain.Block) error) error {
	body, err := r.open(ctx, "/follow", after)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	for d := json.NewDecoder(body); ; {
		var b chain.Block
		if err := d.Decode(&b); err != nil {
			return fault.New(fault.BusyChain, "follow", "", err)
		}
		if err := use(b); err != nil {
			return err
		}
	}
}

// serveRemote serves a fake chain on a socket until the server is closed.
func serveRemote(c *fake.Chain, socket string) (*httptest.Server, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	handle := func(path string, in func() any, do func(ctx context.Context, in any) (any, error)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, q *http.Request) {
			v := in()
			err := json.NewDecoder(q.Body).Decode(v)
			var out any
			if err == nil {
				out, err = do(q.Context(), v)
			}
			if err != nil {
				if fault.From(err).Code == fault.BugUnexpected { // half a reply
					_, _ = w.Write([]byte("{"))
					return
				}
				w.Header().Set("Fault", string(fault.CodeOf(err)))
				return
			}
			_ = json.NewEncoder(w).Encode(out)
		})
	}
	none := func() any { return new(any) }
	handle("/info", none, func(ctx context.Context, _ any) (any, error) { return c.Info(ctx) })
	handle("/account", func() any { return new([32]byte) }, func(ctx context.Context, in any) (any, error) { return c.Account(ctx, *in.(*[32]byte)) })
	handle("/submit", func() any { return new([]byte) }, func(ctx context.Context, in any) (any, error) {
		return struct{}{}, c.Submit(ctx, *in.(*[]byte))
	})
	mux.HandleFunc("/follow", func(w http.ResponseWriter, q *http.Request) {
		var after chain.Cursor
		if json.NewDecoder(q.Body).Decode(&after) != nil {
			return
		}
		if _, _, err := c.Next(after); err != nil {
			w.Header().Set("Fault", string(fault.CodeOf(err)))
			return
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		_ = c.Follow(q.Context(), after, func(b chain.Block) error {
			return errors.Join(json.NewEncoder(w).Encode(b), http.NewResponseController(w).Flush())
		})
	})
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	s.Start()
	return s, nil
}
