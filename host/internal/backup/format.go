package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Format is the version of the form. A newer one is refused.
const Format = 1

const (
	aboutName    = "about.json"
	manifestName = "manifest.json"
	partBytes    = 1 << 20
	maxFiles     = 1024
	maxManifest  = 1 << 20
	maxSmall     = 1 << 20
	windowBytes  = 8 << 20
)

// Manifest says what a backup is, and what it holds.
type Manifest struct {
	Format     int       `json:"format"`
	DataFormat int       `json:"data_format"` // of the data directory
	Version    string    `json:"version"`     // of the program that made it
	BuildID    string    `json:"build_id,omitempty"`
	Host       string    `json:"host"` // name of the host, and of the machine
	At         time.Time `json:"at"`   // of the snapshots
	Sealed     bool      `json:"worker_key_encrypted"`
	Without    []string  `json:"without"` // what is not in it, in words
	Files      []File    `json:"files,omitempty"`
}

// File is one file of a backup.
type File struct {
	Name     string `json:"name"` // in the data directory, with slashes
	Database bool   `json:"database,omitempty"`
	Bytes    int64  `json:"bytes"`
	SHA256   string `json:"sha256"` // hex digits
	Keys     int64  `json:"keys,omitempty"`
}

// Part is a file to be saved.
type Part struct {
	Name     string
	Database bool
	Write    func(ctx context.Context, w io.Writer) (keys int64, err error)
}

// Report is what was written, or read.
type Report struct {
	Manifest Manifest
	Bytes    int64  // of all
	Checksum string // "sha256:" and hex digits, of all
}

// The trailer: a frame that zstd skips, with a hash of all before it.
const (
	trailerHead  = "\x5b\x2a\x4d\x18\x20\x00\x00\x00"
	trailerBytes = len(trailerHead) + sha256.Size
)

// counter counts and hashes what is written.
type counter struct {
	w   io.Writer
	n   int64
	sum hash.Hash
}

func newCounter(w io.Writer) *counter { return &counter{w: w, sum: sha256.New()} }

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	_, _ = c.sum.Write(p[:n])
	return n, err
}

func (c *counter) checksum() string { return "sha256:" + hex.EncodeToString(c.sum.Sum(nil)) }

// body reads all but the trailer, which it checks at the end.
type body struct {
	ctx   context.Context
	r     io.Reader
	buf   []byte // what was read and not given; the last bytes may be the trailer
	sum   hash.Hash
	whole hash.Hash
	n     int64
	ended bool
	ok    bool
}

func newBody(ctx context.Context, r io.Reader) *body {
	return &body{ctx: ctx, r: r, sum: sha256.New(), whole: sha256.New()}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for len(b.buf) <= trailerBytes && !b.ended {
		if err := b.ctx.Err(); err != nil {
			return 0, fault.From(err)
		}
		chunk := make([]byte, 64<<10)
		n, err := b.r.Read(chunk)
		b.n += int64(n)
		_, _ = b.whole.Write(chunk[:n])
		b.buf = append(b.buf, chunk[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			b.ended = true
		case err != nil:
			return 0, err
		}
	}
	if n := len(b.buf) - trailerBytes; n > 0 {
		n = copy(p, b.buf[:n])
		_, _ = b.sum.Write(b.buf[:n])
		b.buf = b.buf[n:]
		return n, nil
	}
	if len(b.buf) == trailerBytes && !b.ok {
		_, _ = b.sum.Write(b.buf[:len(trailerHead)])
		b.ok = string(b.buf) == trailerHead+string(b.sum.Sum(nil))
	}
	if !b.ok {
		return 0, errCut
	}
	return 0, io.EOF
}

var errCut = errors.New("it is cut, or damaged")

// damaged says that a file is no backup. A fault that says more goes through.
func damaged(what string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if err == nil {
		err = errors.New("it is not what was saved")
	}
	return fault.New(fault.CallerInvalid, "read backup", what, err).WithHint("the file is damaged, was cut, or is no backup: take another copy of it; nothing was changed")
}

func newer(m Manifest) error {
	what := fmt.Errorf("a backup of format %d with data of format %d, made by version %s", m.Format, m.DataFormat, fault.Quote(m.Version))
	return fault.New(fault.HostDataDirNewer, "read backup", "", what).WithHint("restore it with version " + fault.Quote(m.Version) + " or a later one")
}
