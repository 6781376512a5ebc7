package wasmgen

// source gives choices out of bytes; behind the end all are 0.
type source struct{ data []byte }

func (s *source) byte() byte {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b
}

// pick returns a number below n, which is at most 65,536.
func (s *source) pick(n int) int {
	v := int(s.byte())
	if n > 256 {
		v |= int(s.byte()) << 8
	}
	return v % n
}

// chance is true in n of 256 cases, and never behind the end.
func (s *source) chance(n int) bool { return int(s.byte()) >= 256-n }

func (s *source) u64() (v uint64) {
	for range 8 {
		v = v<<8 | uint64(s.byte())
	}
	return v
}

// oneOf returns an element of a list that is not empty.
func oneOf[T any](s *source, list []T) T { return list[s.pick(len(list))] }
