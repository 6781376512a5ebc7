package host_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/internal/ingress"
	"github.com/troupehost/troupe/host/internal/origin"
)

// operatorRoutes reads the routes of the control API from their source, so that none can be forgotten here.
func operatorRoutes(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("control", "api", "routes.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if !strings.HasPrefix(v.Names[0].Name, "Route") {
				continue
			}
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, text)
		}
	}
	return out
}

// TestW46UsersHaveNoOperatorMethods: the users' HTTP answers each route of the control API as one that does not exist.
func TestW46UsersHaveNoOperatorMethods(t *testing.T) {
	h := appsHost(t, host.Config{})
	base, c := served(t, h), client(t)
	address := deploy(t, h, appOf(t, h, "c-handler", granted(nil))).Address
	routes := operatorRoutes(t)
	if len(routes) < 20 {
		t.Fatalf("only %d routes found", len(routes))
	}
	fill := strings.NewReplacer("{key}", strings.Repeat("0", 64), "{id}", "1", "{code_hash}", strings.Repeat("0", 64), "{address}", address, "{hash}", strings.Repeat("0", 64))
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		for _, path := range []string{fill.Replace(path), "//" + fill.Replace(path)[1:], "/app/../" + fill.Replace(path)[1:]} {
			r, err := http.NewRequestWithContext(t.Context(), method, base, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.URL.Opaque = path // as it is
			got, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = got.Body.Close()
			if got.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: status %d", method, path, got.StatusCode)
			}
		}
	}
	if got, body := fetched(t, c, "GET", base+"/info", nil, nil); got.StatusCode != 200 || !strings.Contains(body, "worker_key") {
		t.Errorf("who the worker is: %d %q", got.StatusCode, body)
	}
	if apps, _, err := h.Apps(t.Context(), host.AppFilter{}); err != nil || len(apps) != 1 {
		t.Errorf("%d apps, %v", len(apps), err)
	}
}

func workerKey(t testing.TB, h *host.Host) (key [32]byte) {
	t.Helper()
	s, err := h.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hex.Decode(key[:], []byte(s.WorkerKey)); err != nil {
		t.Fatal(err)
	}
	return key
}

// TestW47RepliesAreSignedForTheirRequest: a reply that is repeated for another request, or changed, is not what the worker signed.
func TestW47RepliesAreSignedForTheirRequest(t *testing.T) {
	h := appsHost(t, host.Config{})
	base, c, key := served(t, h), client(t), workerKey(t, h)
	address := deploy(t, h, appOf(t, h, "c-handler", granted(nil))).Address
	target := "/query/" + address + "?path=a"
	got, body := fetched(t, c, "POST", base+target, nil, []byte("pay 5"))
	if body != "pay 5" {
		t.Fatalf("%d %q", got.StatusCode, body)
	}
	other, _ := fetched(t, c, "POST", base+target, nil, []byte("pay 9"))
	app, page := fetched(t, c, "GET", base+"/app/"+address+"/", nil, nil)
	verify := func(method, target, sent string, status int, h http.Header, reply string) bool {
		err := ingress.VerifyReply(meter.Verify, key, method, target, []byte(sent), status, h, []byte(reply))
		if err != nil && fault.CodeOf(err) != fault.CallerSignature {
			t.Error(err)
		}
		return err == nil
	}
	for _, row := range []struct {
		what string
		want bool
		got  bool
	}{
		{"as it was", true, verify("POST", target, "pay 5", 200, got.Header, body)},
		{"of an app's HTTP", true, verify("GET", "/app/"+address+"/", "", 200, app.Header, page)},
		{"another request", false, verify("POST", target, "pay 9", 200, got.Header, body)},
		{"another path", false, verify("POST", "/query/"+address+"?path=b", "pay 5", 200, got.Header, body)},
		{"another method", false, verify("PUT", target, "pay 5", 200, got.Header, body)},
		{"another status", false, verify("POST", target, "pay 5", 201, got.Header, body)},
		{"another reply", false, verify("POST", target, "pay 5", 200, got.Header, "pay 6")},
		{"the signature of another reply", false, verify("POST", target, "pay 5", 200, other.Header, body)},
		{"no signature", false, verify("POST", target, "pay 5", 200, http.Header{}, body)},
	} {
		if row.got != row.want {
			t.Errorf("%s: verified %v", row.what, row.got)
		}
	}
	if plain, _ := fetched(t, c, "POST", base+target, http.Header{ingress.HeaderSign: {"no"}}, []byte("pay 5")); plain.Header.Get(ingress.HeaderSignature) != "" {
		t.Error("signed, though the client asked for none")
	}
}

// TestW48SignedQueries: the nine types name their account to the app, through Query and through HTTP; what has expired, is out of
// scope, is for another worker, or was seen before is refused, and each has its code.
func TestW48SignedQueries(t *testing.T) {
	h := appsHost(t, host.Config{})
	base, c, key := served(t, h), client(t), workerKey(t, h)
	text := deploy(t, h, appOf(t, h, "go-app", nil)).Address // answers the path "origin" with the account
	addr, err := manifest.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte("whatever")
	post := func(path string, signature []byte) (int, string) {
		got, body := fetched(t, c, "POST", base+"/query/"+text+"?path="+url.QueryEscape(path), http.Header{ingress.HeaderQuerySignature: {hex.EncodeToString(signature)}}, payload)
		return got.StatusCode, body
	}
	sign := func(s *origin.Signer, path string, change func(*origin.Terms), chain []origin.Link) []byte {
		t.Helper()
		terms := origin.Terms{Worker: key}
		if change != nil {
			change(&terms)
		}
		b, err := origin.Sign(s, origin.Query{Address: addr, Path: path, Payload: payload}, terms, chain)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	signer := func(kind origin.Type, seed byte) *origin.Signer {
		s, err := origin.NewSigner(kind, bytes.Repeat([]byte{seed}, 32))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for kind := origin.Ed25519; kind <= origin.EvmEcdsaWrapBytes; kind++ {
		s := signer(kind, 7)
		account := s.Account()
		want := hex.EncodeToString(account[:])
		r, err := h.Query(t.Context(), host.AppQuery{Address: text, Path: "origin", Payload: payload, Signature: sign(s, "origin", nil, nil)})
		if err != nil || string(r.Output) != want {
			t.Errorf("%v: the app is told %q, %v; want %s", kind, r.Output, err, want)
		}
		if status, body := post("origin", sign(s, "origin", nil, nil)); status != 200 || body != want {
			t.Errorf("%v over HTTP: %d %q, want %s", kind, status, body, want)
		}
	}
	s, delegate := signer(origin.Sr25519, 7), signer(origin.Ed25519, 8)
	account := s.Account()
	chain, err := s.Certify(nil, origin.Certificate{Delegate: delegate.Account(), Expiry: time.Now().Add(time.Minute), Apps: []manifest.Address{addr}, Paths: []string{"origin"}})
	if err != nil {
		t.Fatal(err)
	}
	by := func(t *origin.Terms) { t.Account = account }
	if r, err := h.Query(t.Context(), host.AppQuery{Address: text, Path: "origin", Payload: payload, Signature: sign(delegate, "origin", by, chain)}); err != nil || string(r.Output) != hex.EncodeToString(account[:]) {
		t.Errorf("by a certificate: %q, %v", r.Output, err)
	}
	expired := func(t *origin.Terms) {
		t.Signed, t.Expiry = time.Now().Add(-2*time.Minute), time.Now().Add(-time.Minute)
	}
	used := sign(s, "origin", nil, nil)
	if _, err := h.Query(t.Context(), host.AppQuery{Address: text, Path: "origin", Payload: payload, Signature: used}); err != nil {
		t.Fatal(err)
	}
	// A signature for an app that is not there is not looked at, nor is it remembered.
	nobody := manifest.Address{1}
	_, err = h.Query(t.Context(), host.AppQuery{Address: nobody.String(), Payload: payload, Signature: []byte("none")})
	isFault(t, err, fault.CallerNotFound)
	if got, body := fetched(t, c, "POST", base+"/query/"+nobody.String(), http.Header{ingress.HeaderQuerySignature: {"00"}}, payload); got.StatusCode != 404 {
		t.Errorf("of no app: %d %s", got.StatusCode, body)
	}
	changed := sign(s, "origin", nil, nil)
	changed[len(changed)-1] ^= 1
	for _, row := range []struct {
		what, path string
		signature  func() []byte
		want       fault.Code
	}{
		{"expired", "origin", func() []byte { return sign(s, "origin", expired, nil) }, fault.CallerSignatureExpired},
		{"out of scope", "count", func() []byte { return sign(delegate, "count", by, chain) }, fault.CallerSignatureScope},
		{"wrong worker", "origin", func() []byte { return sign(s, "origin", func(t *origin.Terms) { t.Worker[0] ^= 1 }, nil) }, fault.CallerSignatureWorker},
		{"replayed", "origin", func() []byte { return used }, fault.CallerSignatureReplay},
		{"of another query", "count", func() []byte { return sign(s, "origin", nil, nil) }, fault.CallerSignature},
		{"changed", "origin", func() []byte { return changed }, fault.CallerSignature},
		{"none", "origin", func() []byte { return []byte{1} }, fault.CallerSignature},
	} {
		r, err := h.Query(t.Context(), host.AppQuery{Address: text, Path: row.path, Payload: payload, Signature: row.signature()})
		if fault.CodeOf(err) != row.want {
			t.Errorf("%s: %q, %v, want %s", row.what, r.Output, err, row.want)
		}
		if status, body := post(row.path, row.signature()); status != http.StatusForbidden || !strings.Contains(body, `"`+string(row.want)+`"`) {
			t.Errorf("%s over HTTP: %d %q, want 403 and %s", row.what, status, body, row.want)
		}
	}
}

// tap keeps all that goes over the connections of a client.
type tap struct {
	net.Conn
	seen *bytes.Buffer
}

func (c tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.seen.Write(p[:n])
	return n, err
}

func (c tap) Write(p []byte) (int, error) {
	c.seen.Write(p)
	return c.Conn.Write(p)
}

// TestW49SealedQuery: neither query nor reply can be read on the wire; a query that was sealed to another key is refused.
func TestW49SealedQuery(t *testing.T) {
	h := appsHost(t, host.Config{})
	base, key := served(t, h), workerKey(t, h)
	text := deploy(t, h, appOf(t, h, "c-handler", nil)).Address // its reply is the payload
	addr, err := manifest.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("the password is opensesame")
	post := func(public [32]byte, sealed []byte) (int, []byte, []byte) {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var wire bytes.Buffer
		r, err := http.NewRequestWithContext(t.Context(), "POST", base+"/sealed", bytes.NewReader(sealed))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(ingress.HeaderQueryKey, hex.EncodeToString(public[:]))
		c := tap{conn, &wire}
		if err := r.Write(c); err != nil {
			t.Fatal(err)
		}
		got, err := http.ReadResponse(bufio.NewReader(c), r)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		b, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		return got.StatusCode, b, wire.Bytes()
	}
	q := origin.Query{Address: addr, Path: "the path is hidden", Payload: secret}
	public, sealed, open, err := origin.SealQuery(key, q, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	status, reply, wire := post(public, sealed)
	if status != 200 {
		t.Fatalf("%d %s", status, reply)
	}
	for _, hidden := range []string{string(secret), "opensesame", q.Path, string(addr[:]), text} {
		if bytes.Contains(wire, []byte(hidden)) {
			t.Errorf("%q can be read on the wire", hidden)
		}
	}
	if plain, err := open(reply); err != nil || !bytes.Equal(plain, secret) {
		t.Errorf("%q, %v", plain, err)
	}
	_, _, another, err := origin.SealQuery(key, q, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := another(reply); err == nil {
		t.Errorf("the key of another query opens the reply: %q", plain)
	}
	wrong := meter.KeyFromSeed([32]byte{9}).Public()
	public, sealed, _, err = origin.SealQuery(wrong, q, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, reply, _ := post(public, sealed); status != 400 || !bytes.Contains(reply, []byte(fault.CallerSealed)) {
		t.Errorf("sealed to another key: %d %s", status, reply)
	}
}

// certificates writes a certificate for each name, and returns a pool that trusts them.
func certificates(t *testing.T, dir string, names ...string) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	for n, name := range names {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(n + 1)), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		pkcs, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		pool.AppendCertsFromPEM(certificate)
		for end, b := range map[string][]byte{".pem": certificate, ".key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})} {
			if err := os.WriteFile(filepath.Join(dir, name+end), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return pool
}

// TestW36ServerNames: one port, two names, two apps; a name that nobody has is refused; a connection starts an app on demand.
func TestW36ServerNames(t *testing.T) {
	dir := t.TempDir()
	pool := certificates(t, dir, "one.test", "two.test", "none.test")
	h := appsHost(t, host.Config{Apps: host.AppConfig{Certificates: host.CertificateDir(dir)}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.ServeTLS(l) }()
	t.Cleanup(func() { _ = l.Close(); <-done })
	named := func(name string) func(*manifest.Manifest) {
		return func(m *manifest.Manifest) { m.Label, m.Terms.Grants.Names = name, []string{name} }
	}
	one := deploy(t, h, appOf(t, h, "go-app", named("one.test"))).Address
	two := deploy(t, h, appOf(t, h, "c-service", named("two.test"))).Address
	for _, address := range []string{one, two} {
		if a, err := h.App(t.Context(), address); err != nil || a.Running != 0 || a.Metrics.Starts != 0 {
			t.Fatalf("%s has started before anybody connected: %+v, %v", a.Label, a, err)
		}
	}
	dial := func(name string) (*tls.Conn, error) {
		d := tls.Dialer{Config: &tls.Config{ServerName: name, RootCAs: pool}}
		c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		return c.(*tls.Conn), nil
	}
	talk := func(name, said string) string { // sends, and reads until the app closes
		t.Helper()
		c, err := dial(name)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, said); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := talk("one.test", "to one"); !strings.HasPrefix(got, "this is one.test, you are 127.0.0.1:") || !strings.HasSuffix(got, "\nto one") {
		t.Errorf("one.test: %q", got)
	}
	if got := talk("two.test", "to two"); got != "to two" {
		t.Errorf("two.test: %q", got)
	}
	for _, address := range []string{one, two} {
		a, err := h.App(t.Context(), address)
		if err != nil || a.Running != 1 || a.Metrics.Starts != 1 {
			t.Errorf("%s: %d running, %d starts, %v", a.Label, a.Running, a.Metrics.Starts, err)
		}
	}
	for _, name := range []string{"none.test", "other.test"} { // one has a certificate, and no app
		if c, err := dial(name); err == nil {
			_ = c.Close()
			t.Errorf("%s is not refused", name)
		} else if !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: appOf(t, h, "c-service", func(m *manifest.Manifest) {
		named("one.test")(m)
		m.Label = "thief"
	}).Encode()}); fault.CodeOf(err) != fault.CallerConflict {
		t.Errorf("a name that another app has: %v", err)
	}
	if got := talk("one.test", "again"); !strings.HasSuffix(got, "\nagain") {
		t.Errorf("after somebody else asked for the name: %q", got)
	}
	if _, err := h.RemoveApp(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	if c, err := dial("two.test"); err == nil {
		_ = c.Close()
		t.Error("the name of an app that was removed is not refused")
	}
}
