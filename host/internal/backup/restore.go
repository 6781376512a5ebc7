package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/db/failpoint"
)

// stateFile is how the database of a data directory is called in a backup; one of a directory below has that before it.
const stateFile = "state.db"

// StateFile is the name of the database of a directory; "" is the data directory itself.
func StateFile(dir string) string {
	if dir == "" {
		return stateFile
	}
	return dir + "/" + stateFile
}

// Restore makes a data directory of a backup. edit, which may be nil, changes the restored state before it is given its name.
//
// # Errors
//
// caller.invalid_request, caller.conflict, host.data_dir_newer, host.data_dir_unwritable, host.disk_*, busy.disk_space, canceled.*.
func Restore(ctx context.Context, r io.Reader, dir string, edit func(ctx context.Context, m Manifest, state *db.DB) error) (rep Report, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return rep, fault.New(fault.CallerInvalid, "restore", fault.Quote(dir), err)
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if err := free(dir); err != nil {
		return rep, err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return rep, diskFault("make", parent, err)
	}
	if err := sweep(parent, besideOf(dir)); err != nil {
		return rep, err
	}
	w, err := newWorkplace(parent, besideOf(dir))
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	if rep, err = w.fill(ctx, r); err != nil {
		return rep, err
	}
	if edit != nil {
		if err := w.edit(ctx, rep.Manifest, edit); err != nil {
			return rep, err
		}
	}
	if err := syncTree(w.data()); err != nil {
		return rep, diskFault("sync", dir, err)
	}
	failpoint.Hit("restore.before", "backup")
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return rep, fault.New(fault.CallerConflict, "restore", fault.Quote(dir), err).
			WithHint("the directory is in use, or a mount point: name one below it")
	}
	if err := os.Rename(w.data(), dir); err != nil {
		if errors.Is(err, fs.ErrExist) { // somebody made it meanwhile
			return rep, notEmpty(dir)
		}
		return rep, diskFault("rename", dir, err)
	}
	failpoint.Hit("restore.after", "backup")
	return rep, syncDir(parent)
}

// Verify reads a backup and restores it for a trial in a directory below beside, which it removes again.
//
// # Errors
//
// As Restore.
func Verify(ctx context.Context, r io.Reader, beside string) (rep Report, err error) {
	w, err := newWorkplace(beside, trialPattern)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	return w.fill(ctx, r)
}

// Check reads a backup and checks all hashes of it; it writes nothing.
//
// # Errors
//
// caller.invalid_request, host.data_dir_newer, canceled.*, and those of r.
func Check(ctx context.Context, r io.Reader) (Report, error) { return read(ctx, r, nowhere{}) }

// Sweep removes the trials that a crash left in a directory.
func Sweep(dir string) error { return sweep(dir, trialPattern) }

const trialPattern = ".backup-trial-"

func besideOf(dir string) string { return "." + filepath.Base(dir) + ".restore-" }

// free refuses a directory that has something in it.
func free(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return diskFault("look at", dir, err)
	case len(entries) > 0:
		return notEmpty(dir)
	}
	return nil
}

func notEmpty(dir string) error {
	return fault.New(fault.CallerConflict, "restore", fault.Quote(dir), errors.New("the directory is not empty")).
		WithHint("name a directory that is empty or missing; move the old one away first, and keep it until the new one has proved itself")
}

func diskFault(op, path string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	code := fault.HostDiskIO
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		code = fault.HostDataDir
	case isFull(err):
		code = fault.HostDiskFull
	}
	return fault.New(code, op, fault.Quote(path), err)
}

// sweep removes workplaces whose process has ended.
func sweep(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return diskFault("sweep", dir, err)
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		release, err := db.Claim(path)
		if err != nil {
			continue // somebody is at work there
		}
		err = os.RemoveAll(path)
		if err = errors.Join(err, release()); err != nil {
			return diskFault("sweep", path, err)
		}
	}
	return nil
}

// workplace is where a directory is made.
type workplace struct {
	dir     string
	release func() error
	about   Manifest
	homes   []*home // of databases
}

func newWorkplace(parent, prefix string) (*workplace, error) {
	dir, err := os.MkdirTemp(parent, prefix) // mode 0700
	if err != nil {
		return nil, diskFault("make", parent, err)
	}
	w := &workplace{dir: dir}
	if w.release, err = db.Claim(dir); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	if err := os.Mkdir(w.data(), 0o700); err != nil {
		return nil, errors.Join(diskFault("make", dir, err), w.remove())
	}
	return w, nil
}

func (w *workplace) data() string { return filepath.Join(w.dir, "data") }

func (w *workplace) remove() error {
	err := os.RemoveAll(w.dir)
	if err = errors.Join(err, w.release()); err != nil {
		return diskFault("remove", w.dir, err)
	}
	return nil
}

// fill restores a backup, and opens what it made once more to compare it.
func (w *workplace) fill(ctx context.Context, r io.Reader) (rep Report, err error) {
	defer func() {
		for _, h := range w.homes {
			if h.open != nil {
				err = errors.Join(err, h.open.Close())
			}
		}
	}()
	if rep, err = read(ctx, r, &into{w, ctx}); err != nil {
		return rep, err
	}
	found := 0
	for _, f := range rep.Manifest.Files {
		if !f.Database {
			continue
		}
		found++
		if err := w.compare(ctx, f); err != nil {
			return rep, err
		}
	}
	if found != len(w.homes) || found == 0 {
		return rep, damaged("", errors.New("a database is missing"))
	}
	return rep, nil
}

// compare opens a restored database as a host does: it must have what was saved.
func (w *workplace) compare(ctx context.Context, f File) (err error) {
	d, err := w.openDir(filepath.Dir(filepath.FromSlash(f.Name)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	s, err := d.State.Snapshot()
	if err != nil {
		return err
	}
	defer s.Close()
	sum := sha256.New()
	keys, err := s.Write(ctx, sum)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 || keys != f.Keys {
		return fault.New(fault.HostDiskIO, "verify backup", f.Name, fmt.Errorf("restored it has %d keys with the hash %.16s, and %d with %.16s were saved", keys, got, f.Keys, f.SHA256))
	}
	return nil
}

func (w *workplace) openDir(at string) (*db.Dir, error) {
	return db.OpenDir(db.DirConfig{Path: filepath.Join(w.data(), at), StateOnly: true, AsIs: true, Owner: db.Owner{PID: os.Getpid(), Kind: "restore"}, Log: zerolog.Nop()})
}

func (w *workplace) edit(ctx context.Context, m Manifest, edit func(context.Context, Manifest, *db.DB) error) (err error) {
	d, err := w.openDir(".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := edit(ctx, m, d.State); err != nil {
		return err
	}
	return d.State.Sync(ctx)
}

// into is the sink of a workplace.
type into struct {
	*workplace
	ctx context.Context
}

func (w *into) begin(m Manifest) error {
	w.about = m
	return nil
}

func (w *into) open(name string) (io.WriteCloser, error) {
	path := filepath.Join(w.data(), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, diskFault("make", path, err)
	}
	if filepath.Base(path) == stateFile {
		d, err := w.openDir(filepath.Dir(filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		h := &home{open: d, loader: db.NewLoader(w.ctx, d.State)}
		w.homes = append(w.homes, h)
		return h, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, diskFault("write", path, err)
	}
	return &small{f: f}, nil
}

// home is a database that is being filled.
type home struct {
	open   *db.Dir
	loader *db.Loader
}

// Write implements io.Writer.
func (h *home) Write(p []byte) (int, error) { return h.loader.Write(p) }

// Close has it on disk.
func (h *home) Close() error {
	_, err := h.loader.Close()
	d := h.open
	h.open = nil
	return errors.Join(err, d.Close())
}

// small is a small file.
type small struct {
	f *os.File
	n int
}

// Write implements io.Writer.
func (s *small) Write(p []byte) (int, error) {
	if s.n += len(p); s.n > maxSmall {
		return 0, errors.New("a file is larger than any of a backup")
	}
	n, err := s.f.Write(p)
	if err != nil {
		err = diskFault("write", s.f.Name(), err)
	}
	return n, err
}

// Close implements io.Closer.
func (s *small) Close() error { return s.f.Close() }

// nowhere is the sink of who only reads.
type nowhere struct{}

func (nowhere) begin(Manifest) error                { return nil }
func (nowhere) open(string) (io.WriteCloser, error) { return nowhere{}, nil }
func (nowhere) Write(p []byte) (int, error)         { return len(p), nil }
func (nowhere) Close() error                        { return nil }

// syncTree has all files and directories on disk, for this user alone: Badger lets others read, behind a directory that does not.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() && !e.IsDir() {
			return err
		}
		if e.Type().IsRegular() {
			if err := os.Chmod(path, 0o600); err != nil {
				return err
			}
		}
		return syncDir(path)
	})
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
