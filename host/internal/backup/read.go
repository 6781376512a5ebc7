package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"regexp"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"github.com/troupehost/troupe/artifacts/db"
)

// sink takes what is read. It is asked for a file when its first bytes are there, and told when it has ended.
type sink interface {
	begin(about Manifest) error
	open(name string) (io.WriteCloser, error)
}

// names that a file may have: of the data directory itself, or at most two directories below.
var validName = regexp.MustCompile(`^([a-z0-9][a-z0-9._-]{0,30}/){0,2}[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// read reads a backup to its end, and checks it. What the sink was given is right only if no error is returned.
func read(ctx context.Context, r io.Reader, to sink) (Report, error) {
	src := newBody(ctx, r)
	z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowBytes), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return Report{}, damaged("", err)
	}
	defer z.Close()
	x := &reader{in: tar.NewReader(z), to: to}
	m, err := x.all()
	if x.file != nil {
		err = errors.Join(err, x.file.w.Close())
	}
	if err != nil {
		return Report{}, damaged(x.at, err)
	}
	if n, err := io.Copy(io.Discard, z); err != nil || n > maxPadding { // the end of the archive, and nothing else
		return Report{}, damaged("", err)
	}
	if !src.ok {
		return Report{}, damaged("", errCut)
	}
	return Report{Manifest: m, Bytes: src.n, Checksum: "sha256:" + hex.EncodeToString(src.whole.Sum(nil))}, nil
}

// maxPadding is what may follow the end of the archive, in bytes.
const maxPadding = 64 << 10

type reader struct {
	in    *tar.Reader
	to    sink
	at    string
	about *Manifest
	file  *inFile
	files []File // as they were found
}

type inFile struct {
	name  string
	parts int
	bytes int64
	sum   hash.Hash
	w     io.WriteCloser
}

func (x *reader) all() (Manifest, error) {
	for {
		h, err := x.in.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errCut
			}
			return Manifest{}, err
		}
		x.at = ""
		if !validEntry(h) {
			return Manifest{}, errors.New("it has an entry that no backup has")
		}
		x.at = h.Name
		switch {
		case x.about == nil:
			if err := x.begin(h); err != nil {
				return Manifest{}, err
			}
		case h.Name == manifestName:
			if err := x.end(); err != nil {
				return Manifest{}, err
			}
			return x.manifest(h)
		default:
			if err := x.part(h); err != nil {
				return Manifest{}, err
			}
		}
	}
}

func validEntry(h *tar.Header) bool {
	return h.Typeflag == tar.TypeReg && h.Size >= 0 && h.Size <= max(partBytes, maxManifest) && len(h.Name) <= 200
}

func (x *reader) begin(h *tar.Header) error {
	if h.Name != aboutName {
		return errors.New("it does not begin as a backup does")
	}
	m, err := x.json(h)
	if err != nil {
		return err
	}
	if m.Format < 1 || m.DataFormat < 1 {
		return errors.New("it says no format")
	}
	if m.Format > Format || m.DataFormat > db.FormatVersion {
		return newer(m)
	}
	x.about = &m
	return x.to.begin(m)
}

func (x *reader) json(h *tar.Header) (m Manifest, err error) {
	b, err := io.ReadAll(x.in)
	if err != nil {
		return m, err
	}
	if int64(len(b)) != h.Size {
		return m, errCut
	}
	return m, json.Unmarshal(b, &m)
}

func (x *reader) part(h *tar.Header) error {
	name, number := path.Dir(h.Name), path.Base(h.Name)
	n, err := strconv.Atoi(number)
	if err != nil || h.Name != partName(name, n) || !validName.MatchString(name) {
		return errors.New("it has an entry that no backup has")
	}
	if x.file == nil || x.file.name != name {
		if err := x.end(); err != nil {
			return err
		}
		if n != 0 || len(x.files) >= maxFiles || x.has(name) {
			return errors.New("its parts are not in order")
		}
		w, err := x.to.open(name)
		if err != nil {
			return err
		}
		x.file = &inFile{name: name, sum: sha256.New(), w: w}
	}
	if n != x.file.parts {
		return errors.New("its parts are not in order")
	}
	x.file.parts++
	size, err := io.Copy(io.MultiWriter(x.file.sum, x.file.w), x.in)
	x.file.bytes += size
	return err
}

func (x *reader) has(name string) bool {
	for _, f := range x.files {
		if f.Name == name {
			return true
		}
	}
	return false
}

// end closes the file that was read last.
func (x *reader) end() error {
	f := x.file
	if f == nil {
		return nil
	}
	x.file = nil
	x.files = append(x.files, File{Name: f.name, Bytes: f.bytes, SHA256: hex.EncodeToString(f.sum.Sum(nil))})
	return f.w.Close()
}

// manifest compares what was found with what was saved.
func (x *reader) manifest(h *tar.Header) (Manifest, error) {
	m, err := x.json(h)
	if err != nil {
		return m, err
	}
	about, err := json.Marshal(*x.about)
	if err != nil {
		return m, err
	}
	bare := m
	bare.Files = nil
	again, err := json.Marshal(bare)
	if err != nil {
		return m, err
	}
	if !bytes.Equal(about, again) || len(m.Files) != len(x.files) {
		return m, errors.New("its manifest is not that of its beginning")
	}
	for i, f := range m.Files {
		got := x.files[i]
		if f.Name != got.Name || f.Bytes != got.Bytes || f.SHA256 != got.SHA256 {
			x.at = f.Name
			return m, fmt.Errorf("%d bytes with the hash %.16s, and %d with %.16s were saved", got.Bytes, got.SHA256, f.Bytes, f.SHA256)
		}
	}
	_, err = x.in.Next()
	if !errors.Is(err, io.EOF) {
		return m, errors.New("something follows its manifest")
	}
	return m, nil
}
