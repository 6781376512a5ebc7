package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/host/control/api"
)

// said sends bytes as they are, as the holder of a token or as nobody, and returns the statuses of all answers and their text. The caller
// has nothing more to say then, and waits until the server ends the connection.
func said(t *testing.T, h Host, text string) (statuses, all string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, road := shopkeeper(t, h, Options{})
		defer s.Close()
		c := greet(road.from("192.0.2.7:999"))
		defer c.Close()
		go func() { _, _ = io.WriteString(c, text) }()
		b, _ := io.ReadAll(c)
		all = string(b)
		<-time.After(3 * headerTimeout) // for the server to close its end
	})
	for _, m := range regexp.MustCompile(`(?m)^HTTP/1\.1 (\d+) `).FindAllStringSubmatch(all, -1) {
		statuses = strings.TrimSpace(statuses + " " + m[1])
	}
	return statuses, all
}

// A1: what is no good request as bytes. There are no more answers than requests, none of them tells what is of others, and what is
// hidden in a body is never carried out: the host of this test panics when it is changed.
func TestRequestsThatAreNoneOnTheWire(t *testing.T) {
	const (
		who    = "Host: node.example\r\nAuthorization: Bearer ours\r\n"
		hidden = "POST /v1/artifacts/prune HTTP/1.1\r\nHost: node.example\r\nAuthorization: Bearer ours\r\n\r\n"
		me     = "GET /v1/me HTTP/1.1\r\n" + who
		plans  = "POST /v1/plans HTTP/1.1\r\n" + who
	)
	for name, tt := range map[string]struct {
		text, want string // statuses
	}{
		"a good request":   {me + "Connection: close\r\n\r\n", "200"},
		"two good ones":    {me + "\r\n" + me + "Connection: close\r\n\r\n", "200 200"},
		"no token":         {"GET /v1/me HTTP/1.1\r\nHost: node.example\r\n\r\n" + hidden, "403"},
		"an expired token": {"GET /v1/me HTTP/1.1\r\nHost: node.example\r\nAuthorization: Bearer old\r\n\r\n" + hidden, "403"},
		"a wrong token":    {"GET /v1/me HTTP/1.1\r\nHost: node.example\r\nAuthorization: Bearer our\r\n\r\n" + hidden, "403"},
		"two tokens":       {"GET /v1/me HTTP/1.1\r\nHost: node.example\r\nAuthorization: Bearer ours\r\nAuthorization: Bearer theirs\r\n\r\n", "400"},

		"CL and TE":                   {plans + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", len(hidden)+5) + hidden, "400"},
		"TE and CL":                   {plans + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden), "400"},
		"two lengths":                 {plans + fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n", len(hidden)) + hidden, "400"},
		"two lengths in one line":     {plans + fmt.Sprintf("Content-Length: 0, %d\r\n\r\n", len(hidden)) + hidden, "400"},
		"a length with a sign":        {plans + fmt.Sprintf("Content-Length: +%d\r\n\r\n", len(hidden)) + hidden, "400"},
		"a negative length":           {plans + "Content-Length: -1\r\n\r\n" + hidden, "400"},
		"a length in hex":             {plans + "Content-Length: 0x10\r\n\r\n" + hidden, "400"},
		"a length that is folded":     {plans + "X: y\r\n Content-Length: 0\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden)) + hidden, "400"},
		"a fold before a header":      {"GET /v1/me HTTP/1.1\r\n Host: node.example\r\n" + who + "\r\n" + hidden, "400"},
		"a chunked that is not":       {plans + "Transfer-Encoding: xchunked\r\n\r\n" + hidden, "501"},
		"chunked twice":               {plans + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, "501"},
		"chunked and identity":        {plans + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden, "501"},
		"a space before a colon":      {plans + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden, "400"},
		"a chunk with a bare LF":      {plans + "Transfer-Encoding: chunked\r\n\r\n0\n\n" + hidden, "400"},
		"a chunk of a huge size":      {plans + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + hidden, "400"},
		"a negative chunk":            {plans + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + hidden, "400"},
		"what follows a chunked body": {plans + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + hidden, "400"},
		"CL and TE before a good one": {me + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", len(hidden)+5) + hidden, "200"},
		"bare LF alone":               {strings.ReplaceAll(me+"Connection: close\r\n\r\n", "\r\n", "\n"), "200"}, // RFC 9112, 2.2: may be read as the end of a line; all agree on it
		"a bare CR in a header":       {me + "X: a\rConnection: close\r\n\r\n" + hidden, "400"},
		"a NUL in a header":           {me + "X: a\x00b\r\n\r\n" + hidden, "400"},
		"no host":                     {"GET /v1/me HTTP/1.1\r\nAuthorization: Bearer ours\r\n\r\n" + hidden, "400"},
		"two hosts":                   {"GET /v1/me HTTP/1.1\r\nHost: evil.example\r\n" + who + "\r\n" + hidden, "400"},

		"the preface of HTTP 2":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "403"},
		"the preface with a token":     {"PRI * HTTP/2.0\r\n" + who + "\r\nSM\r\n\r\n", "400"},
		"an upgrade to h2c":            {me + "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", "200"},
		"an upgrade to a websocket":    {me + "Connection: Upgrade, close\r\nUpgrade: websocket\r\nOrigin: https://evil.example\r\n\r\n", "403"},
		"HTTP/0.9":                     {"GET /v1/me\r\n\r\n", "400"},
		"HTTP/3.0":                     {"GET /v1/me HTTP/3.0\r\n" + who + "\r\n", "505"},
		"the target of a proxy":        {"GET http://evil.example/v1/me HTTP/1.1\r\n" + who + "\r\n" + hidden, "403"},
		"another scheme":               {"GET file:///etc/passwd HTTP/1.1\r\n" + who + "\r\n" + hidden, "404"},
		"metadata":                     {"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\n" + who + "\r\n" + hidden, "403"},
		"an absolute target with user": {"GET http://ours@node.example/v1/me HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer wrong\r\n\r\n" + hidden, "403"},
		"a tunnel":                     {"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + who + "\r\n", "403"},
		"a tunnel to the name":         {"CONNECT node.example:22 HTTP/1.1\r\n" + who + "\r\n", "400"},
		"a star":                       {"OPTIONS * HTTP/1.1\r\n" + who + "Connection: close\r\n\r\n", "400"},
		"a fragment":                   {"GET /v1/jobs/j2#/../../me HTTP/1.1\r\n" + who + "Connection: close\r\n\r\n", "400"},
		"dots that are encoded":        {"GET /v1/actor/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" + who + "Connection: close\r\n\r\n", "400"},
		"a slash that is encoded":      {"GET /v1/jobs/j1%2f..%2fj2 HTTP/1.1\r\n" + who + "Connection: close\r\n\r\n", "400"},
		"a NUL that is encoded":        {"GET /v1/jobs/j2%00 HTTP/1.1\r\n" + who + "Connection: close\r\n\r\n", "400"},
		"a bad escape":                 {"GET /v1/jobs/%zz HTTP/1.1\r\n" + who + "\r\n" + hidden, "400"},

		"a header of 100 KiB":     {me + "X: " + strings.Repeat("x", 100<<10) + "\r\n\r\n" + hidden, "431"},
		"twenty thousand headers": {me + strings.Repeat("a:\r\n", 20_000) + "\r\n" + hidden, "431"},
		"a target of 100 KiB":     {"GET /" + strings.Repeat("x", 100<<10) + " HTTP/1.1\r\n" + who + "\r\n" + hidden, "431"},
		"a trailer of 100 KiB":    {plans + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n" + hidden, "400"},
		"extensions of a chunk":   {plans + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("x", 4000)+"\r\n{\r\n", 10) + "0\r\n\r\n" + hidden, "400"},
	} {
		t.Run(name, func(t *testing.T) {
			got, all := said(t, newWorld(), tt.text)
			if got != tt.want {
				t.Errorf("answers %q, want %q\n%.600s", got, tt.want, all)
			}
			if strings.Contains(all, "secret") || strings.Contains(all, theirs) || len(all) > 64<<10 {
				t.Errorf("it tells %.600s", all)
			}
		})
	}
}

// A1: who sends slowly, or not at all, has its time and no more.
func TestSlowSendersAreCutOff(t *testing.T) {
	const form = "POST /v1/headsup HTTP/1.1\r\nHost: node.example\r\nAuthorization: Bearer ours\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 9000\r\n\r\n" +
		"--B\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n"
	o := Options{}.withDefaults()
	for name, tt := range map[string]struct {
		first, piece string // what is sent at once, and then each second
		most         time.Duration
	}{
		"nothing at all":          {"", "", headerTimeout},
		"a line without end":      {"GET /v1/me HTTP/1.1\r\n", "", headerTimeout},
		"a header each second":    {"GET /v1/me HTTP/1.1\r\nHost: node.example\r\n", "X: y\r\n", headerTimeout},
		"a byte of it each":       {"GET /v1/me HTTP/1.1\r\nX: ", "y", headerTimeout},
		"a body byte by byte":     {"POST /v1/artifacts/prune HTTP/1.1\r\nHost: node.example\r\nAuthorization: Bearer ours\r\nContent-Length: 9000\r\n\r\n", "x", o.PlainTimeout},
		"a chunk each second":     {"POST /v1/artifacts/prune HTTP/1.1\r\nHost: node.example\r\nAuthorization: Bearer ours\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", o.PlainTimeout},
		"a form byte by byte":     {form, " ", o.FormTimeout},
		"a blob byte by byte":     {"POST /v1/blobs HTTP/1.1\r\nHost: node.example\r\nAuthorization: Bearer ours\r\nContent-Length: 9000\r\n\r\n", "x", o.FormTimeout},
		"a second request":        {"GET /v1/me HTTP/1.1\r\nHost: node.example\r\nAuthorization: Bearer ours\r\n\r\nGET ", "/", headerTimeout + 30*time.Second},
		"nothing after the first": {"GET /v1/me HTTP/1.1\r\nHost: node.example\r\nAuthorization: Bearer ours\r\n\r\n", "", 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, road := shopkeeper(t, &keeper{world: newWorld()}, Options{})
				defer s.Close()
				c := greet(road.from("192.0.2.7:999"))
				defer c.Close()
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					_, err := io.WriteString(c, tt.first)
					for err == nil && tt.piece != "" {
						select {
						case <-time.After(time.Second):
							_, err = io.WriteString(c, tt.piece)
						case <-ctx.Done():
							return
						}
					}
				}()
				_, _ = io.Copy(io.Discard, c)
				cancel()
				defer func() { <-time.After(3 * headerTimeout) }() // for the server to close its end
				if took := time.Since(begin); took > tt.most+3*time.Second {
					t.Errorf("it takes %v, want %v", took, tt.most)
				}
			})
		})
	}
}

// A1: whatever the size of a body and of what is in it, each route answers, and takes no more memory than its limits say.
func TestBodiesWithoutEnd(t *testing.T) {
	k := &keeper{world: newWorld()}
	k.allowed = true
	s := New(k, Options{MaxCodeBytes: small, MaxInputBytes: small, MaxBlobBytes: small})
	part := func(name string) string {
		return "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n"
	}
	deep := strings.Repeat("[", 1<<19) + strings.Repeat("]", 1<<19)
	const multi, gigabyte = "multipart/form-data; boundary=B", "a gigabyte of zeros"
	for name, tt := range map[string]struct {
		kind string
		body func() io.Reader
	}{
		gigabyte:              {"", func() io.Reader { return zeros{} }},
		"JSON without end":    {"application/json", func() io.Reader { return io.MultiReader(strings.NewReader(`{"reason":"`), zeros{}) }},
		"JSON that is deep":   {"application/json", func() io.Reader { return strings.NewReader(deep) }},
		"deep objects":        {"application/json", func() io.Reader { return strings.NewReader(strings.Repeat(`{"a":`, 200_000)) }},
		"a form without end":  {multi, func() io.Reader { return io.MultiReader(strings.NewReader(part("request")), zeros{}) }},
		"a form that is deep": {multi, func() io.Reader { return strings.NewReader(part("request") + deep + "\r\n--B--\r\n") }},
		"a code without end": {multi, func() io.Reader {
			return io.MultiReader(strings.NewReader(part("request")+"{}\r\n"+part("code")), zeros{})
		}},
		"headers of a part": {multi, func() io.Reader { return io.MultiReader(strings.NewReader("--B\r\nContent-Disposition: "), zeros{}) }},
		"parts without end": {multi, func() io.Reader { return &again{text: part("x") + "\r\n"} }},
		"a long boundary":   {"multipart/form-data; boundary=" + strings.Repeat("b", 10_000), func() io.Reader { return zeros{} }},
	} {
		t.Run(name, func(t *testing.T) {
			size := int64(64 * small)
			if name == gigabyte {
				size = 1 << 30
			}
			for i := range api.Table {
				spec := &api.Table[i]
				if spec.Stream() || spec.Route == api.RouteBackup {
					continue
				}
				method, path := fillRoute(spec.Route, "j1", ourApp, ourKey, ourCode)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				w := as(s, ours, []api.Right{api.View, api.Payload, api.Operate}, method, path, io.LimitReader(tt.body(), size), "Content-Type", tt.kind, api.HeaderDryRun, "true")
				runtime.ReadMemStats(&after)
				if w.Code/100 == 5 || !bytes.HasPrefix(w.Body.Bytes(), []byte("{")) && spec.Route != api.RouteMetrics {
					t.Errorf("%s: status %d, %.200s", spec.Route, w.Code, w.Body)
				}
				if took := after.TotalAlloc - before.TotalAlloc; took > 16*small {
					t.Errorf("%s: %d MiB were allocated", spec.Route, took>>20)
				}
			}
		})
	}
}

// again reads a text again and again.
type again struct {
	text string
	at   int
}

func (a *again) Read(p []byte) (int, error) {
	n := copy(p, a.text[a.at:])
	a.at = (a.at + n) % len(a.text)
	return n, nil
}

// A stream tells a confined caller nothing of others either.
func TestStreamsTellNothingOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(newWorld(), Options{})
		defer s.Close()
		rights := []api.Right{api.View, api.Payload, api.Operate}
		as(s, theirs, rights, "POST", "/v1/jobs/j2/cancel", nil, api.HeaderDryRun, "true", api.HeaderReason, "secret") // for the audit log
		look := func(who string, rights []api.Right, target string) string {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			return asCtx(ctx, s, who, rights, "GET", target, nil).Body.String()
		}
		told := 0
		for i := range api.Table {
			spec := &api.Table[i]
			if !spec.Stream() || !strings.HasPrefix(spec.Route, http.MethodGet) {
				continue
			}
			_, path := fillRoute(spec.Route, "j1", ourApp, ourKey, ourCode)
			paths := []string{path}
			if strings.Contains(spec.Route, "{view}") {
				paths = nil
				for _, view := range api.Views {
					paths = append(paths, strings.TrimSuffix(path, "jobs")+view)
				}
			}
			for _, path := range paths {
				for _, params := range []string{"", "?q=secret", "?tenant=" + theirs, "?limit=10000"} {
					text := strings.ReplaceAll(look(ours, rights, path+params), "q=secret", "")
					if strings.Contains(text, "secret") || strings.Contains(text, secret) || strings.Contains(text, theirApp) || strings.Contains(text, theirs) {
						t.Errorf("%s%s tells %s", path, params, text)
					}
				}
				if text := look("uid:0", api.Rights, path); strings.Contains(text, "secret") || strings.Contains(text, theirs) {
					told++
				}
			}
		}
		if told < 8 {
			t.Errorf("only %d streams tell an admin of it", told)
		}
	})
}
