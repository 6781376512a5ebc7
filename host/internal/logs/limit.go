package logs

import (
	"encoding/json"
	"time"

	"github.com/rs/zerolog"
)

const (
	maxBuckets  = 512 // in each of two generations
	settleAfter = 10 * time.Second
)

// limiter is a token bucket for each key. A key that was not seen for two generations begins anew.
type limiter struct {
	burst, rate float64
	young, old  map[uint64]*bucket
	owed        []*bucket // that have left something out, in the order in which they began to
}

type bucket struct {
	at            time.Time
	tokens        float64
	left          uint64
	since         time.Time // of the first that was left out
	code, message string
	level         zerolog.Level
}

// pass says whether a record may pass, and how many like it were left out since the last one.
func (l *limiter) pass(now time.Time, key uint64, words func() (code, message string), level zerolog.Level) (ok bool, left uint64) {
	b := l.young[key]
	if b == nil {
		if b = l.old[key]; b == nil {
			b = &bucket{at: now, tokens: l.burst}
		}
		if l.young == nil || len(l.young) >= maxBuckets {
			l.old, l.young = l.young, map[uint64]*bucket{}
		}
		l.young[key] = b
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(l.burst, b.tokens+d.Seconds()*l.rate)
		b.at = now
	}
	if b.tokens < 1 {
		if b.left == 0 {
			b.since, b.level = now, level
			b.code, b.message = words()
			l.owed = append(l.owed, b)
		}
		b.left++
		return false, 0
	}
	b.tokens--
	left, b.left = b.left, 0
	return true, left
}

// debt is what was left out and not told.
type debt struct {
	code, message string
	level         zerolog.Level
	count         uint64
}

// settle returns what has been owed for long.
func (l *limiter) settle(now time.Time) (out []debt) {
	for len(l.owed) > 0 {
		b := l.owed[0]
		if b.left > 0 && now.Sub(b.since) < settleAfter && len(l.owed) <= 2*maxBuckets {
			break
		}
		l.owed[0] = nil
		if l.owed = l.owed[1:]; len(l.owed) == 0 {
			l.owed = nil
		}
		if b.left > 0 {
			out = append(out, debt{b.code, b.message, b.level, b.left})
			b.left = 0
		}
	}
	return out
}

// record is the debt as a record.
func (d debt) record() []byte {
	b, err := json.Marshal(struct {
		Level   string `json:"level"`
		Code    string `json:"code,omitempty"`
		Message string `json:"message"`
	}{d.level.String(), d.code, d.message})
	if err != nil {
		panic(err) // strings can be marshaled
	}
	return b
}
