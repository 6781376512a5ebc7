package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serverCertificate writes a certificate for 127.0.0.1 that signs itself, with its key.
func serverCertificate(t *testing.T, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "host"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A context leads to a host far away by a token, which may do what it may, until the host reloads without it.
func TestContextOverTLS(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	troupe := func(want int, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), self, args...)
		cmd.Args[0] = "troupe"
		cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+in("elsewhere"))
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("troupe %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, want, stdout.String(), stderr.String())
		}
		return stdout.String()
	}
	serverCertificate(t, in("host.pem"))
	token := troupe(0, "token", "new", "ci", "--tokens", in("tokens.json"), "--rights", "view")
	for name, text := range map[string]string{"ci.token": token, "bad.token": "troupe_" + strings.Repeat("x", 43) + "\n"} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := startDaemon(t, "", nil, "--listen-tls", "127.0.0.1:0", "--tls-cert", in("host.pem"), "--tokens", in("tokens.json"))
	d.logs("operators come in here by TLS")
	d.hears("^READY=1")
	d.mu.Lock()
	m := regexp.MustCompile(`"address":"([^"]+)".*operators come in`).FindStringSubmatch(d.logText.String())
	d.mu.Unlock()
	if m == nil {
		t.Fatal("no address in the log")
	}
	add := func(name string, more ...string) {
		troupe(0, append([]string{"context", "add", name, "--connect", m[1]}, more...)...)
	}
	add("far", "--connect-ca", in("host.pem"), "--connect-token", in("ci.token"))
	add("liar", "--connect-ca", in("host.pem"), "--connect-token", in("bad.token"))
	add("stranger", "--connect-token", in("ci.token"))
	troupe(0, "context", "use", "far")
	if out := troupe(0, "status"); !strings.Contains(out, d.dir) {
		t.Errorf("another host:\n%s", out)
	}
	troupe(5, "--context", "liar", "status")
	troupe(5, "--context", "stranger", "status") // who cannot prove its name is told no token
	troupe(5, "node", "drain", "--reason", "x")

	troupe(0, "token", "new", "admin", "--tokens", in("tokens.json"), "--rights", "admin")
	troupe(0, "token", "rm", "ci", "--tokens", in("tokens.json"))
	troupe(0, "status") // until it is read again
	d.signal(syscall.SIGHUP)
	d.hears("^RELOADING=1\n")
	d.hears("^READY=1")
	troupe(5, "status")
	d.signal(syscall.SIGTERM)
	if code := d.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
