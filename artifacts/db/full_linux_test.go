package db

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
)

// modeEnv makes the test binary one of the processes below, which work on a small file system of their own, in namespaces
// of their own: a signal that kills one is seen.
const modeEnv = "TROUPE_DB_TEST_MODE"

func TestMain(m *testing.M) {
	mode := map[string]func(dir string) error{"fill": fillDisk, "abrupt": fillAbruptly, "write": writeOn, "open": openOnce}[os.Getenv(modeEnv)]
	if mode == nil {
		os.Exit(m.Run())
	}
	if err := mode(os.Args[1]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(mode, dir string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	c := exec.Command(exe, dir)
	c.Env = append(os.Environ(), modeEnv+"="+mode)
	return c
}

// inNamespaces runs a mode where it may mount.
func inNamespaces(t *testing.T, mode string) {
	t.Helper()
	c := child(mode, t.TempDir())
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
	out, err := c.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		t.Skipf("missing: user and mount namespaces for this user (%v); run as root, or raise user.max_user_namespaces", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out[:min(len(out), 4000)])
	}
}

// TestFullDisk is R3 of the test programme on a real file system of 400 MiB.
func TestFullDisk(t *testing.T) { inNamespaces(t, "fill") }

// TestDiskFilledAtOnce has others fill the disk between two looks at it, while the host writes. The host may die of it;
// what it acknowledged is there when there is space again, without a hand on the directory.
func TestDiskFilledAtOnce(t *testing.T) { inNamespaces(t, "abrupt") }

func mount(dir, size string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return nil
}

// fill takes everything that is free.
func fill(filler string) error {
	f, err := os.Create(filler)
	if err != nil {
		return err
	}
	b := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(b)
	}
	for b = b[:512]; !errors.Is(err, syscall.ENOSPC) || len(b) > 1; b = b[:len(b)/2] {
		if _, err = f.Write(b); err == nil {
			err = syscall.ENOSPC
		}
	}
	return f.Close()
}

func acked(n int) Op {
	return Op{Key: fmt.Append(nil, "k", n), Value: bytes.Repeat([]byte{byte(n)}, MaxValue)}
}

// writeOn writes to both databases and says what is acknowledged, until it is refused.
func writeOn(path string) error {
	d, err := OpenDir(DirConfig{Path: path, BallastBytes: 8 << 20, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		for _, b := range []*DB{d.State, d.Cache} {
			if err := b.Write(context.Background(), acked(n)); err != nil {
				fmt.Println("refused", err)
				return nil // as by a kill
			}
		}
		fmt.Println("ack", n)
	}
}

// openOnce opens a directory; a refusal for want of space is what a full disk gives.
func openOnce(path string) error {
	d, err := OpenDir(DirConfig{Path: path, BallastBytes: 8 << 20, Log: zerolog.Nop()})
	if errors.Is(err, fault.HostDiskFull) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.Close()
}

func fillAbruptly(dir string) error {
	if err := mount(dir, "400m"); err != nil {
		return err
	}
	path, filler := filepath.Join(dir, "data"), filepath.Join(dir, "other-user")
	for round := range 5 {
		w := child("write", path)
		out, err := w.StdoutPipe()
		if err != nil {
			return err
		}
		if err := w.Start(); err != nil {
			return err
		}
		last := -1
		for lines := bufio.NewScanner(out); lines.Scan(); {
			verb, rest, _ := strings.Cut(lines.Text(), " ")
			if verb == "error:" {
				return fmt.Errorf("round %d: the writer says %q", round, lines.Text())
			}
			if verb != "ack" {
				continue
			}
			if last, err = strconv.Atoi(rest); err != nil {
				return err
			}
			if last == 20+7*round {
				if err := fill(filler); err != nil {
					return err
				}
			}
		}
		_ = w.Wait() // refused, or dead
		if out, err := child("open", path).CombinedOutput(); err != nil {
			return fmt.Errorf("round %d: start on the full disk: %w\n%s", round, err, out)
		}
		if err := os.Remove(filler); err != nil {
			return err
		}
		d, err := OpenDir(DirConfig{Path: path, Log: zerolog.Nop()})
		if err != nil {
			return fmt.Errorf("round %d: start with space: %w", round, err)
		}
		for _, b := range []*DB{d.State, d.Cache} {
			for n := range last + 1 {
				want := acked(n)
				err := b.Get(want.Key, func(v []byte) error {
					if !bytes.Equal(v, want.Value) {
						return errors.New("wrong bytes")
					}
					return nil
				})
				if err != nil {
					return fmt.Errorf("round %d: acknowledged write %d of %d to %s: %w", round, n, last, b.path, err)
				}
			}
			if err := b.Drop([]byte("k")); err != nil {
				return err
			}
		}
		if err := d.Close(); err != nil {
			return err
		}
	}
	return nil
}

func fillDisk(dir string) error {
	if err := mount(dir, "400m"); err != nil {
		return err
	}
	filler := filepath.Join(dir, "other-user")
	cfg := DirConfig{Path: filepath.Join(dir, "data"), BallastBytes: 8 << 20, Log: zerolog.Nop()}
	d, err := OpenDir(cfg)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	n := 0
	for ; ; n++ { // our own writes stop before the disk is full
		if err = d.Cache.Write(context.Background(), Op{Key: fmt.Append(nil, "k", n), Value: make([]byte, MaxValue)}); err != nil {
			break
		}
		if n > 4000 {
			return errors.New("the guard never stopped our writes")
		}
	}
	if !errors.Is(err, fault.BusyDisk) || n < 50 {
		return fmt.Errorf("our own writes ended after %d with %w", n, err)
	}
	if free, err := freeBytes(dir); err != nil || free < 32<<20 {
		return fmt.Errorf("our own writes left %d bytes free (%w)", free, err)
	}
	// A compaction that is under way when others fill the disk cannot be helped; the ones of our own making can.
	if err := d.Cache.b.Flatten(1); err != nil {
		return err
	}
	if err := fill(filler); err != nil { // others fill the rest
		return fmt.Errorf("fill: %w", err)
	}
	if _, err := d.Space.Poll(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(cfg.Path, ballastFile)); err == nil {
		return errors.New("the ballast was not given up")
	}
	if err := d.State.Write(context.Background(), Op{Key: []byte("k")}); !errors.Is(err, fault.BusyDisk) {
		return fmt.Errorf("write on a full disk: %w", err)
	}
	for i := range n { // what is there can still be read
		if err := d.Cache.Get(fmt.Append(nil, "k", i), func([]byte) error { return nil }); err != nil {
			return fmt.Errorf("read %d: %w", i, err)
		}
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	if err := d.Cache.Remove(context.Background(), []byte("k0")); err != nil {
		return fmt.Errorf("removal after space came back: %w", err)
	}
	if err := d.Cache.Drop([]byte("k1")); err != nil { // what the pruner does
		return fmt.Errorf("drop after space came back: %w", err)
	}
	if err := d.State.Write(context.Background(), Op{Key: []byte("k"), Value: []byte("v")}); err != nil {
		return fmt.Errorf("write after recovery: %w", err)
	}
	if err := d.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return startOnFullDisk(cfg, filler)
}

// startOnFullDisk shows that a start on a full disk is refused by name, and that the next one works.
func startOnFullDisk(cfg DirConfig, filler string) error {
	if err := fill(filler); err != nil {
		return err
	}
	if _, err := OpenDir(cfg); !errors.Is(err, fault.HostDiskFull) {
		return fmt.Errorf("start on a full disk: %w", err)
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	d, err := OpenDir(cfg)
	if err != nil {
		return fmt.Errorf("start after space came back: %w", err)
	}
	if err := d.State.Write(context.Background(), Op{Key: []byte("again"), Value: []byte("v")}); err != nil {
		return fmt.Errorf("write after the new start: %w", err)
	}
	return d.Close()
}
