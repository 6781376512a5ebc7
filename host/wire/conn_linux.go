package wire

import (
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// HostConn is the host's end: it sends files, never takes any, and its reads and writes have deadlines.
type HostConn struct {
	c   *net.UnixConn
	in  reader
	out []byte
}

// Pair returns the two ends of a new conversation: the host's, and the file that becomes the worker's descriptor.
func Pair() (*HostConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "worker socket"), os.NewFile(uintptr(fds[1]), "host socket")
	c, err := net.FileConn(mine)
	_ = mine.Close() // FileConn works on a copy
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	h := &HostConn{c: c.(*net.UnixConn)}
	h.in.fill = h.c.Read // without a control buffer the kernel drops whatever descriptors a worker attaches
	return h, theirs, nil
}

// Send writes one message with files. The files stay the caller's.
func (h *HostConn) Send(m Message, files ...uintptr) error {
	b, err := AppendFrame(h.out[:0], m)
	if err != nil {
		return err
	}
	if cap(b) <= 2*MaxChunk {
		h.out = b[:0]
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f)
		}
		oob = unix.UnixRights(fds...)
	}
	n, _, err := h.c.WriteMsgUnix(b, oob, nil)
	if err != nil {
		return err
	}
	if n < len(b) {
		_, err = h.c.Write(b[n:])
	}
	return err
}

// Receive reads one message. Its Data is valid until the next Receive.
func (h *HostConn) Receive() (Message, error) { return h.in.next() }

// Gather appends to first, the Output that Receive has just returned, the data of those of the same stream that have
// arrived already, as far as one chunk reaches, and returns how many they are. It does not wait.
func (h *HostConn) Gather(first Output) (Output, int64) { return h.in.gather(first) }

// SetDeadline bounds the reads and writes that follow and those under way; the zero time removes the bound.
func (h *HostConn) SetDeadline(t time.Time) error { return h.c.SetDeadline(t) }

// Close ends the conversation: a worker that sees it exits.
func (h *HostConn) Close() error { return h.c.Close() }

// WorkerConn is the worker's end: plain blocking system calls on one descriptor.
type WorkerConn struct {
	fd    int
	in    reader
	out   []byte
	files []int
}

// NewWorkerConn takes over a socket descriptor.
func NewWorkerConn(fd int) *WorkerConn {
	w := &WorkerConn{fd: fd}
	w.in.fill = w.fill
	return w
}

func (w *WorkerConn) fill(p []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(MaxFiles*4))
	for {
		n, oobn, _, _, err := unix.Recvmsg(w.fd, p, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, os.NewSyscallError("recvmsg", err)
		}
		if oobn > 0 {
			if err := w.keepFiles(oob[:oobn]); err != nil {
				return 0, err
			}
		}
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
}

func (w *WorkerConn) keepFiles(oob []byte) error {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return err
		}
		w.files = append(w.files, fds...)
	}
	return nil
}

// Receive reads one message. Its Data is valid until the next Receive.
func (w *WorkerConn) Receive() (Message, error) { return w.in.next() }

// TakeFiles returns the n files that came with the last message; the caller closes them.
func (w *WorkerConn) TakeFiles(n int) ([]*os.File, error) {
	if len(w.files) != n {
		return nil, bad("number of files")
	}
	out := make([]*os.File, n)
	for i, fd := range w.files {
		out[i] = os.NewFile(uintptr(fd), "from host")
	}
	w.files = nil
	return out, nil
}

// Send writes one message.
func (w *WorkerConn) Send(m Message) error {
	b, err := AppendFrame(w.out[:0], m)
	if err != nil {
		return err
	}
	w.out = b[:0]
	for len(b) > 0 {
		n, err := unix.Write(w.fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		b = b[n:]
	}
	return nil
}
