package keys

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/troupehost/troupe/actors/fault"
)

// Memory is a store that ends with the process. The zero value is empty.
type Memory struct{ kept []byte }

// Load implements Store.
func (m *Memory) Load() ([]byte, error) {
	if m.kept == nil {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(m.kept), nil
}

// Save implements Store.
func (m *Memory) Save(b []byte) error {
	m.kept = bytes.Clone(b)
	return nil
}

// file is a Store.
type file string

// File is the store of one file, which only its owner may read. The folder must exist.
func File(path string) Store { return file(path) }

// Load implements Store.
func (f file) Load() ([]byte, error) {
	r, err := os.Open(string(f))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		return nil, f.fault("read", err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, f.fault("read", err)
	}
	return b, nil
}

// Save implements Store.
func (f file) Save(b []byte) error {
	dir := filepath.Dir(string(f))
	w, err := os.CreateTemp(dir, filepath.Base(string(f))+".*.tmp") // only its owner may read it
	if err != nil {
		return f.fault("write", err)
	}
	_, err = w.Write(b)
	err = errors.Join(err, w.Sync(), w.Close())
	if err == nil {
		err = os.Rename(w.Name(), string(f))
	}
	if err != nil {
		_ = os.Remove(w.Name())
		return f.fault("write", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return f.fault("write", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return f.fault("write", err)
	}
	return nil
}

func (f file) fault(op string, err error) error {
	code := fault.HostDiskIO
	switch {
	case errors.Is(err, syscall.ENOSPC):
		code = fault.HostDiskFull
	case errors.Is(err, os.ErrPermission), errors.Is(err, os.ErrNotExist):
		code = fault.HostDataDir
	}
	return fault.New(code, op+" the worker key", string(f), err)
}
