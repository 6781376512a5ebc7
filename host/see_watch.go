package host

// Watched has the host sample what its actors do, for the rates in [Host.Inspect], until the function that it returns is called. Nothing
// is sampled while nobody watches.
func (h *Host) Watched() (done func()) { return h.rates.Watch() }
