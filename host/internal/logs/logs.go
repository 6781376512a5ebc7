package logs

import (
	"cmp"
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/inspect"
)

// MaxRecord bounds one record in the ring, in bytes.
const MaxRecord = 8 << 10

// Config says how much is kept. Zero fields mean 4096 records, 2 MiB, a burst of 50 and 5 a second.
type Config struct {
	Out       zerolog.Logger // where records go on to
	Lines     int
	Bytes     int
	Burst     int
	PerSecond int
}

// Ring is the newest of a log.
type Ring struct {
	cfg   Config
	least zerolog.Level
	seed  maphash.Seed

	mu    sync.Mutex
	slots []slot
	first uint64 // sequence of the oldest; 1 at first
	next  uint64 // of the record that comes next
	bytes int    // of the buffers of all slots
	limit limiter
	wake  chan struct{} // closed with the next record; nil: nobody waits
}

// slot is one record. Its buffer is used again.
type slot struct {
	at         int64
	level      zerolog.Level
	suppressed uint64
	text       []byte
}

// New returns an empty ring.
func New(cfg Config) *Ring {
	cfg.Lines, cfg.Bytes = cmp.Or(cfg.Lines, 4096), cmp.Or(cfg.Bytes, 2<<20)
	cfg.Burst, cfg.PerSecond = cmp.Or(cfg.Burst, 50), cmp.Or(cfg.PerSecond, 5)
	least := cfg.Out.GetLevel()
	if !cfg.Out.WithLevel(zerolog.PanicLevel).Enabled() { // the zero logger has no writer, and says that its level is debug
		least = zerolog.Disabled
	}
	if least != zerolog.Disabled {
		cfg.Out = cfg.Out.Level(zerolog.TraceLevel) // this package knows what goes on
	}
	return &Ring{cfg: cfg, least: least, seed: maphash.MakeSeed(), first: 1, next: 1,
		limit: limiter{burst: float64(cfg.Burst), rate: float64(cfg.PerSecond)}}
}

// Logger returns the logger that writes here. It has the level of Config.Out, but at least info: the ring has what a silent log has not.
func (r *Ring) Logger() zerolog.Logger {
	return zerolog.New(r).Level(min(r.least, zerolog.InfoLevel))
}

// Write implements io.Writer.
func (r *Ring) Write(p []byte) (int, error) { return r.WriteLevel(zerolog.NoLevel, p) }

// WriteLevel implements zerolog.LevelWriter.
func (r *Ring) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	now := time.Now()
	var left uint64
	var late []debt
	pass := true
	r.mu.Lock()
	if level >= zerolog.InfoLevel {
		late = r.limit.settle(now)
		pass, left = r.limit.pass(now, r.keyOf(level, p), func() (string, string) { return words(p) }, level)
	}
	for _, d := range late {
		r.keepLocked(now, d.level, d.count, d.record())
	}
	if pass {
		r.keepLocked(now, level, left, p)
	}
	r.mu.Unlock()
	for _, d := range late {
		r.forward(d.level, d.count, d.record())
	}
	if pass {
		r.forward(level, left, p)
	}
	return len(p), nil
}

// Flush writes how many records were left out and not told yet.
func (r *Ring) Flush() {
	now := time.Now()
	r.mu.Lock()
	late := r.limit.settle(now.Add(2 * settleAfter))
	for _, d := range late {
		r.keepLocked(now, d.level, d.count, d.record())
	}
	r.mu.Unlock()
	for _, d := range late {
		r.forward(d.level, d.count, d.record())
	}
}

// keyOf tells records apart: by level, and by code or message.
func (r *Ring) keyOf(level zerolog.Level, p []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	_ = h.WriteByte(byte(level))
	var code, message []byte
	members(p, func(key, value []byte) {
		switch string(key) {
		case keyCode:
			code = value
		case keyMessage:
			message = value
		}
	})
	if code == nil {
		code = message
	}
	_, _ = h.Write(code)
	return h.Sum64()
}

// keepLocked copies a record into the ring.
func (r *Ring) keepLocked(now time.Time, level zerolog.Level, suppressed uint64, p []byte) {
	if len(p) > MaxRecord {
		p = cut(p)
	}
	if n := r.next - r.first; n == uint64(r.cfg.Lines) {
		r.first++
	}
	if uint64(len(r.slots)) < uint64(r.cfg.Lines) && r.next-1 == uint64(len(r.slots)) {
		r.slots = append(r.slots, slot{})
	}
	s := &r.slots[(r.next-1)%uint64(r.cfg.Lines)]
	had := cap(s.text)
	s.at, s.level, s.suppressed = now.UnixNano(), level, suppressed
	s.text = append(s.text[:0], p...)
	r.bytes += cap(s.text) - had
	r.next++
	for r.bytes > r.cfg.Bytes && r.first+1 < r.next {
		old := &r.slots[(r.first-1)%uint64(r.cfg.Lines)]
		r.bytes -= cap(old.text)
		old.text = nil
		r.first++
	}
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
}

// Lines returns up to most records after a sequence, the oldest first, and how many of them were overtaken. It waits up to wait for
// the first.
func (r *Ring) Lines(ctx context.Context, after uint64, most int, wait time.Duration) (lines []inspect.LogLine, dropped uint64, err error) {
	most = min(max(most, 1), r.cfg.Lines)
	var end <-chan time.Time
	for {
		r.mu.Lock()
		from := max(after+1, r.first)
		if from < r.next {
			dropped = from - (after + 1)
			rows := make([]slot, 0, min(uint64(most), r.next-from))
			for seq := from; seq < r.next && len(rows) < most; seq++ {
				s := r.slots[(seq-1)%uint64(r.cfg.Lines)]
				s.text = append([]byte(nil), s.text...)
				rows = append(rows, s)
			}
			r.mu.Unlock()
			for n, s := range rows {
				lines = append(lines, s.line(from+uint64(n)))
			}
			return lines, dropped, nil
		}
		if wait <= 0 {
			r.mu.Unlock()
			return nil, 0, nil
		}
		if r.wake == nil {
			r.wake = make(chan struct{})
		}
		wake := r.wake
		r.mu.Unlock()
		if end == nil {
			t := time.NewTimer(wait)
			defer t.Stop()
			end = t.C
		}
		select {
		case <-wake:
		case <-end:
			return nil, 0, nil
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

// Newest returns the sequence of the newest record, 0 if there is none.
func (r *Ring) Newest() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next - 1
}
