package db

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"

	"github.com/troupehost/troupe/actors/fault"
)

// verifyTables checks the table files of a database before Badger opens them, since Badger panics on a damaged one in a
// goroutine of its own, which nobody can recover. all says whether every block is read, or only the index and the two
// blocks that opening looks at; Badger itself checks the others when it reads them.
//
// Layout of a table, Badger v4 table/table.go: blocks, index, u32 length of the index, checksum of the index, u32 length
// of that checksum. Layout of a block: data, checksum of the data, u32 length of that checksum. Numbers are big endian.
func verifyTables(dir string, all bool) (err error) {
	defer contain(&err, "verify", dir)
	files, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	for _, path := range files {
		if err := verifyTable(path, all); err != nil {
			return fault.New(fault.HostDiskIO, "verify", filepath.Base(path), err)
		}
	}
	return nil
}

var errTable = errors.New("the table file is damaged")

func verifyTable(path string, all bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	index, end, err := checkedTail(f, st.Size(), true)
	if err != nil {
		return err
	}
	root := fb.GetRootAsTableIndex(index, 0)
	n := root.OffsetsLength()
	if n == 0 {
		return errTable
	}
	for i := range n {
		if !all && i > 0 && i < n-1 {
			continue
		}
		var o fb.BlockOffset
		if !root.Offsets(&o, i) || int64(o.Offset())+int64(o.Len()) > end {
			return errTable
		}
		block := io.NewSectionReader(f, int64(o.Offset()), int64(o.Len()))
		if _, _, err := checkedTail(block, block.Size(), false); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}

// checkedTail reads back from the end: a checksum and the data under it, which has a length of its own or is the rest.
// It returns the data and where it begins.
func checkedTail(f io.ReaderAt, size int64, sized bool) (data []byte, begin int64, err error) {
	take := func(n int64) []byte {
		if err != nil || n < 0 || n > size {
			err = errors.Join(err, errTable)
			return make([]byte, 4)
		}
		b := make([]byte, n)
		if _, e := f.ReadAt(b, size-n); e != nil {
			err = errors.Join(errTable, e)
		}
		size -= n
		return b
	}
	number := func() int64 { return int64(binary.BigEndian.Uint32(take(4))) }
	var sum pb.Checksum
	if b := take(number()); err == nil && proto.Unmarshal(b, &sum) != nil {
		err = errTable
	}
	n := size
	if sized {
		n = number()
	}
	data = take(n)
	if err == nil && y.VerifyChecksum(data, &sum) != nil {
		err = errTable
	}
	return data, size, err
}
