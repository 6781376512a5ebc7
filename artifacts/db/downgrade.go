package db

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
)

// copyPrefix is what the copies of before a migration are called, before the version that it led to. Each is a data directory of its
// own, of the older format, without the cache.
const copyPrefix = "before-version-"

// keyDirs are the directories of a data directory that hold keys; see package cli.
var keyDirs = []string{"accounts"}

// copyBefore copies all of a directory that cannot be made again and that a migration may change, and the keys. A copy that is whole
// stays: a migration that broke off and begins again must not copy what it has changed already.
func copyBefore(cfg DirConfig, version int, to string) error {
	if v, err := os.ReadFile(filepath.Join(to, versionFile)); err == nil && strings.TrimSpace(string(v)) == fmt.Sprint(version) {
		return nil
	}
	if err := os.RemoveAll(to); err != nil {
		return dirFault("migrate", cfg.Path, err)
	}
	err := os.MkdirAll(to, 0o700)
	for _, dir := range append([]string{stateDir}, keyDirs...) {
		if err != nil {
			break
		}
		if err = os.CopyFS(filepath.Join(to, dir), os.DirFS(filepath.Join(cfg.Path, dir))); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	keys, globErr := filepath.Glob(filepath.Join(filepath.Clean(globEscape(cfg.Path)), "*.key"))
	if err = errors.Join(err, globErr); err != nil {
		return dirFault("copy", to, err)
	}
	for _, path := range append(keys, filepath.Join(cfg.Path, writerFile)) {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err = errors.Join(err, os.WriteFile(filepath.Join(to, filepath.Base(path)), b, 0o600)); err != nil {
			return dirFault("copy", to, err)
		}
	}
	err = filepath.WalkDir(to, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		if e.IsDir() {
			mode = 0o700
		}
		return errors.Join(os.Chmod(path, mode), syncDir(path))
	})
	if err == nil {
		err = cfg.FS.WriteFile(filepath.Join(to, versionFile), fmt.Appendln(nil, version)) // last: it is whole then
	}
	if err != nil {
		return dirFault("copy", to, err)
	}
	return nil
}

// globEscape keeps the name of a directory from being a pattern.
func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// maxWriter bounds the name of a version.
const maxWriter = 64

// signDir notes which version of the program has the directory.
func signDir(cfg DirConfig) error {
	if cfg.Version == "" || len(cfg.Version) > maxWriter {
		return nil
	}
	path, want := filepath.Join(cfg.Path, writerFile), fmt.Appendln(nil, cfg.Version)
	if b, err := readOwn(path); err == nil && bytes.Equal(b, want) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := cfg.FS.WriteFile(path, want); err != nil {
		return dirFault("write", path, err)
	}
	return nil
}

// newer says what to do with a directory of a format that is not known yet.
func newer(dir string, version int) error {
	by := "a later version"
	if b, err := readOwn(filepath.Join(dir, writerFile)); err == nil && len(bytes.TrimSpace(b)) > 0 {
		by = "version " + fault.Quote(string(bytes.TrimSpace(b)))
	}
	hint := "start " + by + " again; "
	if before := beforeOf(dir, version); before != "" {
		hint += fmt.Sprintf("or go back to the state of before it was led up to the newer format, without what came since: 'troupe serve --data-dir %s'; or ", before)
	} else {
		hint += "or "
	}
	hint += "restore a backup that this version made: 'troupe node restore FILE --data-dir DIR', into an empty DIR"
	return fault.New(fault.HostDataDirNewer, "open", dir, fmt.Errorf("%s wrote it in format %d, and this version knows %d", by, version, FormatVersion)).WithHint(hint)
}

// beforeOf returns the newest copy in a directory that this version can read, "" if there is none.
func beforeOf(dir string, version int) string {
	for v := version; v > 1; v-- {
		path := filepath.Join(dir, fmt.Sprintf("%s%d", copyPrefix, v))
		if b, err := readOwn(filepath.Join(path, versionFile)); err == nil {
			var format int
			if n, err := fmt.Sscan(string(b), &format); n == 1 && err == nil && format >= 1 && format <= FormatVersion {
				return path
			}
		}
		if version-v > 100 {
			break
		}
	}
	return ""
}
