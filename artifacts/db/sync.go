package db

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// syncer brings commits to the disk. Badger would do so itself, but then each commit waits, and none could be made that
// does not; its own Sync holds up all who write, and passes over logs that were replaced between a commit and the Sync.
//
// A commit is in the log of a memtable when it returns: a mapped file, which the kernel has whatever becomes of the process.
// What is in no log any more is in a table that was on disk, and named by the manifest, before its log was removed. So all
// commits are on disk once each log that is there has been synced. A log that is not the newest does not change any more.
type syncer struct {
	dir     string
	file    func(path string) error
	commits atomic.Uint64 // that were made

	mu     sync.Mutex
	synced uint64          // of them, on disk
	newest uint64          // the log whose name is on disk, and those of older ones
	whole  map[uint64]bool // older logs that are on disk
	broken error           // of the first sync that failed: after it the kernel takes pages for written that are not
}

// wait returns when that many commits are on disk. Those who wait for one sync share the next. After a failure that is kept
// in broken it fails for ever.
func (s *syncer) wait(commits uint64) (err error, forEver bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.bring(commits)
	return err, s.broken != nil
}

func (s *syncer) bring(commits uint64) error {
	if s.broken != nil || s.synced >= commits {
		return s.broken
	}
	upTo := s.commits.Load()
	logs, newest, err := s.logs()
	if err != nil {
		return err
	}
	for id, name := range logs {
		if s.whole[id] {
			continue
		}
		if err := s.file(filepath.Join(s.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			if !means(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM) { // then it was not even opened
				s.broken = err
			}
			return err
		}
		if id != newest {
			s.whole[id] = true
		}
	}
	if newest > s.newest {
		if err := syncDir(s.dir); err != nil {
			return err
		}
		s.newest = newest
	}
	for id := range s.whole {
		if _, ok := logs[id]; !ok {
			delete(s.whole, id)
		}
	}
	s.synced = upTo
	return nil
}

// logs lists the logs that are there.
func (s *syncer) logs() (logs map[uint64]string, newest uint64, err error) {
	d, err := os.Open(s.dir)
	if err != nil {
		return nil, 0, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	logs = map[uint64]string{}
	for _, name := range names {
		if number, ok := strings.CutSuffix(name, ".mem"); ok {
			if id, err := strconv.ParseUint(number, 10, 64); err == nil {
				logs[id], newest = name, max(newest, id)
			}
		}
	}
	return logs, newest, err
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(syncData(f), f.Close())
}
