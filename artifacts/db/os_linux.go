package db

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
)

// checkDir refuses what is not a directory, and one in which another user could put what this one then runs.
func checkDir(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return dirFault("open", path, err)
	}
	defer f.Close()
	return checkOwner(f)
}

// checkOwner refuses a file that another user owns or may write. The access that a mask grants to others by an ACL is in
// the bits of the group.
func checkOwner(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return dirFault("look at", f.Name(), err)
	}
	switch {
	case int(st.Uid) != os.Geteuid():
		return untrusted(f.Name(), fmt.Sprintf("it belongs to user %d", st.Uid))
	case st.Mode&0o022 != 0:
		return untrusted(f.Name(), fmt.Sprintf("its mode %#o lets others write", st.Mode&0o7777))
	}
	return nil
}

// openFile opens a file, which it makes with mode 0600, without a look at where a planted symlink leads and without
// waiting for the writer of a planted pipe.
func openFile(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
}

// openOwn opens a file that belongs to this user alone.
func openOwn(path string, flag int) (*os.File, error) {
	f, err := openFile(path, flag)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, untrusted(path, "it is a symbolic link")
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil:
		return nil, dirFault("open", path, err)
	}
	st, err := f.Stat()
	switch {
	case err != nil:
		err = dirFault("look at", path, err)
	case !st.Mode().IsRegular():
		err = untrusted(path, "it is not a file")
	default:
		err = checkOwner(f)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := openOwn(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for n := 0; n < lockTries && errors.Is(err, unix.EWOULDBLOCK); n++ {
		<-time.After(lockPause)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault.New(fault.HostDataDirLocked, "open", dir, nil)
		}
		return nil, dirFault("lock", path, err)
	}
	// The second lock is there to be asked for: a flock can only be tried, which would get in the way of an opener.
	_ = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	return f, nil
}

// A process that was killed may have left a child between fork and exec, which has the lock for a moment longer.
const (
	lockTries = 10
	lockPause = 10 * time.Millisecond
)

// unlockDir gives a directory up, whoever else has the descriptor: a child between fork and exec does.
func unlockDir(f *os.File) error {
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	return f.Close()
}

// held reports whether somebody holds the lock file f; in doubt it is held.
func held(f *os.File) bool {
	l := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) != nil || l.Type != unix.F_UNLCK
}

func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, os.NewSyscallError("statfs", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

func allocate(path string, n int64) error {
	f, err := openFile(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, n), f.Close())
}

// blocks sums the allocated blocks of the files under dir; a file that vanishes meanwhile counts nothing.
func blocks(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && !e.IsDir() && unix.Lstat(path, &st) == nil {
			n += st.Blocks * 512
		}
		return nil
	})
	return n
}

// syncData returns when the content of a file is on disk, and what is needed to find it.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
