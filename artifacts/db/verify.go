package db

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// prepareFiles makes the files of a database safe to open. Badger exits the process, or panics in a goroutine of its
// own, on a damaged table, allocates what a damaged log record asks for, silently leaves out a table whose blocks are
// damaged, and deletes every table that a lost manifest does not name. So every byte is checked here first.
func prepareFiles(dir string) (err error) {
	defer contain(&err, "verify", dir)
	// Neither holds anything: values stay below the threshold of the value log, and nothing is encrypted. A database
	// without them opens; one in which they are damaged does not.
	for _, pattern := range []string{"*.vlog", "DISCARD", "KEYREGISTRY"} {
		if err := each(dir, pattern, os.Remove); err != nil {
			return err
		}
	}
	tables, err := namedTables(dir)
	if err != nil {
		return err
	}
	var buf []byte
	for id := range tables {
		if buf, err = verifyTable(table.NewFilename(id, dir), buf); err != nil {
			return fmt.Errorf("table %d: %w", id, err)
		}
	}
	return each(dir, "*.mem", trimLog)
}

func each(dir, pattern string, do func(path string) error) error {
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	for _, p := range paths {
		err = errors.Join(err, do(p))
	}
	return err
}

// namedTables returns the tables that the manifest names. Others are what a crash left behind: Badger deletes them.
func namedTables(dir string) (map[uint64]badger.TableManifest, error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		for _, pattern := range []string{"*.sst", "*.mem"} {
			err := each(dir, pattern, func(string) error { return errors.New("there is data and no manifest") })
			if err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, 0, badger.Options{})
	return m.Tables, err
}

var errDamaged = errors.New("the file is damaged")

// verifyTable reads a table: blocks, index, u32 length of the index, checksum of the index, u32 length of the checksum
// (Badger v4, table/builder.go). It uses buf and returns it, maybe grown.
func verifyTable(path string, buf []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return buf, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return buf, err
	}
	end := st.Size()
	take := func(n int64) []byte {
		if err != nil || n < 0 || n > end {
			err = errors.Join(err, errDamaged)
			return make([]byte, 4)
		}
		b := make([]byte, n)
		end -= n
		_, err = f.ReadAt(b, end)
		return b
	}
	number := func() int64 { return int64(binary.BigEndian.Uint32(take(4))) }
	sum := take(number())
	data := take(number())
	if err != nil || !sumFits(data, sum) {
		return buf, errors.Join(err, errDamaged)
	}
	index := fb.GetRootAsTableIndex(data, 0)
	if index.OffsetsLength() == 0 {
		return buf, errDamaged
	}
	for i := range index.OffsetsLength() {
		var o fb.BlockOffset
		if !index.Offsets(&o, i) || int64(o.Offset())+int64(o.Len()) > end {
			return buf, errDamaged
		}
		if n := int(o.Len()); cap(buf) < n {
			buf = make([]byte, n)
		}
		buf = buf[:o.Len()]
		if _, err := f.ReadAt(buf, int64(o.Offset())); err != nil {
			return buf, err
		}
		if !blockFits(buf) {
			return buf, fmt.Errorf("block %d: %w", i, errDamaged)
		}
	}
	return buf, nil
}

// blockFits checks a block: its data, the checksum of that, u32 length of the checksum.
func blockFits(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	at := len(b) - 4
	n := int64(binary.BigEndian.Uint32(b[at:]))
	if n > int64(at) {
		return false
	}
	return sumFits(b[:at-int(n)], b[at-int(n):at])
}

func sumFits(data, sum []byte) bool {
	var c pb.Checksum
	return proto.Unmarshal(sum, &c) == nil && y.VerifyChecksum(data, &c) == nil
}

// Layout of a log (Badger v4, memtable.go): a header, then records of meta, user meta, uvarint key length, value length
// and expiry, key, value, checksum; zeros follow the last one.
const (
	logHeader = 20
	maxLogKey = 1 << 16
)

// trimLog cuts a log at a record that asks for more than any record has, where Badger would stop as well, but only
// after it had allocated up to 8 GiB for it.
func trimLog(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := &counter{r: bufio.NewReaderSize(f, 64<<10)}
	if r.skip(logHeader) != nil {
		return nil
	}
	for {
		at := r.n
		_, err1 := r.ReadByte()
		_, err2 := r.ReadByte()
		key, err3 := binary.ReadUvarint(r)
		value, err4 := binary.ReadUvarint(r)
		_, err5 := binary.ReadUvarint(r)
		if err := errors.Join(err1, err2, err3, err4, err5); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		} else if err != nil || key > maxLogKey || value > threshold {
			return os.Truncate(path, at)
		}
		if key == 0 && value == 0 || r.skip(int(key+value)+4) != nil {
			return nil
		}
	}
}

// counter counts what was read.
type counter struct {
	r *bufio.Reader
	n int64
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func (c *counter) skip(n int) error {
	got, err := c.r.Discard(n)
	c.n += int64(got)
	return err
}
