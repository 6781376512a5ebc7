package turns

// The heap of a class: shares that have a line, by their clocks.

func less(a, b *share) bool {
	if a.clock != b.clock {
		return before(a.clock, b.clock)
	}
	return a.seq < b.seq
}

func (cl *class) push(s *share) {
	s.at = len(cl.heap)
	cl.heap = append(cl.heap, s)
	cl.up(s.at)
}

func (cl *class) remove(s *share) {
	i, last := s.at, len(cl.heap)-1
	cl.swap(i, last)
	cl.heap[last] = nil
	cl.heap = cl.heap[:last]
	if i < last {
		cl.fix(i)
	}
}

// moved says that the clock of a share was set.
func (cl *class) moved(s *share) {
	if len(s.line) > 0 {
		cl.fix(s.at)
	}
}

func (cl *class) fix(i int) {
	if !cl.down(i) {
		cl.up(i)
	}
}

func (cl *class) swap(i, j int) {
	h := cl.heap
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (cl *class) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if !less(cl.heap[i], cl.heap[p]) {
			return
		}
		cl.swap(i, p)
		i = p
	}
}

func (cl *class) down(i int) (moved bool) {
	for {
		k := 2*i + 1
		if k >= len(cl.heap) {
			return moved
		}
		if k+1 < len(cl.heap) && less(cl.heap[k+1], cl.heap[k]) {
			k++
		}
		if !less(cl.heap[k], cl.heap[i]) {
			return moved
		}
		cl.swap(i, k)
		i, moved = k, true
	}
}
