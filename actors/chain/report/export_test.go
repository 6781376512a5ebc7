package report

import "github.com/troupehost/troupe/actors/meter"

// FakeHost is a worker for tests outside of the package.
type FakeHost = fakeHost

// NewFakeHost returns a worker with one app.
func NewFakeHost(k *meter.Key) *FakeHost { return newHost(k) }

// SetTickets says which tickets the app has.
func (h *fakeHost) SetTickets(ids ...uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tickets[[32]byte{1}] = ids
}

// SetGas says how much gas the app has used.
func (h *fakeHost) SetGas(n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.apps[[32]byte{1}] = n
}

// Lose has the worker lose its session, as a restart does.
func (h *fakeHost) Lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session, h.sn = nil, 0
}

// Unpaids returns the apps that were said not to be paid.
func (h *fakeHost) Unpaids() []ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unpaid
}
