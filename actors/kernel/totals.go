package kernel

// Totals calls use for each actor with what it was sent and what it did since it began. It is what rates are made of: it copies
// nothing but these numbers, and disturbs no actor. The order is none.
func (s *System) Totals(use func(path string, accepted, handled, refused uint64)) {
	s.mu.Lock()
	nodes := make([]node, 0, len(s.table))
	for _, n := range s.table {
		nodes = append(nodes, n)
	}
	s.mu.Unlock()
	for _, n := range nodes {
		b := n.core()
		b.mu.Lock()
		accepted, handled, refused := b.accepted, b.handled, b.refused
		b.mu.Unlock()
		use(b.path, accepted, handled, refused)
	}
}
