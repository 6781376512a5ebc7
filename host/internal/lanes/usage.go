package lanes

import (
	"context"
	"time"
)

// stir has Keep look at the lanes, if it sleeps.
func (t *Table) stir() {
	if t.awake.Load() || !t.awake.CompareAndSwap(false, true) {
		return
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Keep reports what was used, until ctx ends.
func (t *Table) Keep(ctx context.Context) {
	defer t.report() // what is left
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		}
		every := time.NewTicker(t.cfg.Every)
		for awake := true; awake; {
			select {
			case <-ctx.Done():
				every.Stop()
				return
			case <-every.C:
			}
			if t.report() > 0 {
				continue
			}
			t.awake.Store(false)
			if awake = t.report() > 0; awake { // by somebody who found it awake
				t.awake.Store(true)
			}
		}
		every.Stop()
	}
}

// report reports each lane that was used or is used, and returns how many these were.
func (t *Table) report() (n int) {
	t.mu.Lock()
	var used []*Lane
	for _, l := range t.lanes {
		if l.unreported() || l.rides() {
			used = append(used, l)
		}
	}
	t.mu.Unlock()
	for _, l := range used {
		l.Flush()
	}
	return len(used)
}

func (l *Lane) unreported() bool { return l.ended.Load() != l.reported.Load() }

// Flush reports what a lane was used for, if it was.
func (l *Lane) Flush() {
	total := l.ended.Load()
	u := Use{Key: l.binding.Key, Tenant: l.binding.Tenant, Runs: total - l.reported.Swap(total), OK: l.ok.Swap(false), Well: l.well.Swap(false)}
	if u.Runs > 0 || l.rides() {
		l.t.cfg.Report(u)
	}
}
