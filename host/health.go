package host

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
)

// health holds the lasting conditions that an operator should know.
type health struct {
	mu   sync.Mutex
	now  func() time.Time
	warn map[string]inspect.Health
}

func newHealth(now func() time.Time) *health {
	return &health{now: now, warn: map[string]inspect.Health{}}
}

// set records a condition; since is when it was set first.
func (h *health) set(code, message, hint string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w, ok := h.warn[code]
	if !ok {
		w = inspect.Health{Code: code, Level: "warning", Since: h.now()}
	}
	w.Message, w.Hint = message, hint
	h.warn[code] = w
}

func (h *health) clear(code string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.warn, code)
}

func (h *health) list() []inspect.Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]inspect.Health, 0, len(h.warn))
	for _, w := range h.warn {
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b inspect.Health) int { return cmp.Compare(a.Code, b.Code) })
	return out
}
