package db

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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
// damaged, and deletes every table that a lost or cut manifest does not name. So every byte is checked here first.
// Damaged tables are an error, or if they may be lost they are taken out of the manifest: lost says how many.
func prepareFiles(dir string, mayLose bool) (lost int, err error) {
	defer contain(&err, "verify", dir)
	// Neither holds anything: values stay below the threshold of the value log, and nothing is encrypted. A database
	// without them opens; one in which they are damaged does not.
	for _, pattern := range []string{"*.vlog", "DISCARD", "KEYREGISTRY"} {
		if err := each(dir, pattern, os.Remove); err != nil {
			return 0, err
		}
	}
	if err := checkMark(dir); err != nil {
		return 0, err
	}
	tables, end, err := namedTables(dir)
	if err != nil {
		return 0, err
	}
	var buf []byte
	var damaged []uint64
	for id := range tables {
		if buf, err = verifyTable(table.NewFilename(id, dir), buf); err != nil {
			if err = fmt.Errorf("table %d: %w", id, err); !mayLose || !damage(ioFault("verify", dir, err)) {
				return 0, err
			}
			damaged = append(damaged, id)
		}
	}
	if len(damaged) > 0 {
		if err := leaveOut(dir, damaged, end); err != nil {
			return 0, err
		}
	}
	if err := each(dir, "*.mem", trimLog); err != nil {
		return 0, err
	}
	return len(damaged), removeMark(dir)
}

// The mark of an orderly stop bears the digest of the manifest. A manifest that was cut looks like one that a crash left,
// and Badger would delete the tables that it does not name any more; with the mark it is known for what it is.
const markFile = "CLOSED"

func manifestDigest(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, badger.ManifestFilename))
	return fmt.Sprintf("%x\n", sha256.Sum256(b)), err
}

func checkMark(dir string) error {
	mark, err := os.ReadFile(filepath.Join(dir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // new, or a crash
	}
	if err != nil {
		return err
	}
	sum, err := manifestDigest(dir)
	if err == nil && sum != string(mark) {
		err = fmt.Errorf("the manifest is not the one of the last orderly stop: %w", errDamaged)
	}
	return err
}

// removeMark is on disk before anything changes the manifest.
func removeMark(dir string) error {
	err := os.Remove(filepath.Join(dir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, syncDir(dir))
}

// leaveOut appends to the manifest, of which end bytes are whole, that tables are gone: u32 length, u32 checksum, changes
// (Badger v4, manifest.go). Badger then deletes their files. What was in them is missing, or an older version of it comes
// back; both are for the reader to tell.
func leaveOut(dir string, ids []uint64, end int64) (err error) {
	if err := removeMark(dir); err != nil {
		return err
	}
	var set pb.ManifestChangeSet
	for _, id := range ids {
		set.Changes = append(set.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE})
	}
	body, err := proto.Marshal(&set)
	if err != nil {
		return err
	}
	entry := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	entry = binary.BigEndian.AppendUint32(entry, crc32.Checksum(body, y.CastagnoliCrcTable))
	f, err := os.OpenFile(filepath.Join(dir, badger.ManifestFilename), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(end); err != nil {
		return err
	}
	if _, err := f.WriteAt(append(entry, body...), end); err != nil {
		return err
	}
	return f.Sync()
}

// each visits the files of dir whose names match; a directory that is not there has none. What dir is called is no pattern.
func each(dir, pattern string, do func(path string) error) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, f := range files {
		if fits, bad := filepath.Match(pattern, f.Name()); bad != nil {
			return bad
		} else if fits {
			err = errors.Join(err, do(filepath.Join(dir, f.Name())))
		}
	}
	return err
}

// namedTables returns the tables that the manifest names, and how many bytes of it are whole. Other tables are what a
// crash left behind: Badger deletes them.
func namedTables(dir string) (map[uint64]badger.TableManifest, int64, error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		for _, pattern := range []string{"*.sst", "*.mem"} {
			err := each(dir, pattern, func(string) error { return errors.New("there is data and no manifest") })
			if err != nil {
				return nil, 0, err
			}
		}
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	m, end, err := badger.ReplayManifestFile(f, 0, badger.Options{})
	return m.Tables, end, err
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
// after it had allocated up to 8 GiB for it. It removes an empty log, with which Badger does not open.
func trimLog(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return err
	} else if st.Size() == 0 { // a crash between the making of a log and its first byte; Badger takes it for damage
		return os.Remove(path)
	}
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
