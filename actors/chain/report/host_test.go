package report

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
)

// fakeHost is a worker with apps.
type fakeHost struct {
	key      *meter.Key
	Operator *[32]byte // nil: none, and somebody vouches for the worker

	mu      sync.Mutex
	session *Session
	cnonce  byte
	sn      uint64
	apps    map[[32]byte]uint64 // and their gas
	tickets map[[32]byte][]uint64
	scores  bool // the benchmark app has some
	last    []byte
	stuck   bool // it has the same one again and again
	opened  int
	removed int
	unpaid  []ID
	alarms  []string
	text    string
	metrics *NodeMetrics
}

func newHost(k *meter.Key) *fakeHost {
	return &fakeHost{key: k, apps: map[[32]byte]uint64{{1}: 100}, tickets: map[[32]byte][]uint64{{1}: {7}}, scores: true, text: "one",
		metrics: &NodeMetrics{CPUCores: 2, MemoryMB: 100, FreeMemoryMB: 200}}
}

func (h *fakeHost) Key() [32]byte { return h.key.Public() }

func (h *fakeHost) Registration(_ context.Context, genesis [32]byte) (Registration, error) {
	info := meter.NewRegistration(h.key.Public(), genesis, h.Operator, 0).Encode()
	if h.Operator != nil {
		return Registration{Info: info}, nil
	}
	return Registration{Info: info, Provider: "root", Report: []byte{1}}, nil
}

func (h *fakeHost) Session(context.Context) (*Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shown(), nil
}

func (h *fakeHost) shown() *Session {
	if h.session == nil {
		return nil
	}
	s := *h.session
	s.SN = h.sn
	return &s
}

func (h *fakeHost) OpenSession(_ context.Context, pnonce []byte, anew bool) (*Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session != nil && !anew && string(h.session.PNonce) == string(pnonce) {
		return h.shown(), nil
	}
	if h.session != nil {
		h.removed += len(h.apps)
	}
	h.cnonce++
	h.opened++
	nonce := [32]byte{h.cnonce}
	u := meter.SessionUpdate{Session: meter.SessionID(nonce, pnonce), Nonce: nonce, Recipient: make([]byte, 32)}
	signed, err := meter.SignSessionUpdate(h.key, u)
	h.session, h.sn = &Session{ID: u.Session, PNonce: pnonce, Update: signed}, 0
	return h.shown(), err
}

func (h *fakeHost) Description(context.Context) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return meter.SignDescription(h.key, meter.Description{Text: h.text, Prices: meter.Prices{Gas: &meter.Uint128{Lo: 3}}})
}

func (h *fakeHost) Endpoints(context.Context) ([]byte, []byte, error) {
	payload, sig, err := meter.SignEndpoints(h.key, []string{"http://127.0.0.1:1"}, time.Now())
	return payload, sig[:], err
}

func (h *fakeHost) token() meter.Token {
	h.sn++
	return meter.Token{SN: h.sn, Session: h.session.ID, Nonce: [32]byte{byte(h.sn), 9}}
}

func (h *fakeHost) Report(_ context.Context, apps [][32]byte) ([]Page, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session == nil {
		return nil, fault.New(fault.CallerNoSession, "", "", nil)
	}
	var pages []Page
	for part := range slices.Chunk(apps, meter.MaxApps) {
		t := h.token()
		p := Page{Session: t.Session, SN: t.SN}
		var metrics []meter.Metrics
		for _, a := range part {
			p.Apps = append(p.Apps, a)
			metrics = append(metrics, meter.Metrics{Address: a, Gas: h.apps[a]})
		}
		var err error
		if p.Signed, err = meter.SignReport(h.key, t, metrics); err != nil {
			return nil, err
		}
		pages = append(pages, p)
	}
	return pages, nil
}

func (h *fakeHost) Score(context.Context, Scoring) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.scores || h.session == nil {
		return nil, nil
	}
	if h.stuck {
		return h.last, nil
	}
	t := h.token()
	h.last = meter.SignBenchScore(h.key, [32]byte{5}, meter.BenchScore{GasPerSecond: 500, GasConsumed: 10_000 * t.SN, Timestamp: uint64(time.Now().Unix()), Token: t}).Encode()
	return h.last, nil
}

func (h *fakeHost) NodeMetrics(context.Context) (*NodeMetrics, error) { return h.metrics, nil }

func (h *fakeHost) ClaimsOf(_ context.Context, apps [][32]byte) (map[[32]byte][]uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[[32]byte][]uint64{}
	for a, t := range h.tickets {
		if apps == nil || slices.Contains(apps, a) {
			out[a] = t
		}
	}
	return out, nil
}

func (h *fakeHost) Unpaid(app [32]byte, _ []uint64, _ string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unpaid = append(h.unpaid, app)
}

func (h *fakeHost) Alarm(why *fault.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := ""
	if why != nil {
		text = why.Hint
	}
	h.alarms = append(h.alarms, text)
}
