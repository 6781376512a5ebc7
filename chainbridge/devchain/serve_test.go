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
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
)

func ask(t testing.TB, h http.Handler, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestRequests asks what is right and what is not, and looks at the codes of the answers.
func TestRequests(t *testing.T) {
	c := openChain(t, kvConfig(t.TempDir()))
	tx := kvTx{sender: 1, op: opSet, key: "k", value: []byte("v")}
	submit(t, c, tx)
	b := settled(t, c, chain.Cursor{}, tx)[0]
	h := c.Handler()
	one := func(method, params string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params)
	}
	for _, row := range []struct {
		what, body string
		code       int // 0: a result
		fault      fault.Code
	}{
		{"info", one("chain_info", "{}"), 0, ""},
		{"info without parameters", `{"jsonrpc":"2.0","id":"a","method":"chain_info"}`, 0, ""},
		{"no JSON", `{"jsonrpc"`, codeParse, fault.CallerInvalid},
		{"nothing", ``, codeParse, fault.CallerInvalid},
		{"a number", `1`, codeRequest, fault.CallerInvalid},
		{"another version", `{"jsonrpc":"1.0","id":1,"method":"chain_info"}`, codeRequest, fault.CallerInvalid},
		{"an id that is none", `{"jsonrpc":"2.0","id":{},"method":"chain_info"}`, codeRequest, fault.CallerInvalid},
		{"no such method", one("chain_nothing", "{}"), codeMethod, fault.CallerNotFound},
		{"unknown field", one("chain_tx", `{"hash":"`+b.Txs[0].Hash.String()+`","x":1}`), codeParams, fault.CallerInvalid},
		{"parameters that are none", one("chain_tx", `[1]`), codeParams, fault.CallerInvalid},
		{"a hash that is none", one("chain_tx", `{"hash":"12"}`), codeParams, fault.CallerInvalid},
		{"a transaction", one("chain_tx", `{"hash":"`+b.Txs[0].Hash.String()+`"}`), 0, ""},
		{"no such transaction", one("chain_tx", `{"hash":"`+strings.Repeat("00", 32)+`"}`), codeFault, fault.CallerNotFound},
		{"the head", one("chain_block", `{}`), 0, ""},
		{"a block", one("chain_block", `{"height":1}`), 0, ""},
		{"by hash", one("chain_block", `{"hash":"`+b.Hash.String()+`"}`), 0, ""},
		{"by another hash", one("chain_block", `{"hash":"`+strings.Repeat("00", 32)+`"}`), codeFault, fault.CallerNotFound},
		{"hash and height differ", one("chain_block", `{"height":0,"hash":"`+b.Hash.String()+`"}`), codeFault, fault.CallerNotFound},
		{"above the head", one("chain_block", `{"height":2}`), codeFault, fault.CallerNotFound},
		{"a height that is none", one("chain_block", `{"height":-2}`), codeParams, fault.CallerInvalid},
		{"blocks", one("chain_blocks", `{"from":0}`), 0, ""},
		{"blocks above the head", one("chain_blocks", `{"from":9}`), 0, ""},
		{"too many blocks", one("chain_blocks", `{"from":0,"limit":101}`), codeFault, fault.CallerInvalid},
		{"an account", one("account", `{"account":"0x01`+strings.Repeat("00", 31)+`"}`), 0, ""},
		{"a view", one("query", `{"path":"KV/get","params":{"key":"k"}}`), 0, ""},
		{"no such key", one("query", `{"path":"KV/get","params":{"key":"x"}}`), codeFault, fault.CallerNotFound},
		{"a key of the state", one("state_get", `{"key":"0x762f6b"}`), 0, ""},
		{"no such key of the state", one("state_get", `{"key":"0x76"}`), 0, ""},
		{"a bad transaction", one("chain_submit", `{"tx":"0x00"}`), codeFault, fault.CallerTx},
		{"no hex", one("chain_submit", `{"tx":"0xzz"}`), codeParams, fault.CallerInvalid},
		{"a subscription by POST", one("subscribe", `{"kind":"blocks"}`), codeParams, fault.CallerInvalid},
		{"an empty batch", `[]`, codeRequest, fault.CallerInvalid},
		{"a large batch", "[" + strings.Repeat("1,", MaxBatch) + "1]", codeRequest, fault.CallerInvalid},
	} {
		status, body := ask(t, h, row.body)
		var a response
		if err := json.Unmarshal([]byte(body), &a); err != nil || status != http.StatusOK {
			t.Errorf("%s: %d %s: %v", row.what, status, body, err)
			continue
		}
		got, code := 0, fault.Code("")
		if a.Error != nil {
			got, code = a.Error.Code, a.Error.Data.Code
		}
		if got != row.code || code != row.fault || (got == 0) == (a.Error != nil) || got == 0 && a.Result == nil {
			t.Errorf("%s: %s", row.what, body)
		}
	}
	if status, body := ask(t, h, `{"jsonrpc":"2.0","method":"chain_info"}`); status != http.StatusNoContent || body != "" {
		t.Errorf("a notification is answered: %d %s", status, body)
	}
	if status, _ := ask(t, h, `"`+strings.Repeat("x", MaxRequestBytes)+`"`); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d", status)
	}
	var batch []response
	_, body := ask(t, h, `[{"jsonrpc":"2.0","id":1,"method":"chain_info"},{"jsonrpc":"2.0","method":"chain_info"},7,{"jsonrpc":"2.0","id":2,"method":"x"}]`)
	if err := json.Unmarshal([]byte(body), &batch); err != nil || len(batch) != 3 || batch[0].Error != nil || batch[1].Error == nil || batch[2].Error.Code != codeMethod {
		t.Errorf("a batch: %s, %v", body, err)
	}
}

// TestWebPagesAreRefused asks as a browser would that another site has led here.
func TestWebPagesAreRefused(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	cfg.HostNames = []string{"chain.example"}
	h := openChain(t, cfg).Handler()
	for _, row := range []struct {
		host, header string
		want         int
	}{
		{"127.0.0.1:99", "", 200}, {"[::1]:99", "", 200}, {"[::1]", "", 200}, {"localhost", "", 200}, {HostName, "", 200}, {"chain.example:1", "", 200},
		{"evil.example", "", 403}, {"", "", 403}, {"127.0.0.1.evil.example", "", 403},
		{"127.0.0.1", "Origin", 403}, {"127.0.0.1", "Sec-Fetch-Site", 403},
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			r := httptest.NewRequest(method, "http://x/export", nil)
			if method == http.MethodPost {
				r = httptest.NewRequest(method, "http://x/", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"chain_info"}`))
			}
			if r.Host = row.host; row.header != "" {
				r.Header.Set(row.header, "http://evil.example")
			}
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != row.want {
				t.Errorf("%s %q %s: %d", method, row.host, row.header, w.Code)
			}
		}
	}
	for path, want := range map[string]int{"/x": 404, "/": 405} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestPages reads a chain by pages.
func TestPages(t *testing.T) {
	c := openChain(t, kvConfig(t.TempDir()))
	for range 250 {
		if err := c.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := httptest.NewServer(c.Handler())
	defer s.Close()
	d, err := Dial(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	height := uint64(0)
	for from := &height; from != nil; {
		p, err := d.Blocks(t.Context(), *from, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range p.Items {
			if b.Header.Height != height || chain.Hash(b.Header.Hash()) != b.Block.Hash {
				t.Fatalf("%+v", b.Header)
			}
			height++
		}
		sizes, from = append(sizes, len(p.Items)), p.Next
	}
	if diff := cmp.Diff([]int{100, 100, 51}, sizes); diff != "" {
		t.Error(diff)
	}
	b, err := d.Block(t.Context(), 77)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.BlockOf(t.Context(), b.Block.Hash); err != nil || again.Header != b.Header {
		t.Errorf("%+v, %v", again, err)
	}
	if v, err := d.State(t.Context(), []byte("genesis")); err != nil || string(v) != `{"name":"kv"}` {
		t.Errorf("%s, %v", v, err)
	}
	if v, err := d.State(t.Context(), []byte("none")); err != nil || v != nil {
		t.Errorf("%s, %v", v, err)
	}
}

// TestEvents subscribes to some events of some blocks.
func TestEvents(t *testing.T) {
	c := openChain(t, kvConfig(t.TempDir()))
	s := httptest.NewServer(c.Handler())
	defer s.Close()
	d, err := Dial(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var txs []kvTx
	for n := range uint64(5) {
		txs = append(txs, kvTx{sender: 1, nonce: n, op: opSet, key: fmt.Sprint(n)}, kvTx{op: opSet, key: fmt.Sprint("quiet", n)})
	}
	submit(t, c, txs...)
	settled(t, c, chain.Cursor{}, txs...)
	for what, row := range map[string]struct {
		filter []Filter
		want   int
	}{"all": {nil, 5}, "pallet": {[]Filter{{Pallet: "KV"}}, 5}, "name": {[]Filter{{"X", "Y"}, {"KV", "Set"}}, 5}} {
		n := 0
		if err := d.Events(t.Context(), &chain.Cursor{}, row.filter, func(e EventNote) error {
			if n += len(e.Events); n == row.want {
				return errEnough
			}
			return nil
		}); !errors.Is(err, errEnough) {
			t.Errorf("%s: %v", what, err)
		}
	}
	seen := make(chan error, 1)
	go func() {
		seen <- d.Events(t.Context(), &chain.Cursor{}, []Filter{{"KV", "Other"}}, func(EventNote) error { return errors.New("one fits") })
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-seen; !errors.Is(err, fault.BusyChain) {
		t.Errorf("none fits: %v", err)
	}
}

// dialRaw opens a WebSocket, whose messages the test writes itself.
func dialRaw(t *testing.T, url string) (conn *websocket.Conn, say func(string) response) {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(maxAnswerBytes)
	return conn, func(body string) (a response) {
		t.Helper()
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(body)); err != nil {
			t.Fatal(err)
		}
		for a.ID == nil { // there may be notifications before
			_, b, err := conn.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &a); err != nil {
				t.Fatal(err)
			}
		}
		return a
	}
}

// TestSubscriptionsAreBounded makes as many as a connection may have, and ends one.
func TestSubscriptionsAreBounded(t *testing.T) {
	c := openChain(t, kvConfig(t.TempDir()))
	s := httptest.NewServer(c.Handler())
	defer s.Close()
	_, say := dialRaw(t, s.URL)
	const sub = `{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"kind":"blocks"}}`
	for range MaxSubscriptions {
		if a := say(sub); a.Error != nil {
			t.Fatal(a.Error)
		}
	}
	if a := say(sub); a.Error == nil || a.Error.Data.Code != fault.BusyChain {
		t.Errorf("one more: %+v", a)
	}
	if a := say(`{"jsonrpc":"2.0","id":1,"method":"unsubscribe","params":{"subscription":3}}`); a.Error != nil {
		t.Errorf("unsubscribe: %+v", a.Error)
	}
	if a := say(`{"jsonrpc":"2.0","id":1,"method":"unsubscribe","params":{"subscription":3}}`); a.Error == nil || a.Error.Data.Code != fault.CallerNotFound {
		t.Errorf("unsubscribe again: %+v", a)
	}
	if a := say(sub); a.Error != nil {
		t.Errorf("there is room again: %+v", a.Error)
	}
	for _, bad := range []string{`{"kind":"x"}`, `{"kind":"blocks","filter":[{"pallet":"x"}]}`, `{"kind":1}`} {
		if a := say(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":` + bad + `}`); a.Error == nil || a.Error.Code != codeParams {
			t.Errorf("%s: %+v", bad, a)
		}
	}
}

// TestSlowSubscriberIsDropped does not read what it asked for. The chain goes on, and a second try behind the last block that came gets
// the rest.
func TestSlowSubscriberIsDropped(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	cfg.SendTimeout = 200 * time.Millisecond
	c := openChain(t, cfg)
	s := httptest.NewServer(c.Handler())
	defer s.Close()
	conn, say := dialRaw(t, s.URL)
	if a := say(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"kind":"blocks"}}`); a.Error != nil {
		t.Fatal(a.Error)
	}
	from := c.tip.Load().block.Cursor
	var txs []kvTx
	for n := range uint64(40) {
		tx := kvTx{sender: 1, nonce: n, op: opSet, key: strings.Repeat("long", 10_000), value: make([]byte, 8)}
		txs = append(txs, tx)
		submit(t, c, tx)
		if n%2 == 1 {
			settled(t, c, c.tip.Load().block.Cursor, kvSeal(t, c))
		}
	}
	settled(t, c, from, txs...)
	for c.tip.Load().Height < 400 {
		if err := c.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	last, n := from, 0
	for {
		_, b, err := conn.Read(t.Context())
		if err != nil {
			break
		}
		var m struct {
			Params BlockNote `json:"params"`
		}
		if err := json.Unmarshal(b, &m); err == nil && m.Params.Block.Height > 0 {
			last, n = m.Params.Block.Cursor, n+1
		}
		if n == 400 {
			break // the buffers took it all: nothing was slow
		}
	}
	d, err := Dial(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	next := last.Height + 1
	if next > 400 {
		return
	}
	if err := d.Follow(t.Context(), last, func(b chain.Block) error {
		if b.Height != next {
			return fmt.Errorf("block %d, want %d", b.Height, next)
		}
		if next++; b.Height == 400 {
			return errEnough
		}
		return nil
	}); !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

func kvSeal(t *testing.T, c *Chain) kvTx {
	t.Helper()
	tx := kvTx{op: opSet, key: fmt.Sprint("seal", c.tip.Load().Height)}
	go func() { _ = c.Submit(context.Background(), tx.bytes()) }()
	return tx
}

// TestWhoFallsBehindIsToldSo lets the chain run ahead of one whose turn never comes.
func TestWhoFallsBehindIsToldSo(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	cfg.MaxLag = 3
	c := openChain(t, cfg)
	client, server := net.Pipe() // without any buffer
	l := &oneConn{conns: make(chan net.Conn, 1)}
	l.conns <- server
	s := &http.Server{Handler: c.Handler()}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	conn, _, err := websocket.Dial(t.Context(), "http://localhost/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"kind":"blocks"}}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := c.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for got := uint64(0); ; {
		_, b, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Method string `json:"method"`
			Params struct {
				Block  chain.Block  `json:"block"`
				Cursor chain.Cursor `json:"cursor"`
				Error  *errorObject `json:"error"`
			} `json:"params"`
		}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		if m.Method == noteBlock {
			got = m.Params.Block.Height
			continue
		}
		if m.Method != noteEnd || m.Params.Error.Data.Code != fault.BusyChain || m.Params.Cursor.Height != got {
			t.Errorf("after block %d: %s", got, b)
		}
		return
	}
}

// oneConn is a listener of one connection.
type oneConn struct{ conns chan net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *oneConn) Close() error   { close(l.conns); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// TestExport exports twice the same, through the API as well, and proves it; a changed byte is found.
func TestExport(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	c := openChain(t, cfg)
	tx := kvTx{sender: 1, op: opMany, key: "many", value: []byte{100, 0}}
	submit(t, c, tx)
	settled(t, c, chain.Cursor{}, tx)
	var one, two bytes.Buffer
	s := httptest.NewServer(c.Handler())
	defer s.Close()
	d, err := Dial(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Export(&one), d.Export(t.Context(), &two)); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Fatalf("%d and %d bytes, %v", one.Len(), two.Len(), err)
	}
	x, err := VerifyExport(bytes.NewReader(one.Bytes()), hashKV)
	if err != nil || x.Header != c.tip.Load().Header || x.Keys < 100 || string(x.Document) != string(cfg.Genesis) {
		t.Fatalf("%+v, %v", x, err)
	}
	for at := 0; at < one.Len(); at += 997 {
		if _, err := VerifyExport(bytes.NewReader(flipped(one.Bytes(), at)), hashKV); !errors.Is(err, fault.HostChainCorrupt) {
			t.Fatalf("byte %d: %v", at, err)
		}
		if _, err := VerifyExport(io.LimitReader(bytes.NewReader(one.Bytes()), int64(at)), hashKV); !errors.Is(err, fault.HostChainCorrupt) {
			t.Fatalf("cut at %d: %v", at, err)
		}
	}
}

// TestCloseDoesNotWaitForWhoStopsReading closes a chain while somebody has asked for the export and does not take it.
func TestCloseDoesNotWaitForWhoStopsReading(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	c := openNow(t, cfg)
	tx := kvTx{sender: 1, op: opMany, key: "many", value: []byte{0xe8, 3}}
	submit(t, c, tx)
	settled(t, c, chain.Cursor{}, tx)
	client, server := net.Pipe() // without any buffer
	l := &oneConn{conns: make(chan net.Conn, 1)}
	l.conns <- server
	s := &http.Server{Handler: c.Handler()}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	if _, err := io.WriteString(client, "GET /export HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > requestTimeout/2 {
		t.Errorf("it took %v", took)
	}
	_ = client.Close()
}
