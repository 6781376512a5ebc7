package store

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/sealed"
)

// record is what stands behind the MAC: all that a start needs to know of an artifact. The description, its Meta as JSON
// with the lists of its module, may be larger than a value: it is stored like a part, as the first.
type record struct {
	ID          uint64         `json:"id"`    // of the write; a second write of an artifact never mixes with the first
	Meta        artifacts.Meta `json:"meta"`  // without the lists
	Shape       string         `json:"shape"` // of the module, which Meta has not here
	Description artifacts.Part `json:"description"`
}

// parts returns all that is stored in chunks.
func (r record) parts() []artifacts.Part {
	return append([]artifacts.Part{r.Description}, r.Meta.Parts...)
}

// bytes returns the size of all parts, the description among them.
func (r record) bytes() int64 { return r.Meta.Bytes() + r.Description.Bytes }

// putParts writes all chunks of an artifact. On an error the record names what is to be swept.
func (s *Store) putParts(ctx context.Context, m artifacts.Meta, parts map[string]*sealed.File) (record, error) {
	r := record{ID: max(s.nextID, 1), Meta: m}
	r.Meta.Module.Imports, r.Meta.Module.Exports = nil, nil
	r.Meta.Module.Shape, r.Shape = artifacts.Shape{}, m.Module.Shape.Compact()
	s.nextID = r.ID + 1
	text, err := json.Marshal(m)
	if err != nil || len(text) > maxDescription {
		return record{}, fault.New(fault.BugProtocol, "store put", m.Key.String(), errors.Join(err, errors.New("the description cannot be stored")))
	}
	description, err := sealed.FromBytes("troupe-description", text)
	if err != nil {
		return record{}, err
	}
	defer description.Release()
	r.Description = artifacts.Part{Bytes: int64(len(text)), SHA256: sha256.Sum256(text)}
	var ops []db.Op
	for n, p := range r.parts() {
		f := description
		if n > 0 {
			f = parts[p.Name]
		}
		for at := int64(0); at < p.Bytes; at += db.MaxValue {
			b := s.buf[len(ops)*db.MaxValue:][:min(db.MaxValue, p.Bytes-at)]
			if _, err := f.ReadAt(b, at); err != nil {
				return r, fault.New(fault.HostMemory, "store put", p.Name, err)
			}
			if ops = append(ops, db.Op{Key: chunk(r.ID, n, at/db.MaxValue), Value: b}); len(ops) == chunksPerWrite {
				if err := s.cfg.Cache.Write(ctx, ops...); err != nil {
					return r, err
				}
				ops = ops[:0]
			}
		}
	}
	return r, s.cfg.Cache.Write(ctx, ops...)
}

// read materialises an artifact from disk and verifies it. id is 0 if the record itself cannot be used.
func (s *Store) read(ctx context.Context, key artifacts.Key) (id uint64, m artifacts.Meta, parts map[string]*sealed.File, err error) {
	r, err := s.record(key)
	if err != nil {
		return 0, m, nil, err
	}
	if m, err = s.describe(ctx, key, r); err != nil {
		return r.ID, m, nil, err
	}
	parts = map[string]*sealed.File{}
	for n, p := range r.Meta.Parts {
		f, err := sealed.Create("troupe-"+p.Name, func(w *os.File) error { return s.readPart(ctx, key, r, n+1, w) })
		if err != nil {
			release(parts)
			return r.ID, m, nil, err
		}
		parts[p.Name] = f
	}
	return r.ID, m, parts, nil
}

// describe reads the description of an artifact.
func (s *Store) describe(ctx context.Context, key artifacts.Key, r record) (m artifacts.Meta, err error) {
	var text buffer
	if err := s.readPart(ctx, key, r, 0, &text); err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, corrupt(key, err)
	}
	m.Key = key
	return m, nil
}

// buffer is the least that io.Writer needs.
type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// readPart writes a part to w, and then says whether it was the right one.
func (s *Store) readPart(ctx context.Context, key artifacts.Key, r record, n int, w io.Writer) error {
	p, sum := r.parts()[n], sha256.New()
	out := io.MultiWriter(w, sum)
	for at := int64(0); at < p.Bytes; at += db.MaxValue {
		if err := ctx.Err(); err != nil {
			return fault.From(err)
		}
		err := s.cfg.Cache.Get(chunk(r.ID, n, at/db.MaxValue), func(v []byte) error {
			if int64(len(v)) != min(db.MaxValue, p.Bytes-at) {
				return corrupt(key, errors.New("a chunk has another length"))
			}
			if _, err := out.Write(v); err != nil {
				return fault.New(fault.HostMemory, "store get", p.Name, err)
			}
			return nil
		})
		if errors.Is(err, db.ErrNotFound) || errors.Is(err, fault.HostDiskIO) {
			return corrupt(key, err)
		}
		if err != nil {
			return err
		}
	}
	if [32]byte(sum.Sum(nil)) != p.SHA256 && !unverified() {
		return corrupt(key, errors.New("digest of part "+p.Name))
	}
	return nil
}

func (s *Store) record(key artifacts.Key) (r record, err error) {
	err = s.cfg.Cache.Get(name(prefixRecord, key), func(v []byte) (err error) {
		r, err = s.openRecord(key, v)
		return err
	})
	switch {
	case errors.Is(err, db.ErrNotFound):
		return r, missing(key, nil)
	case errors.Is(err, fault.HostDiskIO): // a checksum of the database
		return r, corrupt(key, err)
	}
	return r, err
}

var errForeign = errors.New("made by another build")

func (s *Store) openRecord(key artifacts.Key, v []byte) (r record, err error) {
	body, err := s.unseal(prefixRecord, key, v)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(body, &r); err != nil || r.Description.Bytes == 0 {
		return record{}, corrupt(key, err)
	}
	if r.Meta.Build != s.cfg.Build {
		return record{}, missing(key, errForeign)
	}
	r.Meta.Key = key
	if r.Meta.Module.Shape, err = artifacts.ParseShape(r.Shape); err != nil {
		return record{}, corrupt(key, err)
	}
	return r, nil
}

// Sealed values: 8 bytes that name the host key, the MAC, the body as JSON.
const macAt, bodyAt = 8, 8 + sha256.Size

// seal puts v under the MAC of what it is and of which artifact, so that no value passes for another.
func (s *Store) seal(kind byte, key artifacts.Key, v any) []byte {
	body, _ := json.Marshal(v) // plain structs
	out := append(slices.Clone(s.keyName), s.mac(kind, key, body)...)
	return append(out, body...)
}

// unseal returns the body. A value under another key is missing, one that does not verify is corrupt.
func (s *Store) unseal(kind byte, key artifacts.Key, v []byte) ([]byte, error) {
	switch {
	case len(v) < bodyAt:
		return nil, corrupt(key, errors.New("too short"))
	case !bytes.Equal(v[:macAt], s.keyName):
		return nil, missing(key, errors.New("stored under another host key"))
	case !hmac.Equal(v[macAt:bodyAt], s.mac(kind, key, v[bodyAt:])):
		return nil, corrupt(key, errors.New("MAC"))
	}
	return append([]byte{}, v[bodyAt:]...), nil
}

func (s *Store) mac(kind byte, key artifacts.Key, body []byte) []byte {
	h := hmac.New(sha256.New, s.cfg.HostKey)
	h.Write([]byte("troupe artifact v1"))
	h.Write([]byte{kind})
	h.Write(key[:])
	h.Write(body)
	return h.Sum(nil)
}

func missing(key artifacts.Key, why error) error {
	return fault.New(fault.HostArtifactMissing, "store get", key.String(), why)
}

func corrupt(key artifacts.Key, why error) error {
	return fault.New(fault.HostArtifactCorrupt, "store get", key.String(), why)
}

func name(prefix byte, key artifacts.Key) []byte { return append([]byte{prefix}, key[:]...) }

func keyOf(name []byte) (artifacts.Key, bool) {
	if len(name) != 33 {
		return artifacts.Key{}, false
	}
	return artifacts.Key(name[1:]), true
}

// chunks is the prefix of all chunks of a write.
func chunks(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{prefixChunk}, id) }

func chunk(id uint64, part int, n int64) []byte {
	return binary.BigEndian.AppendUint32(append(chunks(id), byte(part)), uint32(n))
}

func stamp(t time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano())) }
