//go:build !linux

package engine

import "time"

// uptime is that of nothing here: no worker runs on this system.
func uptime() time.Duration { return 0 }
