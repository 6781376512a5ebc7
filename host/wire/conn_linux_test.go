package wire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns the two ends of a conversation in one process.
func pair(t *testing.T) (*HostConn, *WorkerConn) {
	t.Helper()
	h, end, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(end.Fd(), unix.F_DUPFD_CLOEXEC, 0) // a descriptor of its own, as a child has
	if err != nil {
		t.Fatal(err)
	}
	_ = end.Close()
	_ = unix.SetNonblock(fd, false)
	t.Cleanup(func() {
		_ = h.Close()
		_ = unix.Close(fd)
	})
	return h, NewWorkerConn(fd)
}

func memfd(t *testing.T, text string) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "test")
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFilesTravelWithTheirFrame(t *testing.T) {
	h, w := pair(t)
	a, b := memfd(t, "code"), memfd(t, "")
	if err := h.Send(Prepare{MaxInflatedBytes: 5}, a.Fd(), b.Fd()); err != nil {
		t.Fatal(err)
	}
	m, err := w.Receive()
	if err != nil || m != (Prepare{MaxInflatedBytes: 5}) {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := w.TakeFiles(1); !errors.Is(err, ErrFrame) {
		t.Errorf("taking one of two files: %v", err)
	}
	files, err := w.TakeFiles(2)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := files[0].ReadAt(got, 0); err != nil || string(got) != "code" {
		t.Errorf("the first file holds %q, %v", got, err)
	}
	if _, err := files[1].WriteString("out"); err != nil {
		t.Errorf("the second file cannot be written: %v", err)
	}
	for _, f := range files {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("a received file would survive exec")
		}
		_ = f.Close()
	}
	if _, err := w.TakeFiles(2); !errors.Is(err, ErrFrame) {
		t.Errorf("taking files twice: %v", err)
	}
}

func TestLargeFramesBothWays(t *testing.T) {
	h, w := pair(t)
	data := bytes.Repeat([]byte("troupe"), MaxChunk/6)
	sent := make(chan error, 1)
	go func() {
		for range 8 {
			if err := h.Send(Input{Data: data}); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for range 8 {
		m, err := w.Receive()
		if err != nil || !bytes.Equal(m.(Input).Data, data) {
			t.Fatalf("%T, %v", m, err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	go func() { sent <- w.Send(Output{Data: data}) }()
	m, err := h.Receive()
	if err != nil || !bytes.Equal(m.(Output).Data, data) {
		t.Fatalf("%T, %v", m, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

func TestHostNeverTakesFiles(t *testing.T) {
	h, w := pair(t)
	b, err := Encode(Loaded{})
	if err != nil {
		t.Fatal(err)
	}
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := unix.Sendmsg(w.fd, b, unix.UnixRights(int(pipe.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	if m, err := h.Receive(); err != nil || m != (Loaded{}) {
		t.Fatalf("%+v, %v", m, err)
	}
	_ = pipe.Close()
	// Had the host taken the writing end, this read would wait for ever.
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the host kept a descriptor of the worker: %v", err)
	}
}

func TestDeadlineAndCloseFreeTheHost(t *testing.T) {
	h, _ := pair(t)
	if err := h.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("past the deadline: %v", err)
	}
	if err := h.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() { _, err := h.Receive(); got <- err }()
	_ = h.Close()
	if err := <-got; err == nil {
		t.Error("Receive outlived Close")
	}
}

func TestEndsOfAConversation(t *testing.T) {
	t.Run("the worker sees the host leave", func(t *testing.T) {
		h, w := pair(t)
		_ = h.Close()
		if _, err := w.Receive(); err != io.EOF {
			t.Errorf("%v", err)
		}
		if err := w.Send(Loaded{}); !errors.Is(err, unix.EPIPE) {
			t.Errorf("a send to nobody: %v", err)
		}
	})
	t.Run("the host sees half a frame", func(t *testing.T) {
		h, w := pair(t)
		b, err := Encode(Ready{BuildID: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(w.fd, b[:len(b)-1]); err != nil {
			t.Fatal(err)
		}
		if err := unix.Shutdown(w.fd, unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Receive(); err != io.ErrUnexpectedEOF {
			t.Errorf("%v", err)
		}
	})
	t.Run("the host sees garbage", func(t *testing.T) {
		h, w := pair(t)
		if _, err := unix.Write(w.fd, bytes.Repeat([]byte{0xee}, 100)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Receive(); !errors.Is(err, ErrFrame) {
			t.Errorf("%v", err)
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	h, end, err := Pair()
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	fd, err := unix.FcntlInt(end.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	_ = end.Close()
	_ = unix.SetNonblock(fd, false)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer unix.Close(fd)
		for w := NewWorkerConn(fd); ; {
			if _, err := w.Receive(); err != nil {
				return
			}
			if w.Send(Finished{}) != nil {
				return
			}
		}
	}()
	for b.Loop() {
		if err := h.Send(Call{}); err != nil {
			b.Fatal(err)
		}
		if _, err := h.Receive(); err != nil {
			b.Fatal(err)
		}
	}
	_ = h.Close()
	<-done
}
