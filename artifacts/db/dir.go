package db

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db/failpoint"
)

// FormatVersion is the version of the data directory. A newer one is refused.
const FormatVersion = 1

// Names in the data directory.
const (
	versionFile = "VERSION"
	writerFile  = "WRITER"
	lockFile    = "LOCK"
	keyFile     = "host.key"
	ballastFile = "ballast"
	cacheDir    = "cache"
	stateDir    = "state"
)

// DirConfig says how to open a data directory.
type DirConfig struct {
	Path         string
	Owner        Owner  // what another process learns
	BallastBytes int64  // 0: none
	ReserveBytes int64  // free space below which writes stop; default 128 MiB
	StateOnly    bool   // without the database "cache": Dir.Cache is nil
	Version      string // of the program, for who cannot read what it writes; "": it is not told
	AsIs         bool   // an older directory keeps its format: what is there is moved, and not understood
	FS           FS
	Log          zerolog.Logger
}

const defaultReserve = 128 << 20

// Owner is who holds a data directory.
type Owner struct {
	PID    int    `json:"pid"`
	Kind   string `json:"kind"` // serve, run, embed
	Socket string `json:"socket,omitempty"`
}

// Dir is an open data directory.
type Dir struct {
	Cache   *DB
	State   *DB
	Space   *Space
	HostKey []byte         // keys the MACs of artifacts
	Notes   []*fault.Error // what an operator should know of the start

	lock *os.File
}

// OpenDir opens or makes a data directory, and holds it until Close.
//
// # Errors
//
// host.data_dir_unwritable, host.data_dir_untrusted, host.data_dir_newer, host.data_dir_locked, host.data_dir_corrupt,
// host.disk_full, host.disk_io, host.unsupported.
func OpenDir(cfg DirConfig) (_ *Dir, err error) {
	if cfg.ReserveBytes == 0 {
		cfg.ReserveBytes = defaultReserve
	}
	cfg.FS = cfg.FS.withDefaults()
	if err := os.MkdirAll(cfg.Path, 0o700); err != nil {
		return nil, dirFault("make", cfg.Path, err)
	}
	if err := CheckDir(cfg.Path); err != nil {
		return nil, err
	}
	d := &Dir{}
	d.Space = &Space{fs: cfg.FS, dir: cfg.Path, reserve: cfg.ReserveBytes,
		ballast: &ballast{path: filepath.Join(cfg.Path, ballastFile), size: cfg.BallastBytes, fs: cfg.FS}}
	defer func() {
		if err != nil {
			_ = d.Close()
		}
	}()
	if d.lock, err = lockDir(cfg.Path); err != nil {
		return nil, err
	}
	if err := sweepUnfinished(cfg.Path); err != nil {
		return nil, err
	}
	version, err := readVersion(cfg.Path)
	if err != nil {
		return nil, err
	}
	if err := d.makeRoom(cfg); err != nil {
		return nil, err
	}
	if !cfg.AsIs || version == 0 {
		if err := migrate(cfg, version, migrations()); err != nil {
			return nil, err
		}
	}
	if err := writeOwner(d.lock, cfg.Owner); err != nil {
		return nil, dirFault("write", cfg.Path, err)
	}
	if err := signDir(cfg); err != nil {
		return nil, err
	}
	if d.HostKey, err = hostKey(cfg); err != nil {
		return nil, err
	}
	state := filepath.Join(cfg.Path, stateDir)
	if d.State, err = openDB(state, false, d.Space, cfg.Log); err != nil {
		if !damage(err) {
			return nil, err
		}
		return nil, fault.New(fault.HostDataDirCorrupt, "open", state, err)
	}
	if !cfg.StateOnly {
		if err := d.openCache(cfg); err != nil {
			return nil, err
		}
	}
	d.Space.ballast.make()
	if _, err := d.Space.Poll(); err != nil {
		return nil, dirFault("look at", cfg.Path, err)
	}
	return d, nil
}

// CheckDir looks at a directory as OpenDir does before it opens a file there. One that OpenDir would make is fine.
//
// # Errors
//
// host.data_dir_unwritable, host.data_dir_untrusted, host.unsupported.
func CheckDir(path string) error {
	for _, sub := range []string{"", stateDir, cacheDir} {
		if err := checkDir(filepath.Join(path, sub)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// makeRoom refuses to open the databases when what Badger writes at once may not fit: its logs become tables, which are
// merged with others, through maps, and a page that cannot be had is a signal that kills the process. The ballast goes
// first.
func (d *Dir) makeRoom(cfg DirConfig) error {
	var logs int64
	for _, sub := range []string{stateDir, cacheDir} {
		err := each(filepath.Join(cfg.Path, sub), "*.mem", func(path string) error {
			logs += blocks(path)
			return nil
		})
		if err != nil {
			return dirFault("look at", cfg.Path, err)
		}
	}
	need := cfg.ReserveBytes/2 + 2*logs
	d.Space.ballast.look()
	free, err := cfg.FS.Free(cfg.Path)
	if err == nil && free < need {
		d.Space.ballast.drop()
		free, err = cfg.FS.Free(cfg.Path)
	}
	if err != nil {
		return dirFault("look at", cfg.Path, err)
	}
	if free < need {
		return fault.New(fault.HostDiskFull, "open", cfg.Path, nil).
			WithHint(fmt.Sprintf("%d MiB are free and %d MiB are needed to open the databases safely: free some space and start again", free>>20, need>>20))
	}
	return nil
}

// damage tells damaged files from a disk that does not work now.
func damage(err error) bool {
	return !errors.Is(err, fault.HostDiskFull) && !errors.Is(err, fault.HostDataDir) && !means(err, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM)
}

// openCache opens the database that may be lost: damaged tables are dropped, or all of it if nothing else helps. What was
// there is prepared again.
func (d *Dir) openCache(cfg DirConfig) (err error) {
	path := filepath.Join(cfg.Path, cacheDir)
	if d.Cache, err = openDB(path, true, d.Space, cfg.Log); err != nil {
		if !damage(err) {
			return err
		}
		d.noteDamage(cfg, path, "the artifact cache was damaged and has been dropped", err)
		if err := os.RemoveAll(path); err != nil {
			return dirFault("drop", path, err)
		}
		d.Cache, err = openDB(path, true, d.Space, cfg.Log)
		return err
	}
	if d.Cache.lost > 0 {
		d.noteDamage(cfg, path, "damaged tables of the artifact cache have been dropped", fmt.Errorf("%d tables", d.Cache.lost))
	}
	return nil
}

func (d *Dir) noteDamage(cfg DirConfig, path, what string, err error) {
	cfg.Log.Warn().Err(err).Msg(what)
	d.Notes = append(d.Notes, fault.New(fault.HostArtifactCorrupt, "open", path, err).
		WithHint(what+"; code is prepared again when it is needed; check the disk if this repeats"))
}

// Close closes the databases and gives the directory up. When there is not even room to close them they are left as
// they are, as by a crash, which loses nothing; the directory then stays locked until the process ends.
func (d *Dir) Close() error {
	var errs []error
	for _, b := range []*DB{d.Cache, d.State} {
		if b == nil {
			continue
		}
		if err := d.Space.admitRemoval(); errors.Is(err, fault.BusyDisk) {
			return errors.Join(append(errs, fault.New(fault.HostDiskFull, "close", b.path, err))...)
		}
		errs = append(errs, b.close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Truncate(0), unlockDir(d.lock))
	}
	return errors.Join(errs...)
}

func dirFault(op, path string, err error) error {
	switch {
	case means(err, syscall.ENOSPC, syscall.EDQUOT):
		return fault.New(fault.HostDiskFull, op, path, err)
	case means(err, syscall.EIO):
		return fault.New(fault.HostDiskIO, op, path, err)
	}
	return fault.New(fault.HostDataDir, op, path, err)
}

// readVersion returns the format of a directory, 0 for a new one.
func readVersion(dir string) (int, error) {
	path := filepath.Join(dir, versionFile)
	b, err := readOwn(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || v < 1 {
		return 0, fault.New(fault.HostDataDirCorrupt, "read", path, errors.New("not a version number")).
			WithHint(fmt.Sprintf("choose another --data-dir if this is not one of troupe; if it is, restore this file from a backup: the current version is %d", FormatVersion))
	}
	if v > FormatVersion {
		return 0, newer(dir, v)
	}
	return v, nil
}

// migrations returns the steps from each version to the next, the first one from version 1 to 2. They work on the
// directory before a database is open. The cache needs none: what a step does not understand it removes.
func migrations() []func(dir string) error { return nil }

// migrate leads an older directory up to the version after the last step, after a copy of all that cannot be made again;
// a new one gets that version at once. The version is written last, so that a migration that broke off begins again.
func migrate(cfg DirConfig, version int, steps []func(dir string) error) error {
	now := len(steps) + 1
	if version == now {
		return nil
	}
	if version > 0 {
		if err := copyBefore(cfg, version, filepath.Join(cfg.Path, fmt.Sprintf("%s%d", copyPrefix, now))); err != nil {
			return err
		}
		for _, step := range steps[version-1:] {
			if err := step(cfg.Path); err != nil {
				return dirFault("migrate", cfg.Path, err)
			}
		}
	}
	path := filepath.Join(cfg.Path, versionFile)
	if err := cfg.FS.WriteFile(path, fmt.Appendln(nil, now)); err != nil {
		return dirFault("write", path, err)
	}
	return nil
}

// hostKey reads the host's own key, or makes one: with a new key every stored artifact is a miss.
func hostKey(cfg DirConfig) ([]byte, error) {
	path := filepath.Join(cfg.Path, keyFile)
	b, err := readOwn(path)
	if err == nil && len(b) == 32 {
		return b, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	b = make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	if err := cfg.FS.WriteFile(path, b); err != nil {
		return nil, dirFault("write", path, err)
	}
	return b, nil
}

// readOwn reads a small file that only this user can have written.
func readOwn(path string) ([]byte, error) {
	f, err := openOwn(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, dirFault("read", path, err)
	}
	return b, nil
}

func untrusted(path, why string) error {
	return fault.New(fault.HostDataDirTrust, "open", path, errors.New(why))
}

// sweepUnfinished removes the small files that a crash kept from getting their names.
func sweepUnfinished(dir string) error {
	for base, names := range map[string][]string{dir: {versionFile, writerFile, keyFile}, filepath.Join(dir, stateDir): {markFile}, filepath.Join(dir, cacheDir): {markFile}} {
		for _, name := range names {
			if err := each(base, unfinished(name), os.Remove); err != nil {
				return dirFault("sweep", base, err)
			}
		}
	}
	return nil
}

// unfinished is the pattern of a file that is to get a name.
func unfinished(name string) string { return "." + name + "-*" }

// writeFile writes a file of mode 0600 so that it is there whole or not at all.
func writeFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished(filepath.Base(path)))
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	failpoint.Hit("file.before", filepath.Base(path))
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	failpoint.Hit("file.after", filepath.Base(path))
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func writeOwner(lock *os.File, o Owner) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err = lock.WriteAt(append(b, '\n'), 0)
	return err
}

// ReadOwner tells who holds a directory, if somebody does and has said so.
func ReadOwner(dir string) (Owner, bool) {
	f, err := openFile(filepath.Join(dir, lockFile), os.O_RDONLY)
	if err != nil {
		return Owner{}, false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	var o Owner
	if err != nil || json.Unmarshal(b, &o) != nil || o.PID == 0 || !held(f) {
		return Owner{}, false
	}
	return o, true
}
