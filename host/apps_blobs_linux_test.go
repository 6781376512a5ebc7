package host_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// TestW21W22W24Blobs: a blob is what was promised or nothing, is not removed under an app, and counts for the quota.
func TestW21W22W24Blobs(t *testing.T) {
	t.Parallel()
	const most = 64 << 10
	h := appsHost(t, host.Config{JobBytes: 1 << 20, Apps: host.AppConfig{MaxBlobBytes: most, BlobBytes: 1 << 20}})
	put := func(name string, b []byte) (inspect.Blob, error) {
		return h.PutBlob(t.Context(), name, bytes.NewReader(b))
	}
	data := []byte("some bytes")
	sum256, sum512 := fmt.Sprintf("sha256:%x", sha256.Sum256(data)), fmt.Sprintf("sha512:%x", sha512.Sum512(data))
	for _, name := range []string{"", sum256, sum512} {
		if b, err := put(name, data); err != nil || b.Hash != sum256 || b.SHA512 != sum512 || b.Bytes != int64(len(data)) {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
	if _, err := put("sha256:"+strings.Repeat("ab", 32), data); fault.CodeOf(err) != fault.CallerBlobMismatch {
		t.Errorf("another hash: %v", err)
	}
	if _, err := put("", make([]byte, most+1)); fault.CodeOf(err) != fault.CallerBlobTooLarge {
		t.Errorf("too large: %v", err)
	}
	if _, err := put("", make([]byte, most)); err != nil {
		t.Errorf("as large as may be: %v", err)
	}
	list, used, quota, err := h.Blobs(t.Context())
	if err != nil || len(list) != 2 || used != most+int64(len(data)) || quota != 2<<20 { // with those of jobs
		t.Errorf("%d blobs of %d bytes of %d, %v", len(list), used, quota, err)
	}
	for n := range 32 {
		b := make([]byte, most)
		b[0] = byte(n + 1)
		if _, err = put("", b); err != nil {
			break
		}
	}
	if fault.CodeOf(err) != fault.CallerQuota {
		t.Errorf("beyond the quota: %v", err)
	}
	if r, size, err := h.GetBlob(t.Context(), sum512); err != nil || size != int64(len(data)) {
		t.Errorf("%d, %v", size, err)
	} else if got, _ := io.ReadAll(r); !bytes.Equal(got, data) {
		t.Errorf("%q", got)
	}
	list, _, _, _ = h.Blobs(t.Context())
	for _, b := range list {
		if b.Hash != sum256 {
			if err := h.RemoveBlob(t.Context(), b.Hash); err != nil {
				t.Error(err)
			}
		}
	}
	m := appOf(t, h, "c-handler", func(m *manifest.Manifest) { m.Blobs = []manifest.Pair{{Key: sum512}} })
	a := deploy(t, h, m)
	for _, name := range []string{m.CodeHash, sum256, sum512} {
		if err := h.RemoveBlob(t.Context(), name); fault.CodeOf(err) != fault.CallerBlobInUse {
			t.Errorf("%s is in use: %v", name, err)
		}
	}
	if got := ask(t, h, a.Address, "x", "there"); got != "there" {
		t.Errorf("%q", got)
	}
	if _, err := h.RemoveApp(t.Context(), a.Address); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{m.CodeHash, sum256} {
		if err := h.RemoveBlob(t.Context(), name); err != nil {
			t.Errorf("%s is not in use any more: %v", name, err)
		}
	}
	if _, used, _, _ = h.Blobs(t.Context()); used != 0 {
		t.Errorf("%d bytes are left", used)
	}
	if _, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: m.Encode()}); fault.CodeOf(err) != fault.CallerBlobMissing {
		t.Errorf("without its code: %v", err)
	}
}

// TestW25OneCompilation: ten apps of one code that are asked at once are compiled once, and a later start compiles nothing.
func TestW25OneCompilation(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	var wg sync.WaitGroup
	m := appOf(t, h, "c-service", nil)
	for n := range 10 {
		own := *m
		own.Label = fmt.Sprint("app ", n)
		wg.Go(func() {
			a, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: own.Encode()})
			if err != nil {
				t.Error(err)
				return
			}
			r, err := h.Query(t.Context(), host.AppQuery{Address: a.Address, Path: "x", Payload: []byte("hello")})
			if f := fault.CodeOf(err); err != nil && f != fault.BusySlots || err == nil && string(r.Output) != "hello" {
				t.Errorf("%q, %v", r.Output, err)
			}
			if _, err := h.StopApp(t.Context(), a.Address); err != nil {
				t.Error(err)
			}
			if got := ask(t, h, a.Address, "count", ""); got != "1" {
				t.Errorf("%q of a new instance", got)
			}
			if _, err := h.StopApp(t.Context(), a.Address); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Artifacts) != 1 || s.Artifacts[0].Generation != 1 {
		t.Errorf("artifacts %+v, want one of the first generation", s.Artifacts)
	}
}

// prepareQueue is the queue of preparations.
func prepareQueue(t testing.TB, h *host.Host) inspect.Queue {
	t.Helper()
	s, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range s.Queues {
		if q.Name == "prepare" {
			return q
		}
	}
	t.Fatal("there is no prepare queue")
	return inspect.Queue{}
}

// TestW26CompileQueue: as many codes wait as may, the next one is refused, and they are compiled in the order in which they came.
func TestW26CompileQueue(t *testing.T) {
	t.Parallel()
	const room = 128
	h := appsHost(t, host.Config{PrepareQueue: room, PrepareWorkers: 1, PrepareWorkersCritical: 1})
	manifests := make([]*manifest.Manifest, room+1)
	var wg sync.WaitGroup
	for n := range manifests {
		wg.Go(func() {
			b, err := h.PutBlob(t.Context(), "", bytes.NewReader(variant(guest(t, "c-handler"), uint64(n))))
			if err != nil {
				t.Error(err)
			}
			manifests[n] = &manifest.Manifest{Version: 2, CodeHash: b.Hash, OnDemand: true, MaxQueryBytes: 100, Label: fmt.Sprint(n), Terms: &manifest.Terms{}}
		})
	}
	large := appOf(t, h, "go-handler", nil)
	wg.Wait()
	deploy(t, h, large) // takes a while
	waitFor(t, "the large preparation", func() bool { return prepareQueue(t, h).Running == 1 })
	var order []string
	for _, m := range manifests[:room] {
		deploy(t, h, m)
		order = append(order, m.CodeHash)
	}
	var q inspect.Queue
	waitFor(t, "their places", func() bool {
		q = prepareQueue(t, h)
		return q.Parked["normal"] == room || q.Running == 0
	})
	if q.Running != 1 {
		t.Fatalf("the large preparation is over too soon: %+v", q)
	}
	a := deploy(t, h, manifests[room])
	_, err := h.Query(t.Context(), host.AppQuery{Address: a.Address, Path: "x"})
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != fault.BusyQueueFull || f.RetryAfter <= 0 {
		t.Errorf("the one too many: %v", err)
	}
	var done []inspect.Artifact
	waitFor(t, "eight preparations", func() bool {
		s, err := h.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done = slices.DeleteFunc(s.Artifacts, func(a inspect.Artifact) bool {
			return a.State != "prepared" || "sha256:"+a.CodeHash == large.CodeHash || a.CodeHash == large.CodeHash
		})
		return len(done) >= 8
	})
	slices.SortFunc(done, func(a, b inspect.Artifact) int { return cmp.Compare(a.PreparedAt.UnixNano(), b.PreparedAt.UnixNano()) })
	for n, a := range done {
		if !strings.HasSuffix(order[n], strings.TrimPrefix(a.CodeHash, "sha256:")) {
			t.Errorf("preparation %d was of %s, want %s", n, a.CodeHash, order[n])
		}
	}
}

// TestW27KnownCodeAfterARestart: its first answer takes at most a fifth of what it took when it was compiled.
func TestW27KnownCodeAfterARestart(t *testing.T) { // which is measured, alone
	dir := t.TempDir()
	took := func(name string) time.Duration {
		h, err := host.Start(t.Context(), host.Config{DataDir: dir, BallastBytes: host.NoLimit})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = h.Close() }()
		if _, err := h.OpenSession(t.Context(), host.SessionRequest{}); err != nil {
			t.Fatal(err)
		}
		m := appOf(t, h, "go-hello", nil)
		began := time.Now()
		a := deploy(t, h, m)
		ask(t, h, a.Address, "x", "")
		d := time.Since(began)
		s, err := h.Inspect(t.Context())
		if err != nil || len(s.Artifacts) != 1 || s.Artifacts[0].Generation != 1 {
			t.Errorf("%s: %+v, %v", name, s.Artifacts, err)
		}
		return d
	}
	cold, warm := took("cold"), took("warm")
	t.Logf("cold %v, known %v", cold, warm)
	if warm*5 > cold {
		t.Errorf("known code took %v, never seen code %v", warm, cold)
	}
}

// TestW28MemoryCap: a guest gets no more than its manifest says, which does not harm others.
func TestW28MemoryCap(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	a := deploy(t, h, appOf(t, h, "memhog", func(m *manifest.Manifest) { m.Terms.Limits.MemoryBytes = 8 << 20 }))
	other := deploy(t, h, appOf(t, h, "c-handler", nil))
	for range 3 {
		_, err := h.Query(t.Context(), host.AppQuery{Address: a.Address, Path: "x"})
		if f := fault.From(err); err == nil || f.Class != fault.Guest {
			t.Errorf("memory without end: %v", err)
		}
		if got := ask(t, h, other.Address, "x", "hello"); got != "hello" {
			t.Errorf("another app: %q", got)
		}
	}
	waitFor(t, "the end of the runs", func() bool {
		s, err := h.Session(t.Context())
		return err == nil && s.SlotsUsed == 0 && app(t, h, a.Address).Active == 0
	})
}

// app shows one.
func app(t testing.TB, h *host.Host, address string) inspect.App {
	t.Helper()
	a, err := h.App(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
