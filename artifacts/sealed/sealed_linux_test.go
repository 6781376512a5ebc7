package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
)

// fromBytes makes a file; the test releases it.
func fromBytes(t *testing.T, b []byte) *File {
	t.Helper()
	f, err := FromBytes("test", b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func isOpen(fd uintptr) bool {
	_, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
	return err == nil
}

func TestContentAndSize(t *testing.T) {
	for _, want := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("0123456789"), 100_000)} {
		f := fromBytes(t, want)
		got, err := io.ReadAll(f.Section(0, f.Size()))
		if err != nil || f.Size() != int64(len(want)) || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back as %d of %d: %v", len(want), len(got), f.Size(), err)
		}
		data, unmap, err := f.Map()
		if err != nil || !bytes.Equal(data, want) {
			t.Fatalf("%d bytes are mapped as %d: %v", len(want), len(data), err)
		}
		unmap()
		f.Release()
	}
}

func TestPiecesOfAFile(t *testing.T) {
	f := fromBytes(t, []byte("0123456789"))
	defer f.Release()
	b := make([]byte, 4)
	if n, err := f.ReadAt(b, 3); n != 4 || err != nil || string(b) != "3456" {
		t.Errorf("%d bytes %q, %v", n, b, err)
	}
	if n, err := f.ReadAt(b, 8); n != 2 || !errors.Is(err, io.EOF) {
		t.Errorf("over the end: %d bytes, %v", n, err)
	}
	if got, err := io.ReadAll(f.Section(2, 3)); err != nil || string(got) != "234" {
		t.Errorf("section %q, %v", got, err)
	}
}

// TestNobodyChangesASealedFile tries each way to change a file: through its descriptor, through one that the kernel opens
// anew, and through a map.
func TestNobodyChangesASealedFile(t *testing.T) {
	want := bytes.Repeat([]byte("a"), 8192)
	f := fromBytes(t, want)
	defer f.Release()
	fd := int(f.Fd())
	if !IsSealed(f.Fd()) {
		t.Error("a sealed file is not known for one")
	}
	if got, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || got&seals != seals {
		t.Errorf("seals %#x, %v", got, err)
	}
	again, err := os.OpenFile(fmt.Sprint("/proc/self/fd/", fd), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for how, try := range map[string]func(fd int) error{
		"write":    func(fd int) error { _, err := unix.Pwrite(fd, []byte("b"), 0); return err },
		"append":   func(fd int) error { _, err := unix.Pwrite(fd, []byte("b"), 8192); return err },
		"shrink":   func(fd int) error { return unix.Ftruncate(fd, 1) },
		"grow":     func(fd int) error { return unix.Ftruncate(fd, 1<<20) },
		"allocate": func(fd int) error { return unix.Fallocate(fd, 0, 0, 1<<20) },
		"punch": func(fd int) error {
			return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096)
		},
		"other seal": func(fd int) error {
			_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE)
			return err
		},
		"map": func(fd int) error {
			b, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			if err == nil {
				_ = unix.Munmap(b)
			}
			return err
		},
	} {
		for _, fd := range []int{fd, int(again.Fd())} {
			if err := try(fd); !errors.Is(err, unix.EPERM) {
				t.Errorf("%s through %d: %v", how, fd, err)
			}
		}
	}
	data, unmap, err := f.Map()
	if err != nil {
		t.Fatal(err)
	}
	defer unmap()
	if err := unix.Mprotect(data, unix.PROT_READ|unix.PROT_WRITE); !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
		t.Errorf("a map was made writable: %v", err)
	}
	if !bytes.Equal(data, want) || f.Size() != 8192 {
		t.Error("the content has changed")
	}
}

// TestAWritableMapForbidsTheSeal is why the process that wrote a file must be dead when it is sealed.
func TestAWritableMapForbidsTheSeal(t *testing.T) {
	w, err := NewUnsealed("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	if IsSealed(w.Fd()) {
		t.Error("a new file is sealed")
	}
	fd := w.Fd()
	b, err := unix.Mmap(int(fd), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(b) }()
	if f, err := Seal(w); !errors.Is(err, fault.HostMemory) || f != nil {
		t.Errorf("sealed while somebody may write: %v", err)
	}
	if isOpen(fd) {
		t.Error("the file that could not be sealed is still open")
	}
}

func TestSealTakesWhatWasWritten(t *testing.T) {
	w, err := NewUnsealed("test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("written by a worker"); err != nil {
		t.Fatal(err)
	}
	f, err := Seal(w)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	if got, err := io.ReadAll(f.Section(0, f.Size())); err != nil || string(got) != "written by a worker" || !IsSealed(f.Fd()) {
		t.Errorf("%q, %v, sealed %v", got, err, IsSealed(f.Fd()))
	}
}

func TestWhatIsNoMemoryFileIsNotSealed(t *testing.T) {
	name := t.TempDir() + "/file"
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if IsSealed(f.Fd()) {
		t.Error("a file of a disk passes for sealed")
	}
	if _, err := Seal(f); !errors.Is(err, fault.HostMemory) {
		t.Errorf("a file of a disk was sealed: %v", err)
	}
	if IsSealed(1 << 20) {
		t.Error("no file at all passes for sealed")
	}
	// Part of the seals is none.
	w, err := NewUnsealed("test")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := unix.FcntlInt(w.Fd(), unix.F_ADD_SEALS, seals&^unix.F_SEAL_WRITE); err != nil {
		t.Fatal(err)
	}
	if IsSealed(w.Fd()) {
		t.Error("a file that can be written passes for sealed")
	}
}

func TestAFailedWriteLeavesNoFile(t *testing.T) {
	want := errors.New("the writer failed")
	var fd uintptr
	f, err := Create("test", func(w *os.File) error {
		fd = w.Fd()
		return want
	})
	if !errors.Is(err, want) || f != nil {
		t.Errorf("%v, %v", f, err)
	}
	if isOpen(fd) {
		t.Error("its file is still open")
	}
	if _, err := NewUnsealed(string(make([]byte, 300))); !errors.Is(err, fault.HostMemory) {
		t.Errorf("what the kernel refuses: %v", err)
	}
}

func TestTheDescriptorIsNotInherited(t *testing.T) {
	f := fromBytes(t, []byte("x"))
	defer f.Release()
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
}

// TestTheLastReferenceCloses counts references, and keeps a map beyond them.
func TestTheLastReferenceCloses(t *testing.T) {
	f := fromBytes(t, []byte("shared"))
	fd := f.Fd()
	data, unmap, err := f.Map()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 { // each holds one while it takes and drops more
		f.Retain()
		wg.Go(func() {
			defer f.Release()
			for range 100 {
				f.Retain()
				if _, err := f.ReadAt(make([]byte, 6), 0); err != nil {
					t.Error(err)
				}
				f.Release()
			}
		})
	}
	wg.Wait()
	if !isOpen(fd) {
		t.Fatal("closed with a reference left")
	}
	f.Release()
	if isOpen(fd) {
		t.Error("open without a reference")
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a read without a reference: %v", err)
	}
	if string(data) != "shared" {
		t.Error("the map went with the descriptor")
	}
	unmap()
}

func TestReferencesThatNobodyHasPanic(t *testing.T) {
	for name, use := range map[string]func(*File){"Release": (*File).Release, "Retain": (*File).Retain} {
		t.Run(name, func(t *testing.T) {
			f := fromBytes(t, nil)
			f.Release()
			defer func() {
				if recover() == nil {
					t.Errorf("%s after the last Release was not caught", name)
				}
			}()
			use(f)
		})
	}
}
