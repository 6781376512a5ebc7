package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
)

// DefaultMax is how long an uploaded blob may be by default.
const DefaultMax = 64 << 20

// Names that blobs have in the store, beside those of other owners.
const (
	putName   = "put"  // somebody uploaded it, and nobody removed it
	appPrefix = "app:" // an app needs it; its address follows
)

// Keys of uploads. Their chunks come before their hash is known, so they stand under a number: prefix, number, number of the
// chunk. What is known of an upload stands under its hash.
const (
	prefixStaged = "bd"
	prefixUpload = "bm"

	idSize     = 16
	stagedEnd  = len(prefixStaged) + idSize
	uploadSize = 1 + idSize + 8 + sha512.Size // version, number, milliseconds, SHA-512
)

type upload struct {
	id    [idSize]byte // zero: the chunks stand under the hash, it had been put before
	since time.Time
	long  [sha512.Size]byte
}

func (u *upload) encode() []byte {
	b := append([]byte{1}, u.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(u.since.UnixMilli()))
	return append(b, u.long[:]...)
}

func decodeUpload(b []byte) (*upload, bool) {
	if len(b) != uploadSize || b[0] != 1 {
		return nil, false
	}
	u := &upload{id: [idSize]byte(b[1:]), since: time.UnixMilli(int64(binary.BigEndian.Uint64(b[1+idSize:]))).UTC()}
	copy(u.long[:], b[1+idSize+8:])
	return u, true
}

// chunk returns the key of a chunk, also of a blob that was not uploaded.
func (u *upload) chunk(h Hash, n uint32) []byte {
	if u == nil || u.id == [idSize]byte{} {
		return chunkKey(h, n)
	}
	return binary.BigEndian.AppendUint32(append([]byte(prefixStaged), u.id[:]...), n)
}

func uploadKey(h Hash) []byte { return append([]byte(prefixUpload), h[:]...) }

// openUploads reads what is known of uploads, and sweeps the chunks of those that did not end.
func (s *Store) openUploads(ctx context.Context) error {
	var gone [][]byte
	known := map[[idSize]byte]bool{}
	err := s.db.Scan([]byte(prefixUpload), func(k, v []byte) error {
		if len(k) != hashEnd {
			return nil // nobody wrote this
		}
		u, ok := decodeUpload(v)
		if !ok { // its chunks must not be taken for orphans
			return fault.New(fault.HostDataDirCorrupt, "blob open", fmt.Sprintf("%x", k[len(prefixUpload):]), nil)
		}
		h := Hash(k[len(prefixUpload):])
		if s.blobs[h] == nil {
			gone = append(gone, slices.Clone(k))
			return nil
		}
		s.blobs[h].up = u
		s.long[u.long] = h
		known[u.id] = true
		return nil
	})
	if err != nil {
		return err
	}
	_ = s.remove(ctx, gone)
	var orphans [][]byte
	err = s.db.Groups([]byte(prefixStaged), stagedEnd, func(group []byte) {
		if len(group) == stagedEnd && !known[[idSize]byte(group[len(prefixStaged):])] {
			orphans = append(orphans, bytes.Clone(group))
		}
	})
	for _, o := range orphans {
		_ = s.removeOrphan(ctx, o) // or the next start does
	}
	return err
}

// Info is what is known of an uploaded blob.
type Info struct {
	Hash   Hash
	SHA512 Name
	Bytes  int64
	Since  time.Time // when it was uploaded first
	Apps   []string  // addresses of those that need it, in order
}

// Upload stores what a reader gives, and keeps it until Delete. want is what it is expected to be, or zero. most bounds its
// length, 0 means DefaultMax. It is stored as it comes; a blob that is not complete, too long or another one leaves nothing.
//
// # Errors
//
// caller.blob_mismatch, caller.blob_too_large, caller.quota, caller.invalid_request for a reader that fails, canceled.*, and
// those of the database.
func (s *Store) Upload(ctx context.Context, r io.Reader, want Name, most int64) (Info, error) {
	if most <= 0 {
		most = DefaultMax
	}
	u := &upload{since: time.Now().UTC().Truncate(time.Millisecond)}
	_, _ = rand.Read(u.id[:]) // never fails
	_, there := s.Find(want)
	h, size, err := s.receive(ctx, r, u, most, !there)
	if got := h.Name(); err == nil && !want.IsZero() && want != got && want != longName(u.long) {
		if want.size == sha512.Size {
			got = longName(u.long)
		}
		err = fault.New(fault.CallerBlobMismatch, "blob put", want.String(), fmt.Errorf("%d bytes came with %s", size, got))
	}
	if err == nil {
		err = s.keep(ctx, h, u, size, !there)
	} else if !there {
		s.unstage(ctx, u, size)
	}
	if err != nil {
		return Info{}, err
	}
	info, ok := s.Info(h)
	if !ok {
		return Info{}, notFound("blob put", h) // it was removed at once
	}
	return info, nil
}

// receive reads a blob to its end and stages it, if it is to be stored. size is what was reserved for it.
func (s *Store) receive(ctx context.Context, r io.Reader, u *upload, most int64, stage bool) (h Hash, size int64, err error) {
	short, long := sha256.New(), sha512.New()
	buf := make([]byte, db.MaxValue)
	for n := uint32(0); ; n++ {
		got, end := io.ReadFull(r, buf)
		if err := ctx.Err(); err != nil {
			return h, size, fault.From(err)
		}
		if end != nil && !errors.Is(end, io.EOF) && !errors.Is(end, io.ErrUnexpectedEOF) {
			if f, ok := errors.AsType[*fault.Error](end); ok {
				return h, size, f
			}
			return h, size, fault.New(fault.CallerInvalid, "blob put", "", end)
		}
		if size+int64(got) > most {
			return h, size, fault.New(fault.CallerBlobTooLarge, "blob put", "", fmt.Errorf("more than %d bytes", most))
		}
		part := buf[:got]
		short.Write(part)
		long.Write(part)
		if stage && got > 0 {
			if err := s.reserve(h, int64(got), s.quota); err != nil {
				return h, size, err
			}
			size += int64(got)
			// Not on disk yet: the name is written last, and that brings all to the disk.
			if err := s.db.Note(ctx, db.Op{Key: u.chunk(h, n), Value: part}); err != nil {
				return h, size, err
			}
		} else {
			size += int64(got)
		}
		if end != nil {
			break
		}
	}
	short.Sum(h[:0])
	long.Sum(u.long[:0])
	return h, size, nil
}

// unstage gives back what was staged.
func (s *Store) unstage(ctx context.Context, u *upload, size int64) {
	_ = s.removeChunks(context.WithoutCancel(ctx), Hash{}, u, size) // or the next start sweeps them
	s.mu.Lock()
	s.bytes -= size
	s.mu.Unlock()
}

// keep gives a blob that has come to its end the name of an uploaded one.
func (s *Store) keep(ctx context.Context, h Hash, u *upload, size int64, staged bool) error {
	s.stripe(h).Lock()
	defer s.stripe(h).Unlock()
	s.mu.Lock()
	e := s.blobs[h]
	s.mu.Unlock()
	switch {
	case e == nil && !staged:
		return fault.New(fault.CallerConflict, "blob put", h.String(), errors.New("the blob was here when the upload began, and was removed meanwhile"))
	case e != nil:
		if staged {
			s.unstage(ctx, u, size)
			u.id = [idSize]byte{}
		}
		if e.up != nil {
			return s.addName(ctx, h, putName)
		}
		u.id = [idSize]byte{}
	}
	length := binary.BigEndian.AppendUint64(nil, uint64(size))
	err := s.db.Write(ctx, db.Op{Key: uploadKey(h), Value: u.encode()}, db.Op{Key: nameKey(h, putName), Value: length})
	if err != nil && e == nil {
		if s.remove(context.WithoutCancel(ctx), [][]byte{nameKey(h, putName), uploadKey(h)}) == nil {
			_ = s.removeChunks(context.WithoutCancel(ctx), h, u, size)
		}
		s.mu.Lock()
		s.bytes -= size
		s.mu.Unlock()
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e == nil {
		s.blobs[h] = &entry{size: size, names: map[string]struct{}{putName: {}}, up: u}
	} else {
		// Others may read it: they go on with what they have, whose chunks are the same.
		names := e.names
		names[putName] = struct{}{}
		s.blobs[h] = &entry{size: e.size, names: names, up: u}
	}
	s.long[u.long] = h
	return nil
}

// Find returns the hash of a blob by its name, if it is here; by its SHA-512 only if it was uploaded.
func (s *Store) Find(n Name) (Hash, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n.size {
	case sha256.Size:
		h := Hash(n.sum[:sha256.Size])
		return h, s.blobs[h] != nil
	case sha512.Size:
		h, ok := s.long[n.sum]
		return h, ok
	}
	return Hash{}, false
}

// Delete takes back that a blob was uploaded, and removes it unless it has other names.
//
// # Errors
//
// caller.blob_in_use while an app needs it, caller.not_found for one that was not uploaded, and those of Unref.
func (s *Store) Delete(ctx context.Context, h Hash) error {
	s.stripe(h).Lock()
	defer s.stripe(h).Unlock()
	info, ok := s.Info(h)
	if len(info.Apps) > 0 {
		return fault.New(fault.CallerBlobInUse, "blob delete", h.String(), fmt.Errorf("%d apps need it, the first is %s", len(info.Apps), info.Apps[0]))
	}
	if !ok || !s.named(h, putName) {
		return notFound("blob delete", h)
	}
	return s.unref(ctx, h, putName)
}

func (s *Store) named(h Hash, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.blobs[h]
	if e == nil {
		return false
	}
	_, ok := e.names[name]
	return ok
}

// Hold keeps the blobs that an app needs until Release, all or none.
//
// # Errors
//
// caller.blob_missing with the names of those that are not here, and those of Ref.
func (s *Store) Hold(ctx context.Context, app string, names ...Name) error {
	var held []Hash
	var missing []string
	var err error
	for _, n := range names {
		h, ok := s.Find(n)
		if ok && len(missing) == 0 && err == nil && !s.named(h, appPrefix+app) {
			if err = s.Ref(ctx, h, appPrefix+app); err == nil {
				held = append(held, h)
			} else if errors.Is(err, fault.CallerNotFound) {
				ok, err = false, nil
			}
		}
		if !ok {
			missing = append(missing, n.String())
		}
	}
	if len(missing) > 0 {
		err = fault.New(fault.CallerBlobMissing, "hold", app, errors.New(strings.Join(missing, ", ")))
	}
	if err != nil {
		for _, h := range held {
			_ = s.Unref(context.WithoutCancel(ctx), h, appPrefix+app) // or Release, or a Sweep of the owner
		}
	}
	return err
}

// Release takes back what Hold kept for an app.
//
// # Errors
//
// Those of Unref, for the first blob that could not be released; the others were tried.
func (s *Store) Release(ctx context.Context, app string) error {
	return s.Sweep(ctx, func(_ Hash, name string) bool { return name != appPrefix+app })
}

// AppOf returns the app that a name in the store was given for, see Sweep.
func AppOf(name string) (app string, ok bool) { return strings.CutPrefix(name, appPrefix) }

// Info returns what is known of a blob that was uploaded, or that an app needs.
func (s *Store) Info(h Hash) (Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.blobs[h]
	if e == nil {
		return Info{}, false
	}
	return e.info(h)
}

func (e *entry) info(h Hash) (Info, bool) {
	i := Info{Hash: h, Bytes: e.size}
	for name := range e.names {
		if app, ok := AppOf(name); ok {
			i.Apps = append(i.Apps, app)
		}
	}
	slices.Sort(i.Apps)
	_, put := e.names[putName]
	if e.up != nil {
		i.Since, i.SHA512 = e.up.since, longName(e.up.long)
	}
	return i, put || len(i.Apps) > 0
}

// List returns the blobs that were uploaded or that apps need, in the order of their hashes.
func (s *Store) List() []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Info
	for h, e := range s.blobs {
		if i, ok := e.info(h); ok {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b Info) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	return out
}

// Quota returns how many bytes all blobs may have together.
func (s *Store) Quota() int64 { return s.quota }
