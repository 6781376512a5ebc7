package backup

import (
	"archive/tar"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/troupehost/troupe/actors/fault"
)

// Write writes a backup. What w has is whole only if no error is returned.
//
// # Errors
//
// Those of w and of the parts; canceled.*.
func Write(ctx context.Context, w io.Writer, about Manifest, parts []Part) (Report, error) {
	out := newCounter(w)
	about.Format, about.Files = Format, nil
	m := about
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(windowBytes), zstd.WithEncoderCRC(true))
	if err != nil {
		return Report{}, fault.New(fault.BugUnexpected, "compress", "", err)
	}
	a := &archive{ctx: ctx, w: tar.NewWriter(z), at: about}
	err = a.json(aboutName, about)
	for _, p := range parts {
		if err != nil {
			break
		}
		f := &file{a: a, name: p.Name}
		sum := newCounter(f)
		var keys int64
		if keys, err = p.Write(ctx, sum); err == nil {
			err = f.flush()
		}
		m.Files = append(m.Files, File{Name: p.Name, Database: p.Database, Bytes: sum.n, SHA256: hex.EncodeToString(sum.sum.Sum(nil)), Keys: keys})
	}
	if err == nil {
		err = a.json(manifestName, m)
	}
	if err == nil {
		err = a.w.Close()
	}
	if err != nil {
		z.Reset(io.Discard) // what it still has is nothing
		_ = z.Close()
		return Report{}, err
	}
	if err := z.Close(); err != nil {
		return Report{}, err
	}
	if _, err := io.WriteString(out, trailerHead); err != nil {
		return Report{}, err
	}
	if _, err := out.Write(out.sum.Sum(nil)); err != nil {
		return Report{}, err
	}
	return Report{Manifest: m, Bytes: out.n, Checksum: out.checksum()}, nil
}

type archive struct {
	ctx context.Context
	w   *tar.Writer
	at  Manifest
}

func (a *archive) entry(name string, b []byte) error {
	if err := a.ctx.Err(); err != nil {
		return fault.From(err)
	}
	if err := a.w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b)), ModTime: a.at.At, Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	_, err := a.w.Write(b)
	return err
}

func (a *archive) json(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fault.New(fault.BugUnexpected, "encode", name, err)
	}
	return a.entry(name, append(b, '\n'))
}

// file cuts what is written into entries.
type file struct {
	a     *archive
	name  string
	buf   []byte
	parts int
}

// Write implements io.Writer.
func (f *file) Write(p []byte) (n int, err error) {
	for n < len(p) {
		take := min(len(p)-n, partBytes-len(f.buf))
		f.buf = append(f.buf, p[n:n+take]...)
		if n += take; len(f.buf) == partBytes {
			if err := f.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// flush writes what there is. A file of nothing has one entry.
func (f *file) flush() error {
	if len(f.buf) == 0 && f.parts > 0 {
		return nil
	}
	err := f.a.entry(partName(f.name, f.parts), f.buf)
	f.parts++
	f.buf = f.buf[:0]
	return err
}

func partName(name string, n int) string { return fmt.Sprintf("%s/%06d", name, n) }
