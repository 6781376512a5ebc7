//go:build timed

package engine

import (
	"testing"
	"time"
)

func TestTimedNoCanaryIsFound(t *testing.T) { lookForCanaries(t, 100_000, 10*time.Minute) }
