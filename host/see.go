package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
)

// newBoot names one life of a host.
func newBoot() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it does not fail
	return hex.EncodeToString(b[:])
}

// Boot names this life of the host: it differs after each start.
func (h *Host) Boot() string { return h.boot }

// causeOf returns the cause of what led to a request, or a new one for one from outside.
func (h *Host) causeOf(ctx context.Context) kernel.Cause {
	c := kernel.CauseOf(ctx)
	if c.IsZero() {
		c = h.system.NewCause()
	}
	return c
}

// caused returns ctx with a cause, and the cause.
func (h *Host) caused(ctx context.Context) (context.Context, kernel.Cause) {
	c := h.causeOf(ctx)
	return because(ctx, c), c
}

// because returns ctx with a cause.
func because(ctx context.Context, c kernel.Cause) context.Context {
	if kernel.CauseOf(ctx) == c {
		return ctx
	}
	return kernel.WithCause(ctx, c)
}

// causeText is how guests and jobs name a cause.
func causeText(c kernel.Cause) string {
	if c.IsZero() {
		return ""
	}
	return c.String()
}

// AppSample is the use of an app at one moment.
type AppSample struct {
	At      time.Time
	Metrics inspect.AppMetrics
	Running uint32
	Queued  int
}

// BackupReport says what a backup holds.
type BackupReport struct {
	Bytes    int64     `json:"bytes"`
	Entries  int       `json:"entries"`
	Files    []string  `json:"files"`
	Checksum string    `json:"checksum"` // "sha256:" and hex digits, of the whole
	At       time.Time `json:"at"`
	Verified bool      `json:"verified"` // it was restored for a trial; false: there was no room for that, and only its hashes were compared
	Sealed   bool      `json:"worker_key_encrypted"`
	Without  []string  `json:"without"` // what is not in it, in words
}
