package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
)

// fullEnv marks the test binary as the process that fills a small file system of its own, in namespaces of its own: a
// signal that kills it is a failed test.
var ctx = context.Background()

const fullEnv = "TROUPE_DB_TEST_FULL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(fullEnv); dir != "" {
		if err := fillDisk(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestFullDisk is R3 of the test programme on a real file system of 400 MiB.
func TestFullDisk(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), fullEnv+"="+t.TempDir())
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
	out, err := c.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("this machine does not let a process make user and mount namespaces")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func fillDisk(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=400m"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	filler := filepath.Join(dir, "other-user")
	fill := func() error { // everything that is free
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
	cfg := DirConfig{Path: filepath.Join(dir, "data"), BallastBytes: 8 << 20, Log: zerolog.Nop()}
	d, err := OpenDir(cfg)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	n := 0
	for ; ; n++ { // our own writes stop before the disk is full
		if err = d.Cache.Write(ctx, Op{Key: fmt.Append(nil, "k", n), Value: make([]byte, MaxValue)}); err != nil {
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
	if err := d.Cache.Compact(); err != nil {
		return err
	}
	if err := fill(); err != nil { // others fill the rest
		return fmt.Errorf("fill: %w", err)
	}
	if _, err := d.Space.Poll(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(cfg.Path, ballastFile)); err == nil {
		return errors.New("the ballast was not given up")
	}
	if err := d.State.Write(ctx, Op{Key: []byte("k")}); !errors.Is(err, fault.BusyDisk) {
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
	if err := d.Cache.Remove(ctx, []byte("k0")); err != nil {
		return fmt.Errorf("removal after space came back: %w", err)
	}
	if err := d.State.Write(ctx, Op{Key: []byte("k"), Value: []byte("v")}); err != nil && !errors.Is(err, fault.BusyDisk) {
		return fmt.Errorf("write after recovery: %w", err)
	}
	if err := d.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return startOnFullDisk(cfg, filler, fill)
}

// startOnFullDisk shows that a start on a full disk is refused by name, and that the next one works.
func startOnFullDisk(cfg DirConfig, filler string, fill func() error) error {
	if err := fill(); err != nil {
		return err
	}
	if _, err := OpenDir(cfg); !errors.Is(err, fault.HostDiskFull) {
		return fmt.Errorf("start on a full disk: %w", err)
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(cfg.Path, cacheDir)); err != nil { // what an operator may do
		return err
	}
	d, err := OpenDir(cfg)
	if err != nil {
		return fmt.Errorf("start after space came back: %w", err)
	}
	if err := d.State.Write(ctx, Op{Key: []byte("again"), Value: []byte("v")}); err != nil {
		return fmt.Errorf("write after the new start: %w", err)
	}
	return d.Close()
}
