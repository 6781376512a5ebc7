package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

func hash256(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// gateway serves files by the last part of their path, and counts.
type gateway struct {
	*httptest.Server
	files map[string][]byte
	asked atomic.Int64
}

func newGateway(t *testing.T, files map[string][]byte) *gateway {
	t.Helper()
	g := &gateway{files: files}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asked.Add(1)
		b, ok := g.files[strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/ipfs"), "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(g.Close)
	return g
}

func newFetcher(t *testing.T, cfg Config) *Fetcher {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Join(cfg.Dir, prefix+"*")); len(left) > 0 {
			t.Errorf("files are left: %v", left)
		}
	})
	return f
}

func readBlob(t *testing.T, f *Fetcher, hash, cid string) ([]byte, error) {
	t.Helper()
	c, err := f.Blob(t.Context(), hash, cid)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	return io.ReadAll(c)
}

func TestW80TenAtATime(t *testing.T) {
	files := map[string][]byte{}
	var hashes []string
	for n := range 40 {
		b := bytes.Repeat([]byte{byte(n)}, 10_000+n)
		files[manifest.CID(b)] = b
		hashes = append(hashes, hash256(b))
	}
	var now, most atomic.Int64
	full := make(chan struct{})
	var once sync.Once
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if n == 10 {
			once.Do(func() { close(full) })
		}
		<-full // ten are under way at once, or none ends
		_, _ = w.Write(files[strings.TrimPrefix(r.URL.Path, "/")])
	}))
	defer s.Close()
	f := newFetcher(t, Config{Sources: []string{s.URL}})
	var wait sync.WaitGroup
	for n, hash := range hashes {
		wait.Go(func() {
			want := bytes.Repeat([]byte{byte(n)}, 10_000+n)
			if b, err := readBlob(t, f, hash, manifest.CID(want)); err != nil || !bytes.Equal(b, want) {
				t.Errorf("blob %d: %v", n, err)
			}
		})
	}
	wait.Wait()
	if most.Load() != 10 {
		t.Errorf("%d downloads at a time, want 10", most.Load())
	}
}

func TestW80WrongBytesAreFetchedElsewhere(t *testing.T) {
	text := []byte("the file that is wanted")
	cid, hash := manifest.CID(text), hash256(text)
	liar := newGateway(t, map[string][]byte{cid: []byte("another file"), hash: []byte("another file")})
	honest := newGateway(t, map[string][]byte{cid: text})
	for _, test := range []struct {
		name string
		get  func(f *Fetcher) ([]byte, error)
	}{
		{"blob", func(f *Fetcher) ([]byte, error) { return readBlob(t, f, hash, cid) }},
		{"cid", func(f *Fetcher) ([]byte, error) { return f.CID(t.Context(), cid, 1000) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFetcher(t, Config{Sources: []string{liar.URL + "/ipfs", honest.URL + "/ipfs/"}})
			for range 2 {
				if b, err := test.get(f); err != nil || !bytes.Equal(b, text) {
					t.Fatalf("got %q, %v", b, err)
				}
			}
			seen := f.Sources()
			if seen[0].Wrong != 1 || seen[0].Marked.IsZero() || seen[1].Served != 2 {
				t.Errorf("the second time the one that lied is asked last: %+v", seen)
			}
		})
	}
	alone := newFetcher(t, Config{Sources: []string{liar.URL + "/ipfs"}})
	if _, err := readBlob(t, alone, hash, cid); fault.CodeOf(err) != fault.CallerBlobMismatch {
		t.Errorf("wrong bytes only: %v", err)
	}
}

func TestManifest(t *testing.T) {
	m := &manifest.Manifest{Version: 1, CodeHash: hash256([]byte("code")), Label: "an app"}
	text, err := m.JSON()
	if err != nil {
		t.Fatal(err)
	}
	other := &manifest.Manifest{Version: 1, CodeHash: hash256([]byte("code")), Label: "another app"}
	cid := manifest.CID(text)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileText), text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{
		"text by its CID":       newGateway(t, map[string][]byte{cid: text}).URL,
		"encoded":               newGateway(t, map[string][]byte{cid: m.Encode()}).URL,
		"by its address":        newGateway(t, map[string][]byte{m.Address().String(): text}).URL,
		"in a directory":        dir,
		"in a directory by URL": "file://" + dir,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFetcher(t, Config{Sources: []string{source}})
			b, err := f.Manifest(t.Context(), cid, m.Address())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m.Encode(), b); diff != "" {
				t.Error(diff)
			}
		})
	}
	f := newFetcher(t, Config{Sources: []string{dir, newGateway(t, map[string][]byte{cid: other.Encode()}).URL}})
	if _, err := f.Manifest(t.Context(), cid, m.Address()); err != nil {
		t.Error(err)
	}
	if _, err := f.Manifest(t.Context(), cid, other.Address()); err != nil {
		t.Error("it is there under a CID that is not its own, and the address decides:", err)
	}
	_, err = f.Manifest(t.Context(), "", manifest.Address{1})
	if fault.CodeOf(err) != fault.CallerNotFound || f.Sources()[0].Wrong != 0 {
		t.Errorf("a directory with another manifest does not have it: %v, %+v", err, f.Sources())
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	text := []byte("a blob")
	long := fmt.Sprintf("sha512:%x", sha512.Sum512(text))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(dir, dirBlobs), 0o700))
	must(os.WriteFile(filepath.Join(dir, dirBlobs, manifest.CID(text)), text, 0o600))
	must(os.WriteFile(filepath.Join(dir, strings.Replace(long, ":", "-", 1)), text, 0o600))
	outside := filepath.Join(t.TempDir(), "secret")
	must(os.WriteFile(outside, []byte("secret"), 0o600))
	must(os.Symlink(outside, filepath.Join(dir, manifest.CID([]byte("secret")))))
	f := newFetcher(t, Config{Sources: []string{dir}})
	for _, test := range []struct {
		hash, cid string
		ok        bool
	}{
		{hash256(text), manifest.CID(text), true},
		{long, "", true},
		{hash256(text), "", false}, // nothing has this name
		{hash256([]byte("secret")), manifest.CID([]byte("secret")), false},
		{hash256(text), "../" + manifest.CID(text), false},
	} {
		if b, err := readBlob(t, f, test.hash, test.cid); (err == nil) != test.ok {
			t.Errorf("%s %s: %q, %v", test.hash, test.cid, b, err)
		}
	}
}

// A directory that is built anew is another one under the same name.
func TestDirectoryReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	text := []byte("a blob")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := newFetcher(t, Config{Sources: []string{dir}})
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if _, err := readBlob(t, f, hash256(text), ""); fault.CodeOf(err) != fault.CallerNotFound {
		t.Errorf("without the directory: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, hash256(text)), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := readBlob(t, f, hash256(text), ""); err != nil || !bytes.Equal(b, text) {
		t.Errorf("%q, %v", b, err)
	}
}

func TestTooLarge(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 2001)
	s := newGateway(t, map[string][]byte{hash256(big): big})
	chunked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 21 {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 100))
			w.(http.Flusher).Flush()
		}
	}))
	defer chunked.Close()
	for _, source := range []string{s.URL, chunked.URL} {
		f := newFetcher(t, Config{Sources: []string{source}, MaxBytes: 2000})
		if _, err := readBlob(t, f, hash256(big), ""); fault.CodeOf(err) != fault.CallerBlobTooLarge {
			t.Errorf("got %v", err)
		}
	}
}

// rebinding is a resolver of one answer for each question: the next address in turn. It counts the questions.
func rebinding(asked *atomic.Int64, addresses ...string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			var size [2]byte // as on TCP, since this is no PacketConn
			for {
				if _, err := io.ReadFull(far, size[:]); err != nil {
					return
				}
				q := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(far, q); err != nil {
					return
				}
				end := 12 + bytes.IndexByte(q[12:], 0) + 5 // of the question
				answer := slices.Clone(q[:end])
				answer[2], answer[3] = 0x81, 0x80
				copy(answer[4:], []byte{0, 1, 0, 0, 0, 0, 0, 0})
				if binary.BigEndian.Uint16(q[end-4:]) == 1 { // A
					answer[7] = 1
					n := asked.Add(1) - 1
					ip := netip.MustParseAddr(addresses[int(n)%len(addresses)]).As4()
					answer = append(append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), ip[:]...)
				}
				if _, err := far.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
					return
				}
			}
		}()
		return near, nil
	}}
}

// redirected fetches by a gateway that redirects, and returns how often the other one was asked. {port} is its port.
func redirected(t *testing.T, to string, resolver *net.Resolver) (asked int64, err error) {
	t.Helper()
	text := []byte("text")
	inner := newGateway(t, map[string][]byte{hash256(text): text})
	u, err := url.Parse(inner.URL)
	if err != nil {
		t.Fatal(err)
	}
	to = strings.ReplaceAll(to, "{port}", u.Port())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/again/"+hash256(text) {
			_, _ = w.Write(text)
			return
		}
		http.Redirect(w, r, strings.ReplaceAll(to, "{self}", "http://"+r.Host)+r.URL.Path, http.StatusFound)
	}))
	defer s.Close()
	f := newFetcher(t, Config{Sources: []string{s.URL}, resolver: resolver})
	_, err = readBlob(t, f, hash256(text), "")
	return inner.asked.Load(), err
}

// A1: a gateway leads to itself and to the public network, not to this machine and its networks: not by an address of any form, not by
// a name, not by a name that means something else when it is asked again.
func TestRedirects(t *testing.T) {
	for to, ok := range map[string]bool{
		"{self}/again":           true,
		"{self}":                 false, // without end
		"ftp://127.0.0.1:{port}": false, "gopher://127.0.0.1:{port}": false, "file:///etc/passwd": false,
		"http://127.0.0.1:{port}": false, // another service of the machine that the operator named
		"http://localhost:{port}": false, "http://127.1:{port}": false, "http://2130706433:{port}": false, "http://0x7f.1:{port}": false,
		"http://0.0.0.0:{port}": false, "http://[::]:{port}": false, "http://[::1]:{port}": false,
		"http://[::ffff:127.0.0.1]:{port}": false, "http://[::127.0.0.1]:{port}": false, "http://[::ffff:0:127.0.0.1]:{port}": false,
		"http://[64:ff9b::7f00:1]:{port}": false, "http://[64:ff9b:1::7f00:1]:{port}": false, "http://[2002:7f00:1::]:{port}": false, "http://[2001:0:1::80ff:fffe]:{port}": false,
		"http://169.254.169.254": false, "http://[fd00:ec2::254]": false, "http://[fe80::a9fe:a9fe%25lo]": false, "http://100.100.100.200": false, "http://[::ffff:a9fe:a9fe]": false,
		"http://10.0.0.1": false, "http://172.16.0.1": false, "http://192.168.0.1": false, "http://100.64.0.1": false, "http://198.18.0.1": false,
		"http://192.88.99.1": false, "http://224.0.0.1": false, "http://255.255.255.255": false, "http://240.0.0.1": false,
	} {
		asked, err := redirected(t, to, rebinding(new(atomic.Int64), "127.0.0.1"))
		if (err == nil) != ok || asked != 0 {
			t.Errorf("%s: %v, asked %d times", to, err, asked)
		}
	}
}

// The address that is looked at is the one that is dialled: a name is asked for once, and not again between the two.
func TestANameThatChangesLeadsNowhere(t *testing.T) {
	var asked atomic.Int64
	inner, err := redirected(t, "http://changes.example:{port}", rebinding(&asked, "127.0.0.1", "203.0.113.1"))
	if err == nil || inner != 0 || asked.Load() != 1 {
		t.Errorf("%v, it was asked %d times, and the name %d times", err, inner, asked.Load())
	}
}

// A source that stands still is left for the next one.
func TestStalledSource(t *testing.T) {
	text := []byte("text")
	left := make(chan struct{})
	stalled := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("te"))
		w.(http.Flusher).Flush()
		<-left
	}))
	defer stalled.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-left }))
	defer silent.Close()
	defer close(left) // first, so that both can close
	honest := newGateway(t, map[string][]byte{hash256(text): text})
	f := newFetcher(t, Config{Sources: []string{stalled.URL, silent.URL, "http://127.0.0.1:1", honest.URL}, Timeout: 200 * time.Millisecond})
	if b, err := readBlob(t, f, hash256(text), ""); err != nil || string(b) != "text" {
		t.Errorf("got %q, %v", b, err)
	}
	for _, s := range f.Sources()[:3] {
		if s.Failed != 1 || s.Error == "" {
			t.Errorf("it is not told what went wrong: %+v", s)
		}
	}
}

func TestQueue(t *testing.T) {
	text := []byte("text")
	s := newGateway(t, map[string][]byte{hash256(text): text})
	f := newFetcher(t, Config{Sources: []string{s.URL}, Parallel: 1, Queue: 1})
	held, err := f.Blob(t.Context(), hash256(text), "") // keeps its place until it is closed
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := f.Blob(ctx, hash256(text), "")
		ended <- err
	}()
	for full := false; !full; {
		f.mu.Lock()
		full = f.waiting == 1
		f.mu.Unlock()
	}
	if _, err := f.Blob(t.Context(), hash256(text), ""); fault.CodeOf(err) != fault.BusyQueueFull {
		t.Errorf("beyond the queue: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, fault.Canceled) {
		t.Errorf("who leaves: %v", err)
	}
	if err := errors.Join(held.Close(), held.Close()); err != nil {
		t.Error(err)
	}
	if _, err := readBlob(t, f, hash256(text), ""); err != nil {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	f := newFetcher(t, Config{Sources: []string{t.TempDir()}})
	for _, hash := range []string{"", "sha256:", "md5:00", "sha256:zz", "sha256:00", "../../etc/passwd"} {
		if _, err := f.Blob(t.Context(), hash, ""); fault.CodeOf(err) != fault.CallerInvalid {
			t.Errorf("%q: %v", hash, err)
		}
	}
	sum := sha256.Sum256([]byte("raw"))
	raw := "b" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(append([]byte{1, 0x55, 0x12, 32}, sum[:]...)))
	s := newGateway(t, map[string][]byte{raw: []byte("raw")})
	if b, err := newFetcher(t, Config{Sources: []string{s.URL}}).CID(t.Context(), raw, 10); err != nil || string(b) != "raw" {
		t.Errorf("a raw CID of version 1: %q, %v", b, err)
	}
	if _, err := newFetcher(t, Config{}).CID(t.Context(), raw, 10); fault.CodeOf(err) != fault.CallerNotFound {
		t.Errorf("no source: %v", err)
	}
}

func TestConfig(t *testing.T) {
	for _, source := range []string{"", "ftp://x", "http://", "http://x?y", filepath.Join(t.TempDir(), "none"), "://"} {
		if _, err := New(Config{Sources: []string{source}, Dir: t.TempDir()}); fault.CodeOf(err) != fault.CallerConfig {
			t.Errorf("%q: %v", source, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, prefix+"1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newFetcher(t, Config{Dir: dir}) // clears what is left of an earlier life
}

func FuzzCID(f *testing.F) {
	f.Add("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG")
	f.Add("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
	f.Add("../..")
	f.Fuzz(func(t *testing.T, cid string) {
		verify, err := byCID(cid)
		if err == nil && verify([]byte("what nobody named")) == nil {
			t.Errorf("%q names anything", cid)
		}
		if err == nil && strings.ContainsAny(cid, "/.\\") {
			t.Errorf("%q passes", cid)
		}
	})
}

func FuzzManifest(f *testing.F) {
	m := &manifest.Manifest{Version: 1, CodeHash: hash256(nil), Label: "an app"}
	text, _ := m.JSON()
	f.Add(text)
	f.Add(m.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := parse(b, m.Address()); err == nil && !bytes.Equal(got, m.Encode()) {
			t.Errorf("other bytes have the address: %x", got)
		}
	})
}
