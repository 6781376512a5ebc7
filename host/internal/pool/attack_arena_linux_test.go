package pool

import (
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newArena lays out what attackers are after, where everybody could reach it.
func newArena(t testing.TB) *arena {
	t.Helper()
	dir, err := os.MkdirTemp("", "arena") //nolint:usetesting // other users must get into it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a := &arena{
		Dir: dir, Secret: filepath.Join(dir, "secret"), Program: filepath.Join(dir, "program"), Setuid: filepath.Join(dir, "setuid"),
		Socket: filepath.Join(dir, "socket"), Hidden: "troupe-" + filepath.Base(dir), Host: os.Getpid(), Domain: "troupe.test",
	}
	must(os.Chmod(dir, 0o777))
	must(os.WriteFile(a.Secret, []byte(secret), 0o666))
	must(os.Chmod(a.Secret, 0o666))
	must(os.WriteFile(a.Program, program(false), 0o755))
	must(os.WriteFile(a.Setuid, program(true), 0o755))
	if os.Geteuid() == 0 {
		must(os.Chown(a.Setuid, 65534, 65534))
		must(os.Chmod(a.Setuid, os.ModeSetuid|0o755))
	}

	must(os.Mkdir(dir+"/mnt", 0o777))
	if os.Geteuid() == 0 { // a mount that is shared with nobody
		must(unix.Mount("none", dir+"/mnt", "tmpfs", 0, ""))
		must(unix.Mount("none", dir+"/mnt", "", unix.MS_PRIVATE, ""))
		t.Cleanup(func() {
			for a.mounts(t) > 0 {
				must(unix.Unmount(dir+"/mnt", unix.MNT_DETACH))
			}
		})
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(err)
	plain, err := net.Listen("unix", a.Socket)
	must(err)
	hidden, err := net.Listen("unix", "@"+a.Hidden)
	must(err)
	must(os.Chmod(a.Socket, 0o777))
	t.Cleanup(func() { _, _, _, _ = tcp.Close(), udp.Close(), plain.Close(), hidden.Close() })
	a.TCP, a.UDP = tcp.Addr().(*net.TCPAddr).Port, udp.LocalAddr().(*net.UDPAddr).Port

	a.Segment, err = unix.SysvShmGet(unix.IPC_PRIVATE, os.Getpagesize(), unix.IPC_CREAT|0o666)
	must(err)
	t.Cleanup(func() { _, _ = unix.SysvShmCtl(a.Segment, unix.IPC_RMID, nil) })
	segment, err := unix.SysvShmAttach(a.Segment, 0, 0)
	must(err)
	copy(segment, secret)
	must(unix.SysvShmDetach(segment))

	leak, err := unix.Open(a.Secret, unix.O_RDONLY, 0) // without O_CLOEXEC, as a library of the program may do
	must(err)
	a.Leaked, err = unix.FcntlInt(uintptr(leak), unix.F_DUPFD, 20)
	must(err)
	must(unix.Close(leak))
	t.Cleanup(func() { _ = unix.Close(a.Leaked) })

	named := domain(t)
	t.Cleanup(func() {
		if domain(t) != named {
			must(unix.Setdomainname([]byte(named)))
		}
	})
	t.Setenv("TROUPE_SECRET", secret)
	return a
}

// check looks at what attackers could have changed.
func (a *arena) check(t testing.TB) {
	t.Helper()
	if b, err := os.ReadFile(a.Secret); err != nil || string(b) != secret {
		t.Errorf("the secret is %q, %v", b, err)
	}
	found, err := os.ReadDir(a.Dir)
	if err != nil || len(found) != 5 {
		t.Errorf("the arena has %v, %v", found, err)
	}
	if n := a.mounts(t); n > 1 {
		t.Errorf("%d mounts in the arena", n)
	}
	if got := domain(t); got == a.Domain {
		t.Errorf("the machine is of domain %s", got)
	}
}

// mounts counts what is mounted in the arena.
func (a *arena) mounts(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), " "+a.Dir+"/mnt ")
}

func domain(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/domainname")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// withSibling starts another worker that keeps a secret in its memory, confined the same.
func withSibling(t testing.TB, prey *arena, without ...string) {
	t.Helper()
	r := newRigConfig(t, "", attackerConfig(t, lieStill, prey, without))
	prey.Sibling = r.worker(t, r.pretended(t)).PID()
}

// program is the smallest program there is. It exits with gotOut; if asks is set, only if it is not root.
func program(asks bool) []byte {
	const base, header = 0x400000, 64 + 56
	var code []byte
	switch runtime.GOARCH {
	case "amd64":
		if asks { // mov eax, geteuid; syscall; test eax, eax; jnz +10; mov eax, exit_group; syscall with status 0
			code = []byte{0xb8, 107, 0, 0, 0, 0x0f, 0x05, 0x85, 0xc0, 0x75, 0x09, 0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05}
		}
		code = append(code, 0xbf, gotOut, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05)
	case "arm64":
		words := []uint32{}
		if asks { // mov x8, geteuid; svc; cbnz x0, +12; mov x8, exit_group; svc
			words = []uint32{0xd28015e8, 0xd4000001, 0xb5000060, 0xd2800bc8, 0xd4000001}
		}
		for _, w := range append(words, 0xd2800000|gotOut<<5, 0xd2800bc8, 0xd4000001) {
			code = binary.LittleEndian.AppendUint32(code, w)
		}
	}
	machine := map[string]uint16{"amd64": 62, "arm64": 183}[runtime.GOARCH]
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	put([16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1})
	put([]uint16{2, machine})
	put(uint32(1))
	put([]uint64{base + header, 64, 0})
	put(uint32(0))
	put([]uint16{64, 56, 1, 0, 0, 0})
	put([]uint32{1, 5}) // a segment to load, readable and executable
	put([]uint64{0, base, base, header + uint64(len(code)), header + uint64(len(code)), 0x1000})
	b.Write(code)
	return b.Bytes()
}

//go:nocheckptr
func ptr(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

func bytesAt(p unsafe.Pointer, n int) []byte { return unsafe.Slice((*byte)(p), n) }
