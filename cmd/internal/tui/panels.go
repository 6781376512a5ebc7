package tui

import (
	"fmt"
	"strconv"

	"github.com/troupehost/troupe/actors/inspect"
)

// overviewLines are the first screen: what an operator must know in a minute.
func (m *Model) overviewLines() (lines []line) {
	h := m.head
	if v := m.current(); len(v.rows) > 0 {
		if got, ok := v.rows[0].v.(inspect.Host); ok {
			if h = got; h.At.IsZero() {
				h.At = v.at
			}
		}
	}
	if h.At.IsZero() {
		return m.nothing()
	}
	now := m.time()
	room := max(6, min(40, m.w-58))
	lines = append(lines, nil)
	if len(h.Health) == 0 {
		lines = append(lines, line{{"  ", normal}, {"all is well", good}})
	}
	for i, c := range h.Health {
		if i == 6 {
			lines = append(lines, styled(dim, fmt.Sprintf("  … %d in all; see :health", len(h.Health))))
			break
		}
		how := warn
		if c.Level == "error" {
			how = bad
		}
		lines = append(lines, line{{"  ", normal}, {pad(safe(c.Level), 8, false), how}, {pad(age(now, c.Since), 8, false), dim}, {safe(c.Message), normal}})
		if c.Hint != "" {
			lines = append(lines, line{{"                  do: ", dim}, {safe(c.Hint), accent}})
		}
	}
	lines = append(lines, nil, styled(strong, "  QUEUE       PARKED        RUNNING  WORKERS  OLDEST   REFUSED total"))
	for _, q := range h.Queues {
		parked := 0
		for _, n := range q.Parked {
			parked += n
		}
		how := normal
		if q.Cap > 0 && parked*5 >= q.Cap*4 {
			how = bad
		}
		name := safe(q.Name)
		l := line{{"  " + pad(name, 12, false), accent}, {pad(part(parked, q.Cap), 14, false), how}, {pad(strconv.Itoa(q.Running), 9, false) + pad(part(q.Workers, q.Hard), 9, false) + pad(age(now, q.OldestAt), 9, false) + pad(count(float64(q.Refused)), 6, false), normal}}
		if q.Paused {
			l = l.add(warn, " paused")
		}
		lines = append(lines, l)
	}
	busy := map[string]int{}
	for _, w := range h.Workers {
		busy[w.State]++
	}
	states := map[string]int{}
	for _, a := range h.Artifacts {
		states[a.State]++
	}
	lines = append(lines, nil, counts("jobs", h.Jobs, "queued", "running", "settled"))
	if h.Workers != nil { // a stream of the overview may leave them out
		lines = append(lines, counts("workers", busy, "busy", "idle", "starting"))
	}
	if h.Artifacts != nil {
		lines = append(lines, counts("artifacts", states, "preparing", "prepared", "failed"))
	}
	lines = append(lines, line{{"  " + pad("requests", 14, false), dim}, {strconv.Itoa(h.Requests) + " under way", normal}}, nil)
	used := h.Store.DiskBytes
	lines = append(lines, line{{"  " + pad("store", 14, false), dim}, {bar(share(used, h.Store.LimitBytes), room), normal}, {"  " + size(used) + " of " + size(h.Store.LimitBytes) + ", " + size(h.Store.FreeBytes) + " free, " + plural(h.Store.Entries, "artifact"), normal}})
	if !h.Store.ReadOnlySince.IsZero() {
		lines = append(lines, line{{"  " + pad("", 14, false), dim}, {"read only for " + age(now, h.Store.ReadOnlySince), bad}})
	}
	lines = append(lines, line{{"  " + pad("sandbox", 14, false), dim}, {safe(h.Sandbox), normal}},
		line{{"  " + pad("version", 14, false), dim}, {safe(h.Version) + "  build " + short(h.BuildID) + "  boot " + safe(h.Boot), normal}},
		line{{"  " + pad("data", 14, false), dim}, {safe(h.DataDir), normal}})
	return lines
}

// counts prints how many there are of each state, those that matter first.
func counts(name string, n map[string]int, order ...string) line {
	l := line{{"  " + pad(name, 14, false), dim}}
	seen := map[string]bool{}
	for _, s := range append(order, sortedKeys(n)...) {
		if seen[s] {
			continue
		}
		seen[s] = true
		text, how := state(s)
		if n[s] == 0 {
			how = dim
		}
		l = l.add(how, fmt.Sprintf("%d %s   ", n[s], text))
	}
	return l
}

// chainLines are the screen of the chain.
func (m *Model) chainLines() (lines []line) {
	list := m.current()
	if len(list.rows) == 0 {
		return m.nothing()
	}
	v, ok := list.rows[0].v.(inspect.ChainView)
	if !ok {
		return m.nothing()
	}
	now := m.time()
	c := v.Chain
	linked, how := "connected", good
	if !c.Connected {
		linked, how = "lost", bad
	}
	put := func(name string, how style, text string) {
		lines = append(lines, line{{"  " + pad(name, 14, false) + " ", dim}, {text, how}})
	}
	lines = append(lines, nil)
	put("chain", strong, safe(c.Name)+"  "+safe(v.URL))
	put("link", how, linked+" for "+age(now, c.Since))
	put("head", normal, fmt.Sprintf("%d, %s old; final %d; tip %d", c.Head, age(now, c.HeadTime), c.Finalized, c.Tip))
	lagHow := normal
	if c.Lag > 10 {
		lagHow = bad
	}
	put("behind by", lagHow, plural(int(min(c.Lag, 1<<30)), "block")+fmt.Sprintf("; %d forks total", c.Forks))
	if c.Waiting != "" {
		put("waits for", warn, safe(c.Waiting))
	}
	if c.LastError != "" {
		put("last error", bad, safe(c.LastError)+", "+age(now, c.LastErrorAt)+" ago")
	}
	lines = append(lines, nil, append(counts("outbox", c.Outbox, "waiting", "signed", "submitted", "in_block", "in_doubt"), piece{fmt.Sprintf("of %d, oldest %s", c.Cap, age(now, c.Oldest)), normal}))
	put("totals", normal, fmt.Sprintf("included %s  finished %s  failed %s  dropped %s  sent again %s", count(float64(c.Included)), count(float64(c.Finished)), count(float64(c.Failed)), count(float64(c.Dropped)), count(float64(c.Resubmitted))))
	lines = append(lines, nil, styled(strong, "  DUTY           STATE      NEXT      WHY"))
	for _, d := range v.Reporter.Duties {
		text, how := state(d.State)
		lines = append(lines, line{{"  " + pad(safe(d.Name), 14, false) + " ", normal}, {pad(text, 10, false) + " ", how}, {pad(until(now, d.Next), 9, false) + " ", normal}, {safe(d.Reason), normal}, {"  " + safe(d.Error), bad}})
	}
	f := v.Follower
	text, how := state(f.State)
	lines = append(lines, nil, line{{"  " + pad("follower", 14, false) + " ", dim}, {text, how}, {" for " + age(now, f.Since) + "  " + safe(f.Reason), normal}})
	put("demand", normal, fmt.Sprintf("%d tickets, %d requests", f.Tickets, f.Requests))
	lines = append(lines, counts("apps", f.Apps))
	b := v.Reporter.Heartbeat
	put("heartbeat", normal, fmt.Sprintf("%d challenges for us, %d answered, latency %s, at most %s", b.Hits, b.Answered, micros(b.Latency), micros(b.MaxLatency)))
	if b.Alarm != "" {
		put("", bad, safe(b.Alarm))
	}
	return lines
}
