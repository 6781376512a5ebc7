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
)

// FormatVersion is the version of the data directory. A newer one is refused.
const FormatVersion = 1

// Names in the data directory.
const (
	versionFile = "VERSION"
	lockFile    = "LOCK"
	keyFile     = "host.key"
	ballastFile = "ballast"
	cacheDir    = "cache"
	stateDir    = "state"
)

// DirConfig says how to open a data directory.
type DirConfig struct {
	Path         string
	Owner        Owner // what another process learns
	BallastBytes int64 // 0: none
	ReserveBytes int64 // free space below which writes stop; default 128 MiB
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
func OpenDir(cfg DirConfig) (_ *Dir, err error) {
	if cfg.ReserveBytes == 0 {
		cfg.ReserveBytes = defaultReserve
	}
	cfg.FS = cfg.FS.withDefaults()
	if err := os.MkdirAll(cfg.Path, 0o700); err != nil {
		return nil, dirFault("make", cfg.Path, err)
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
	if err := d.makeRoom(cfg); err != nil {
		return nil, err
	}
	if err := checkVersion(cfg.Path); err != nil {
		return nil, err
	}
	if err := writeOwner(d.lock, cfg.Owner); err != nil {
		return nil, dirFault("write", cfg.Path, err)
	}
	if d.HostKey, err = hostKey(filepath.Join(cfg.Path, keyFile)); err != nil {
		return nil, err
	}
	if d.State, err = openDB(filepath.Join(cfg.Path, stateDir), true, stateTable, d.Space, cfg.Log); err != nil {
		if errors.Is(err, fault.HostDiskFull) || errors.Is(err, fault.HostDataDir) {
			return nil, err
		}
		return nil, fault.New(fault.HostDataDirCorrupt, "open", filepath.Join(cfg.Path, stateDir), err)
	}
	if err := d.openCache(cfg); err != nil {
		return nil, err
	}
	d.Space.ballast.make()
	if _, err := d.Space.Poll(); err != nil {
		return nil, dirFault("look at", cfg.Path, err)
	}
	return d, nil
}

// makeRoom refuses to open the databases when what they map at once may not fit: a page that cannot be had is a signal
// that kills the process. The ballast goes first.
func (d *Dir) makeRoom(cfg DirConfig) error {
	free, err := cfg.FS.Free(cfg.Path)
	if err == nil && free < cfg.ReserveBytes {
		d.Space.ballast.drop()
		free, err = cfg.FS.Free(cfg.Path)
	}
	if err != nil {
		return dirFault("look at", cfg.Path, err)
	}
	if free < cfg.ReserveBytes/2 {
		return fault.New(fault.HostDiskFull, "open", cfg.Path, nil).
			WithHint(fmt.Sprintf("%d MiB are free and %d MiB are needed to open the databases safely: free some space and start again", free>>20, cfg.ReserveBytes>>21))
	}
	return nil
}

// openCache opens the database that may be lost; if it does not open it is dropped, and everything is prepared again.
func (d *Dir) openCache(cfg DirConfig) (err error) {
	path := filepath.Join(cfg.Path, cacheDir)
	if d.Cache, err = openDB(path, false, memTable, d.Space, cfg.Log); err == nil {
		return nil
	}
	if errors.Is(err, fault.HostDiskFull) || errors.Is(err, fault.HostDataDir) {
		return err
	}
	note := fault.New(fault.HostArtifactCorrupt, "open", path, err).WithHint("the artifact cache was damaged and has been dropped; code is prepared again when it is needed")
	d.Notes = append(d.Notes, note)
	cfg.Log.Warn().Err(err).Msg("the artifact cache is damaged: dropped")
	if err := os.RemoveAll(path); err != nil {
		return dirFault("drop", path, err)
	}
	d.Cache, err = openDB(path, false, memTable, d.Space, cfg.Log)
	return err
}

// Close closes the databases and gives the directory up.
func (d *Dir) Close() error {
	var errs []error
	for _, b := range []*DB{d.Cache, d.State} {
		if b != nil {
			errs = append(errs, b.close())
		}
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Truncate(0), d.lock.Close())
	}
	return errors.Join(errs...)
}

func dirFault(op, path string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.New(fault.HostDiskFull, op, path, err)
	}
	return fault.New(fault.HostDataDir, op, path, err)
}

func checkVersion(dir string) error {
	path := filepath.Join(dir, versionFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return writeFile(path, []byte(strconv.Itoa(FormatVersion)+"\n"), 0o600)
	}
	if err != nil {
		return dirFault("read", path, err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || v < 1 {
		return fault.New(fault.HostDataDir, "read", path, errors.New("not a version number")).WithHint("this is not a data directory of troupe, or its VERSION file is damaged")
	}
	if v > FormatVersion {
		return fault.New(fault.HostDataDirNewer, "open", dir, fmt.Errorf("format %d, this version knows %d", v, FormatVersion))
	}
	return nil
}

// hostKey reads the host's own key, or makes one: with a new key every stored artifact is a miss.
func hostKey(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) == 32 {
		return b, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, dirFault("read", path, err)
	}
	b = make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return b, writeFile(path, b, 0o600)
}

// writeFile writes a file so that it is there whole or not at all.
func writeFile(path string, b []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return dirFault("write", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = dirFault("write", path, err)
		}
	}()
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
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

// ReadOwner tells who holds a directory, if its holder has said so.
func ReadOwner(dir string) (Owner, bool) {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return Owner{}, false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	var o Owner
	if err != nil || json.Unmarshal(b, &o) != nil || o.PID == 0 {
		return Owner{}, false
	}
	return o, true
}

// ballast is a file of real blocks that is given up when the disk gets full.
type ballast struct {
	path string
	size int64
	fs   FS
	have bool
}

func (b *ballast) held() bool { return b.have }

func (b *ballast) make() {
	if b.size <= 0 || b.have {
		return
	}
	if free, err := b.fs.Free(filepath.Dir(b.path)); err != nil || free < 4*b.size {
		return // a disk this small needs its space more than a ballast
	}
	if err := b.fs.Allocate(b.path, b.size); err != nil {
		_ = os.Remove(b.path)
		return
	}
	b.have = true
}

func (b *ballast) drop() {
	_ = os.Remove(b.path)
	b.have = false
}
