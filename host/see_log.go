package host

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/internal/logs"
)

// maxLogLines bounds what one call returns.
const maxLogLines = 4096

// Log returns the logger of the host: what is written there is in [Host.LogLines] too, and goes on to Config.Log. Floods of one code
// are left out there, and counted.
func (h *Host) Log() zerolog.Logger { return h.log }

// keepLog puts the ring before the log that was configured.
func keepLog(cfg *Config) *logs.Ring {
	r := logs.New(logs.Config{Out: cfg.Log, Lines: maxLogLines})
	cfg.Log = r.Logger()
	return r
}

// LogLines returns up to most records of the log after a sequence, the oldest first, and how many of them were overtaken; it waits up to
// wait for the first. The newest 4096 are kept, in at most 2 MiB.
//
// # Errors
//
// canceled.caller_left, canceled.deadline.
func (h *Host) LogLines(ctx context.Context, after uint64, most int, wait time.Duration) (lines []inspect.LogLine, dropped uint64, err error) {
	lines, dropped, err = h.lines.Lines(ctx, after, min(most, maxLogLines), wait)
	if err != nil {
		err = fault.From(err)
	}
	return lines, dropped, err
}
