package pool

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/wire"
)

const selfPath = "/proc/self/exe"

// Locate finds the worker program: the one at path if that is not empty, else this executable if its main hands over to
// worker.Main, else troupe-worker beside this executable.
//
// # Errors
//
// host.worker_missing.
func Locate(path string) (string, error) {
	if path == "" && wire.SelfRegistered() {
		return selfPath, nil
	}
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", notFound("find worker", "", err)
		}
		path = filepath.Join(filepath.Dir(self), wire.Arg0)
	}
	st, err := os.Stat(path)
	if err == nil && (!st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0) {
		err = worded("not an executable file")
	}
	if err != nil {
		return "", notFound("find worker", path, err)
	}
	return path, nil
}

// notFound says why there is no worker program, and what to do about it where that is not to install one.
func notFound(what, path string, err error) *fault.Error {
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return fault.New(fault.HostSpawnFailed, what, path, err).WithHint(hintOpenFiles)
	}
	f := fault.New(fault.HostWorkerMissing, what, path, err)
	switch {
	case path == "": // who this executable is stands in procfs
		f = f.WithHint(hintProc)
	case errors.Is(err, unix.EACCES):
		f = f.WithHint("let this user read and execute the worker program and its directories")
	}
	return f
}

const hintProc = "mount procfs at /proc: the worker program is found and started by its name there"

// hintOpenFiles is for a limit that leaves no number from lowestDup on.
const hintOpenFiles = "raise the limit on open files (ulimit -n): a host needs some more than 100"

// openProgram opens the worker program for execution by descriptor: whatever happens to its path later, this is what
// runs. A number of lowestDup or more keeps it apart from what fork moves about.
func openProgram(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, notFound("open worker", path, err)
	}
	if fd, err = raise(fd); err != nil {
		return nil, fault.New(fault.HostSpawnFailed, "open worker", path, err).WithHint(hintOpenFiles)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// programOf says which file was opened at path. This executable is known by its own path: that of /proc always leads to the
// file that runs.
func programOf(exe *os.File, path string) (Program, error) {
	var err error
	if path == selfPath {
		path, err = os.Executable()
	} else {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return Program{}, fault.New(fault.HostWorkerMissing, "find worker", path, err)
	}
	st, err := exe.Stat()
	if err != nil {
		return Program{}, fault.New(fault.HostWorkerMissing, "open worker", path, err)
	}
	return Program{Path: path, File: st}, nil
}
