package guest

import "time"

// AppLock is a lock of the app, over all of its instances.
type AppLock struct{ handle Handle }

// Lock takes the lock of a path. When the instance ends, however it does, the lock is free.
func Lock(path string, timeout time.Duration) (*AppLock, error) {
	var h uint32
	if errno := sysLock(text(path), length(path), millis(timeout), &h); errno != 0 {
		return nil, Errno(errno)
	}
	return &AppLock{Handle(h)}, nil
}

// Unlock gives it back.
func (l *AppLock) Unlock() error { return l.handle.Close() }

// Timer is due once.
type Timer struct{ handle Handle }

// NewTimer makes a timer that is due after d.
func NewTimer(d time.Duration) (*Timer, error) {
	var h uint32
	if errno := sysTimer(max(millis(d), 0), &h); errno != 0 {
		return nil, Errno(errno)
	}
	return &Timer{Handle(h)}, nil
}

// Wait returns when it is due.
func (t *Timer) Wait(timeout time.Duration) error {
	var buf [8]byte
	var n uint64
	return failure(wait(uint32(t.handle), true, timeout, func(ms int64) uint32 {
		return sysRead(uint32(t.handle), ms, &buf[0], 8, &n)
	}))
}

// Reset makes it due after d from now.
func (t *Timer) Reset(d time.Duration) error {
	return failure(sysTimerReset(uint32(t.handle), max(millis(d), 0)))
}

// Close gives it back.
func (t *Timer) Close() error { return t.handle.Close() }
