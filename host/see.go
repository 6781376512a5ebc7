package host

import (
	"time"

	"github.com/troupehost/troupe/actors/inspect"
)

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
