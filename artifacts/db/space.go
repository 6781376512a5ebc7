package db

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Space guards the free space of the file system under the data directory.
type Space struct {
	fs      FS
	dir     string
	reserve int64
	ballast *ballast

	mu    sync.Mutex
	free  int64
	since time.Time // of the shortage; zero: none
}

// FS is the seam to the file system that tests replace. A nil field means the real thing.
type FS struct {
	// Free returns the bytes that this user may still write under dir.
	Free func(dir string) (int64, error)
	// Allocate gives a file n bytes of real blocks.
	Allocate func(path string, n int64) error
	// WriteFile writes a small file so that it is there whole or not at all.
	WriteFile func(path string, b []byte) error
	// Commit makes a commit to the database at path, and returns when it is on disk.
	Commit func(path string, commit func() error) error
	// SyncFile returns when the content of a file is on disk.
	SyncFile func(path string) error
	// Now is the clock of the space guard.
	Now func() time.Time
}

func (fs FS) withDefaults() FS {
	if fs.Free == nil {
		fs.Free = freeBytes
	}
	if fs.Allocate == nil {
		fs.Allocate = allocate
	}
	if fs.WriteFile == nil {
		fs.WriteFile = writeFile
	}
	if fs.Commit == nil {
		fs.Commit = func(_ string, commit func() error) error { return commit() }
	}
	if fs.SyncFile == nil {
		fs.SyncFile = syncFile
	}
	if fs.Now == nil {
		fs.Now = time.Now
	}
	return fs
}

// Level says what is admitted.
type Level uint8

// The levels. Removal is refused, too, when less than a quarter of the reserve is left.
const (
	SpaceOK       Level = 1 + iota
	SpaceLow            // less than the reserve is free: nothing new is written
	SpaceCritical       // less than half of it: the ballast is given up
)

func (s *Space) level(free int64) Level {
	switch {
	case free >= s.reserve:
		return SpaceOK
	case free >= s.reserve/2:
		return SpaceLow
	}
	return SpaceCritical
}

// admit refuses a write that would leave less than the reserve.
func (s *Space) admit(n int64) error { return s.check(s.reserve+n, "write") }

// admitRemoval refuses only what is left of Badger's own needs: a delete is a write, too.
func (s *Space) admitRemoval() error { return s.check(s.reserve/4, "remove") }

func (s *Space) check(need int64, op string) error {
	free, err := s.Poll()
	if err != nil {
		return fault.New(fault.HostDiskIO, op, "", err)
	}
	if free < need {
		return fault.New(fault.BusyDisk, op, "", nil).WithRetryAfter(10 * time.Second)
	}
	return nil
}

// Poll looks at the file system: when less than half of the reserve is free the ballast is given up, and when there is
// room for it again it is made again, or grows if it is a part of what is wanted. The host polls each second, so that it
// sees others fill the disk.
func (s *Space) Poll() (free int64, err error) {
	free, err = s.fs.Free(s.dir)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.level(free) == SpaceCritical && s.ballast.held > 0:
		s.ballast.drop()
		free, err = s.fs.Free(s.dir)
	case s.ballast.held < s.ballast.size && s.ballast.fits(free, s.reserve):
		if s.ballast.make() {
			free, err = s.fs.Free(s.dir)
		}
	}
	s.free = free
	if short := free < s.reserve; short && s.since.IsZero() {
		s.since = s.fs.Now()
	} else if !short {
		s.since = time.Time{}
	}
	return free, err
}

// Status is what the guard saw last.
type Status struct {
	Level                                                Level
	FreeBytes, ReserveBytes, BallastBytes, BallastWanted int64
	ShortSince                                           time.Time // zero: writes are admitted
}

// Status returns what the guard saw last.
func (s *Space) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Status{Level: s.level(s.free), FreeBytes: s.free, ReserveBytes: s.reserve, BallastBytes: s.ballast.held, BallastWanted: s.ballast.size, ShortSince: s.since}
}

// ballast is a file of real blocks that is given up when the disk gets full.
type ballast struct {
	path string
	size int64 // what is wanted
	held int64
	next time.Time // the earliest that it is tried again, after the disk refused
	fs   FS
}

// look takes over what a former host left.
func (b *ballast) look() { b.held = min(blocks(b.path), b.size) }

// wanted is how large it is to be: on a small disk an eighth of what is free.
func (b *ballast) wanted(free int64) int64 { return min(b.size, (free+b.held)/8) }

// fits says whether the reserve and as much again as the ballast are free beside it, so that it is not given up at once.
func (b *ballast) fits(free, reserve int64) bool {
	n := b.wanted(free)
	return free-(n-b.held) > reserve+n
}

// make allocates what is missing, on a small disk at most an eighth of what is free, and reports whether it tried. What
// it has it keeps when there is no more to be had.
func (b *ballast) make() (tried bool) {
	now := b.fs.Now()
	free, err := b.fs.Free(filepath.Dir(b.path))
	n := b.wanted(free)
	if err != nil || n <= b.held || n < b.held+ballastStep && n < b.size || now.Before(b.next) {
		return false
	}
	if err := b.fs.Allocate(b.path, n); err != nil {
		b.next = now.Add(ballastRetry)
		if b.held == 0 {
			b.drop() // less than a step may be there
		}
		return true
	}
	b.held = n
	return true
}

const (
	ballastStep  = 1 << 20 // it does not grow by less, unless that is all that is missing
	ballastRetry = time.Minute
)

func (b *ballast) drop() {
	_ = os.Remove(b.path)
	b.held = 0
}
