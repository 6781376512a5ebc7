package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Config is where things may be. The zero value of a field means its default.
type Config struct {
	// Sources are directories, as paths or file:// URLs, and http:// or https:// gateways, in the order in which they are asked.
	Sources []string
	// Dir holds what is being downloaded. Default: that of the system.
	Dir string
	// MaxBytes bounds a download. Default 20 MiB.
	MaxBytes int64
	// Timeout bounds a download from one source. Default 600 s.
	Timeout time.Duration
	// Connect bounds the connecting. Default 30 s.
	Connect time.Duration
	// Parallel is how many downloads run at a time. Default 10.
	Parallel int
	// Queue is how many wait. Default 10,000.
	Queue int
	// Marked is how long a source is asked last that gave wrong bytes. Default 10 min.
	Marked time.Duration

	resolver *net.Resolver // of a test
}

const (
	prefix       = "troupe-fetch-"
	maxRedirects = 5
	maxManifest  = 256 << 10 // as text
)

// Fetcher gets things.
type Fetcher struct {
	cfg     Config
	sources []*source
	slots   chan struct{}

	mu      sync.Mutex
	waiting int
}

// Content is what was fetched and verified.
type Content struct {
	file    *os.File
	size    int64
	release func()
	once    sync.Once
}

// Read reads it.
func (c *Content) Read(p []byte) (int, error) { return c.file.Read(p) }

// Size is its length.
func (c *Content) Size() int64 { return c.size }

// Close gives it up.
func (c *Content) Close() error {
	var err error
	c.once.Do(func() {
		err = errors.Join(c.file.Close(), os.Remove(c.file.Name()))
		c.release()
	})
	return err
}

// New makes a Fetcher.
//
// # Errors
//
// caller.invalid_config: a source is none; host.data_dir_unwritable.
func New(cfg Config) (*Fetcher, error) {
	settle(&cfg.Dir, os.TempDir())
	settle(&cfg.MaxBytes, 20<<20)
	settle(&cfg.Timeout, 600*time.Second)
	settle(&cfg.Connect, 30*time.Second)
	settle(&cfg.Parallel, 10)
	settle(&cfg.Queue, 10_000)
	settle(&cfg.Marked, 10*time.Minute)
	f := &Fetcher{cfg: cfg, slots: make(chan struct{}, cfg.Parallel)}
	for _, s := range cfg.Sources {
		opened, err := open(s, cfg)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.sources = append(f.sources, opened)
	}
	left, err := filepath.Glob(filepath.Join(cfg.Dir, prefix+"*"))
	if err == nil && cfg.Dir != os.TempDir() { // what others have there is none of ours
		for _, name := range left {
			err = errors.Join(err, os.Remove(name))
		}
	}
	if err != nil {
		return nil, errors.Join(fault.New(fault.HostDataDir, "fetch", cfg.Dir, err), f.Close())
	}
	return f, nil
}

// Close gives up the sources. What is being fetched fails.
func (f *Fetcher) Close() error {
	var err error
	for _, s := range f.sources {
		err = errors.Join(err, s.close())
	}
	return err
}

func settle[T comparable](field *T, byDefault T) {
	var zero T
	if *field == zero {
		*field = byDefault
	}
}

// want is what is looked for: the names that sources may have it under, and how it is known.
type want struct {
	what  string
	names []string
	most  int64
	sum   hash.Hash // nil: known by check
	is    []byte
	check func(b []byte) error
}

// Blob gets a blob by its hash, "sha256:…" or "sha512:…"; cid is another name of it, or empty. The Content must be closed.
func (f *Fetcher) Blob(ctx context.Context, hash, cid string) (*Content, error) {
	algorithm, digits, _ := strings.Cut(hash, ":")
	w := want{what: hash, most: f.cfg.MaxBytes}
	var err error
	if w.is, err = hex.DecodeString(digits); err != nil {
		return nil, bad(hash)
	}
	switch {
	case algorithm == "sha256" && len(w.is) == sha256.Size:
		w.sum = sha256.New()
	case algorithm == "sha512" && len(w.is) == sha512.Size:
		w.sum = sha512.New()
	default:
		return nil, bad(hash)
	}
	if plainCID(cid) {
		w.names = append(w.names, cid)
	}
	w.names = append(w.names, hash, algorithm+"-"+digits, digits)
	return f.get(ctx, w)
}

// CID gets something of at most the given number of bytes by its CID: one of version 0, or a raw one of version 1.
func (f *Fetcher) CID(ctx context.Context, cid string, most int64) ([]byte, error) {
	verify, err := byCID(cid)
	if err != nil {
		return nil, err
	}
	return f.bytes(ctx, want{what: cid, names: []string{cid}, most: min(most, f.cfg.MaxBytes), check: verify})
}

// Manifest gets the manifest of an app, as it is encoded. Sources may have it as text or encoded, under its CID, its address, or, in a
// directory, as 'troupe app build' writes it.
func (f *Fetcher) Manifest(ctx context.Context, cid string, address manifest.Address) ([]byte, error) {
	var found []byte
	w := want{what: "manifest " + address.String(), most: maxManifest, check: func(b []byte) error {
		var err error
		found, err = parse(b, address)
		return err
	}}
	if plainCID(cid) {
		w.names = append(w.names, cid)
	}
	w.names = append(w.names, address.String(), address.String()+".json", fileText, fileEncoded)
	if _, err := f.bytes(ctx, w); err != nil {
		return nil, err
	}
	return found, nil
}

// parse reads a manifest in either form.
func parse(b []byte, address manifest.Address) ([]byte, error) {
	m, err := manifest.Decode(b)
	if err != nil {
		m = &manifest.Manifest{}
		if err := json.Unmarshal(b, m); err != nil {
			return nil, fmt.Errorf("it is no manifest: %w", err)
		}
	}
	if got := m.Address(); got != address {
		return nil, fmt.Errorf("it is the manifest of %s", got)
	}
	return m.Encode(), nil
}

func (f *Fetcher) bytes(ctx context.Context, w want) ([]byte, error) {
	c, err := f.get(ctx, w)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(c)
	return b, errors.Join(err, c.Close())
}

func bad(name string) error {
	return fault.New(fault.CallerInvalid, "fetch", fault.Quote(name), nil).WithHint("it is named by sha256: or sha512: and the hash in hex digits, or by a CID")
}

// get asks the sources in turn.
func (f *Fetcher) get(ctx context.Context, w want) (*Content, error) {
	if err := f.enter(ctx); err != nil {
		return nil, err
	}
	leave := func() { <-f.slots }
	code, reasons := fault.CallerNotFound, []error(nil)
	for _, s := range f.order() {
		c, err := f.try(ctx, s, w)
		if err == nil {
			c.release = leave
			return c, nil
		}
		if ctx.Err() != nil {
			leave()
			return nil, fault.From(context.Cause(ctx))
		}
		switch got := fault.CodeOf(err); got {
		case fault.HostDiskIO, fault.HostDiskFull: // no other source helps
			leave()
			return nil, err
		case fault.CallerBlobMismatch, fault.CallerBlobTooLarge:
			code = got
		}
		reasons = append(reasons, fmt.Errorf("%s: %w", s.name, err))
	}
	leave()
	if len(reasons) == 0 {
		reasons = append(reasons, errors.New("no sources are configured"))
	}
	return nil, fault.New(code, "fetch", fault.Quote(w.what), errors.Join(reasons...))
}

// enter waits for a place.
func (f *Fetcher) enter(ctx context.Context) error {
	f.mu.Lock()
	if f.waiting >= f.cfg.Queue {
		f.mu.Unlock()
		return fault.New(fault.BusyQueueFull, "fetch", "", nil).WithRetryAfter(time.Second)
	}
	f.waiting++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.waiting--
		f.mu.Unlock()
	}()
	select {
	case f.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.From(context.Cause(ctx))
	}
}

// try asks one source for all names in turn.
func (f *Fetcher) try(ctx context.Context, s *source, w want) (*Content, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.cfg.Timeout, errors.New("it takes too long"))
	defer cancel()
	err := errNotThere
	for _, name := range w.names {
		r, missing := s.open(ctx, name, w.most)
		if missing != nil {
			if errors.Is(missing, errNotThere) {
				continue
			}
			err = missing
			break
		}
		c, wrong := f.take(ctx, r, w)
		if wrong == nil {
			s.note(nil, f.cfg.Marked)
			return c, nil
		}
		if name == fileText || name == fileEncoded {
			continue // the manifest of another app is no fault
		}
		if err = wrong; fault.CodeOf(err) != fault.CallerBlobMismatch {
			break
		}
	}
	s.note(err, f.cfg.Marked)
	return nil, err
}

// take writes what a source says to a file, and verifies it.
func (f *Fetcher) take(ctx context.Context, r io.ReadCloser, w want) (c *Content, err error) {
	stop := context.AfterFunc(ctx, func() { _ = r.Close() }) // a reader that stands still
	defer func() {
		stop()
		_ = r.Close()
	}()
	file, err := os.CreateTemp(f.cfg.Dir, prefix)
	if err != nil {
		return nil, fault.New(fault.HostDiskIO, "fetch", f.cfg.Dir, err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	src := &counting{r: io.LimitReader(r, w.most+1)}
	var dst io.Writer = file
	if w.sum != nil {
		w.sum.Reset()
		dst = io.MultiWriter(file, w.sum)
	}
	if _, err := io.Copy(dst, src); err != nil {
		if src.err == nil {
			return nil, fault.New(fault.HostDiskIO, "fetch", f.cfg.Dir, err)
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	if src.n > w.most {
		return nil, fault.New(fault.CallerBlobTooLarge, "fetch", "", fmt.Errorf("it has more than %d bytes", w.most))
	}
	if err := f.verify(file, w); err != nil {
		return nil, fault.New(fault.CallerBlobMismatch, "fetch", "", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fault.New(fault.HostDiskIO, "fetch", f.cfg.Dir, err)
	}
	return &Content{file: file, size: src.n}, nil
}

func (f *Fetcher) verify(file *os.File, w want) error {
	if w.sum != nil {
		if got := w.sum.Sum(nil); !bytes.Equal(got, w.is) {
			return fmt.Errorf("the bytes have the hash %x", got)
		}
		return nil
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	b, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	return w.check(b)
}

// counting tells failures of a source from those of the disk.
type counting struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// plainCID says whether a text may be a CID, and is safe in a path.
func plainCID(s string) bool {
	if s == "" || len(s) > manifest.MaxCIDBytes {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
	})
}

// byCID says how bytes are known that a CID names.
func byCID(cid string) (func([]byte) error, error) {
	other := errors.New("the bytes have another CID")
	switch {
	case !plainCID(cid):
		return nil, bad(cid)
	case strings.HasPrefix(cid, "Qm") && len(cid) == 46:
		return func(b []byte) error {
			if manifest.CID(b) != cid {
				return other
			}
			return nil
		}, nil
	case strings.HasPrefix(cid, "b"):
		raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(cid[1:]))
		if digest, ok := bytes.CutPrefix(raw, []byte{1, 0x55, 0x12, sha256.Size}); err == nil && ok && len(digest) == sha256.Size {
			return func(b []byte) error {
				if sum := sha256.Sum256(b); !bytes.Equal(sum[:], digest) {
					return other
				}
				return nil
			}, nil
		}
	}
	return nil, bad(cid)
}
