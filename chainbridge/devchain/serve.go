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
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// server answers the API.
type server struct {
	c           *Chain
	requests    chan struct{} // that are answered
	connections chan struct{} // WebSockets
}

// requestTimeout bounds the time that a request over HTTP may take to come and to be answered.
const requestTimeout = 30 * time.Second

// Handler serves the chain over HTTP: JSON-RPC 2.0 by POST, one request or a batch; a WebSocket by GET with an upgrade, which takes
// subscriptions too; the export of the state at /export. Whoever reaches it may submit transactions, which are signed, and read all.
// Web pages of other sites are refused: a name that is not ours, and all that bears an origin.
func (c *Chain) Handler() http.Handler {
	s := &server{c: c, requests: make(chan struct{}, MaxRequests), connections: make(chan struct{}, MaxConnections)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.admit(r); err != nil {
			refuse(w, http.StatusForbidden, err)
			return
		}
		switch {
		case r.URL.Path == "/export" && r.Method == http.MethodGet:
			s.export(w, r)
		case r.URL.Path != "/" && r.URL.Path != "":
			refuse(w, http.StatusNotFound, fault.New(fault.CallerNotFound, "chain", fault.Quote(r.URL.Path), nil))
		case r.Method == http.MethodGet && r.Header.Get("Upgrade") != "":
			s.connect(w, r)
		case r.Method == http.MethodPost:
			s.post(w, r)
		default:
			w.Header().Set("Allow", "GET, POST")
			refuse(w, http.StatusMethodNotAllowed, fault.New(fault.CallerInvalid, "chain", fault.Quote(r.Method), nil).WithHint("requests come by POST or over a WebSocket"))
		}
	})
}

// admit refuses what a browser may have been led to ask.
func (c *Chain) admit(r *http.Request) error {
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	if net.ParseIP(name) == nil && !(len(name) > 2 && name[0] == '[' && net.ParseIP(name[1:len(name)-1]) != nil) &&
		name != "localhost" && name != HostName && !slices.Contains(c.cfg.HostNames, name) {
		return fault.New(fault.CallerDenied, "chain", "host "+fault.Quote(r.Host), nil).WithHint("use an address, or a host name that the chain is told to have")
	}
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return fault.New(fault.CallerDenied, "chain", "a web page", nil).WithHint("this API is not for browsers")
	}
	return nil
}

// HostName is the name in requests over a unix socket.
const HostName = "chain.troupe"

func refuse(w http.ResponseWriter, status int, err error) {
	if f := fault.From(err); f.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(f.RetryAfter.Seconds()+0.5)))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(response{Version: version, ID: json.RawMessage("null"), Error: wire(codeFault, err)})
}

func tooMany() error {
	return fault.New(fault.BusyChain, "chain", "", errors.New("too many requests at once")).WithRetryAfter(time.Second)
}

func (s *server) post(w http.ResponseWriter, r *http.Request) {
	select {
	case s.requests <- struct{}{}:
		defer func() { <-s.requests }()
	default:
		refuse(w, http.StatusServiceUnavailable, tooMany())
		return
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(requestTimeout))
	_ = rc.SetWriteDeadline(time.Now().Add(2 * requestTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequestBytes))
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		refuse(w, http.StatusRequestEntityTooLarge, fault.New(fault.CallerParamsTooBig, "chain", "", tooBig))
		return
	} else if err != nil {
		return // it is gone
	}
	w.Header().Set("Content-Type", "application/json")
	if answer := s.answer(ctx, body, nil); answer != nil {
		_, _ = w.Write(answer)
	} else {
		w.WriteHeader(http.StatusNoContent)
	}
}

// answer answers a request or a batch; nil if there is nothing to say. in is the session of a WebSocket.
func (s *server) answer(ctx context.Context, body []byte, in *session) []byte {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] != '[' {
		return encodeAnswer(s.one(ctx, body, in))
	}
	var batch []json.RawMessage
	if err := json.Unmarshal(body, &batch); err != nil {
		return encodeAnswer(failure(nil, codeParse, notJSON(err)))
	}
	if len(batch) == 0 || len(batch) > MaxBatch {
		return encodeAnswer(failure(nil, codeRequest, fault.New(fault.CallerInvalid, "chain", "", fmt.Errorf("a batch of %d requests", len(batch))).
			WithHint(fmt.Sprintf("a batch has 1 to %d requests", MaxBatch))))
	}
	var out []json.RawMessage
	size := 0
	for _, one := range batch {
		a := s.one(ctx, one, in)
		if a != nil && size > maxPageBytes {
			a = failure(a.ID, codeFault, fault.New(fault.CallerInvalid, "chain", "", errors.New("the answers to the batch are too long")))
		}
		if b := encodeAnswer(a); b != nil {
			out, size = append(out, b), size+len(b)
		}
	}
	if out == nil {
		return nil
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil // all of it is JSON
	}
	return b
}

func encodeAnswer(a *response) []byte {
	if a == nil {
		return nil
	}
	b, err := json.Marshal(a)
	if err != nil {
		b, _ = json.Marshal(failure(nil, codeFault, fault.New(fault.BugUnexpected, "chain", "", err)))
	}
	return b
}

func notJSON(err error) error { return fault.New(fault.CallerInvalid, "chain", "", err) }

func failure(id json.RawMessage, code int, err error) *response {
	if id == nil {
		id = json.RawMessage("null")
	}
	return &response{Version: version, ID: id, Error: wire(code, err)}
}

// maxID bounds what is echoed.
const maxID = 256

func (s *server) one(ctx context.Context, body []byte, in *session) *response {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		code := codeRequest
		if !json.Valid(body) {
			code = codeParse
		}
		return failure(nil, code, notJSON(err))
	}
	if r.Version != version || len(r.ID) > maxID || len(r.ID) > 0 && (r.ID[0] == '{' || r.ID[0] == '[') {
		return failure(nil, codeRequest, fault.New(fault.CallerInvalid, "chain", "", errors.New("it is no request of JSON-RPC 2.0")))
	}
	result, code, err := s.call(ctx, r.Method, r.Params, in)
	if r.ID == nil {
		return nil
	}
	if err != nil {
		return failure(r.ID, code, err)
	}
	b, err := json.Marshal(result)
	if err != nil {
		return failure(r.ID, codeFault, fault.New(fault.BugUnexpected, "chain", "", err))
	}
	return &response{Version: version, ID: r.ID, Result: b}
}

// call answers one method.
func (s *server) call(ctx context.Context, method string, params json.RawMessage, in *session) (any, int, error) {
	read := func(p any) error {
		if len(params) == 0 {
			return nil
		}
		d := json.NewDecoder(bytes.NewReader(params))
		d.DisallowUnknownFields()
		if err := d.Decode(p); err != nil {
			return fault.New(fault.CallerInvalid, "chain", fault.Quote(method), err)
		}
		return nil
	}
	c := s.c
	var bad error
	var out any
	var err error
	switch method {
	case methodInfo:
		out, err = c.status(ctx)
	case methodSubmit:
		var p txParams
		if bad = read(&p); bad == nil {
			out, err = Submitted{chain.Hash(txHash(p.Tx))}, c.Submit(ctx, p.Tx)
		}
	case methodBlock:
		var p blockParams
		if bad = read(&p); bad == nil {
			out, err = c.find(p)
		}
	case methodBlocks:
		var p blocksParams
		if bad = read(&p); bad == nil {
			out, err = c.blocks(p)
		}
	case methodTx:
		var p hashParams
		if bad = read(&p); bad == nil {
			out, err = c.Tx(p.Hash)
		}
	case methodAccount:
		var p accountParams
		if bad = read(&p); bad == nil {
			out, err = c.Account(ctx, p.Account)
		}
	case methodQuery:
		var p queryParams
		if bad = read(&p); bad == nil {
			out, err = c.query(p.Path, p.Params)
		}
	case methodState:
		var p stateParams
		if bad = read(&p); bad == nil {
			var v []byte
			if v, err = c.State(p.Key); v != nil {
				out = hexBytes(v)
			}
		}
	case methodSubscribe, methodUnsubscribe:
		if in == nil {
			bad = fault.New(fault.CallerInvalid, "chain", method, nil).WithHint("subscriptions need a WebSocket")
			break
		}
		if method == methodSubscribe {
			var p subscribeParams
			if bad = read(&p); bad == nil {
				out, bad = in.subscribe(p)
			}
		} else {
			var p Subscription
			if bad = read(&p); bad == nil {
				out, bad = true, in.unsubscribe(p.ID)
			}
		}
	default:
		return nil, codeMethod, fault.New(fault.CallerNotFound, "chain", "method "+fault.Quote(method), nil)
	}
	if bad != nil {
		return nil, codeParams, bad
	}
	return out, codeFault, err
}

func (c *Chain) status(ctx context.Context) (s Status, err error) {
	if s.Info, err = c.Info(ctx); err != nil {
		return s, err
	}
	s.PoolTxs, s.PoolBytes = c.pool.size()
	if f := c.failed.Load(); f != nil {
		s.Failed = wire(codeFault, f)
	}
	return s, nil
}

// find returns the block of a height or hash; of neither, the newest.
func (c *Chain) find(p blockParams) (BlockAnswer, error) {
	height := c.tip.Load().Height
	if p.Height != nil {
		height = *p.Height
	}
	if p.Hash != nil {
		h, ok, err := c.heightOf(pallet.Hash(*p.Hash))
		if err != nil {
			return BlockAnswer{}, err
		}
		if !ok || p.Height != nil && h != height {
			return BlockAnswer{}, fault.New(fault.CallerNotFound, "block", p.Hash.String(), nil)
		}
		height = h
	}
	r, err := c.record(height)
	if err != nil {
		return BlockAnswer{}, err
	}
	return r.answer(), nil
}

func (c *Chain) heightOf(hash pallet.Hash) (uint64, bool, error) {
	c.source.view.RLock()
	defer c.source.view.RUnlock()
	if err := c.open(); err != nil {
		return 0, false, err
	}
	h, ok, err := c.store.heightOf(hash)
	return h, ok && h <= c.tip.Load().Height, err
}

func (r *record) answer() BlockAnswer {
	a := BlockAnswer{Header: r.Header, Block: r.block, Raw: make([]hexBytes, len(r.txs))}
	for n, tx := range r.txs {
		a.Raw[n] = tx
	}
	return a
}

// blocks returns the blocks from a height on.
func (c *Chain) blocks(p blocksParams) (page BlockPage, err error) {
	if p.Limit == 0 {
		p.Limit = MaxPage
	}
	if p.Limit < 0 || p.Limit > MaxPage {
		return page, fault.New(fault.CallerInvalid, "blocks", "", nil).WithHint(fmt.Sprintf("a page has 1 to %d blocks", MaxPage))
	}
	page.Items = []BlockAnswer{}
	top := c.tip.Load().Height
	size := 0
	h := p.From
	for ; h <= top && len(page.Items) < p.Limit && size < maxPageBytes; h++ {
		r, err := c.record(h)
		if err != nil {
			return page, err
		}
		page.Items = append(page.Items, r.answer())
		size += 3 * len(r.stored) // as JSON
	}
	if h <= top {
		page.Next = &h
	}
	return page, c.open()
}

func (s *server) export(w http.ResponseWriter, r *http.Request) {
	select {
	case s.connections <- struct{}{}:
		defer func() { <-s.connections }()
	default:
		refuse(w, http.StatusServiceUnavailable, tooMany())
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := &hurried{w: w, rc: http.NewResponseController(w), ctx: ctx}
	defer context.AfterFunc(s.c.ctx, func() { // the chain closes, and waits for who reads
		cancel()
		_ = out.rc.SetWriteDeadline(time.Now())
	})()
	if err := s.c.Export(out); err != nil {
		if !out.began {
			refuse(w, http.StatusServiceUnavailable, err)
			return
		}
		panic(http.ErrAbortHandler) // the last line is missing; that the connection breaks says so as well
	}
}

// hurried is a reply whose reader may not stop.
type hurried struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	ctx   context.Context
	began bool
}

func (h *hurried) Write(b []byte) (int, error) {
	h.began = true
	_ = h.rc.SetWriteDeadline(time.Now().Add(requestTimeout))
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	return h.w.Write(b)
}
