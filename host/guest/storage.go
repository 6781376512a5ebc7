package guest

import (
	"errors"
	"io"
	"strings"
)

// Get returns a value of the app's key-value space, or ErrNotFound.
func Get(key string) ([]byte, error) {
	return sized(4<<10, func(p *byte, room uint32, size *uint64) uint32 {
		return sysKVGet(text(key), length(key), p, room, size)
	})
}

// Put writes a value, at most MaxKVValue long, under a key of at most 256 bytes. It stays when the app is deployed again.
func Put(key string, value []byte) error {
	return failure(sysKVPut(text(key), length(key), place(value), length(value)))
}

// Delete removes a key.
func Delete(key string) error { return failure(sysKVDelete(text(key), length(key))) }

// List returns keys with this prefix in their order, beginning behind after: as many as one call carries, none at the end.
func List(prefix, after string) ([]string, error) {
	buf := make([]byte, 16<<10)
	var n uint64
	if errno := sysKVList(text(prefix), length(prefix), text(after), length(after), place(buf), length(buf), &n); errno != 0 {
		return nil, Errno(errno)
	}
	keys := strings.Split(string(buf[:min(n, uint64(len(buf)))]), "\x00")
	return keys[:len(keys)-1], nil
}

// Blob is data that the manifest names by its hash.
type Blob struct {
	hash string
	size int64
}

// OpenBlob finds a blob: "sha256:<hex>".
func OpenBlob(hash string) (*Blob, error) {
	b := &Blob{hash: hash}
	var size uint64
	if errno := sysBlobRead(text(hash), length(hash), 0, nil, 0, &size); errno != 0 {
		return nil, Errno(errno)
	}
	b.size = int64(size)
	return b, nil
}

// Size returns its bytes.
func (b *Blob) Size() int64 { return b.size }

// ReadAt is io.ReaderAt.
func (b *Blob) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, ErrParam
	}
	done := 0
	for done < len(p) && offset+int64(done) < b.size {
		at := offset + int64(done)
		part := p[done:min(len(p), done+MaxBytes)]
		var size uint64
		if errno := sysBlobRead(text(b.hash), length(b.hash), uint64(at), place(part), length(part), &size); errno != 0 {
			return done, Errno(errno)
		}
		if size != uint64(b.size) {
			return done, ErrCorrupt
		}
		done += int(min(int64(len(part)), b.size-at))
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// Reader reads it from its beginning.
func (b *Blob) Reader() io.Reader { return io.NewSectionReader(b, 0, b.size) }

// Load reads a value and gives it to change; what that returns is written. It is no transaction: guard it by a Lock if the app has
// more than one instance.
func Load(key string, change func(old []byte) []byte) error {
	old, err := Get(key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return Put(key, change(old))
}
