package wasm

// Image is what the active data segments of a module write, as one piece of the initial linear memory.
type Image struct {
	At    uint64 // address of the first byte, a multiple of ImagePage
	Bytes []byte // up to the last byte that is not zero; empty: nothing but zeros is written
}

// ImagePage is the unit of addresses of images, in bytes.
const ImagePage = 4096

// imageRoom bounds what an image may take beside the data: the gaps between segments, in bytes.
const imageRoom = 1 << 20

// Image applies the active data segments to a memory of the initial size. It returns false for a module whose instances must apply them
// on their own: where an offset is not a constant, a segment ends beyond the initial memory, gaps would make the image much larger
// than the data, or no segment is active.
func (m *Module) Image() (Image, bool) {
	memory, ok := m.Memory()
	if !ok {
		return Image{}, false
	}
	size := memory.Min << 16
	var segments []segment
	var data, first, last uint64
	for _, s := range m.sections {
		if s.id != sectionData {
			continue
		}
		r := reader{b: s.payload}
		for n := r.u32("segments"); n > 0 && r.err == nil; n-- {
			g, active, constant := r.segment()
			if !active {
				continue
			}
			if !constant || r.err != nil || g.at+uint64(len(g.bytes)) > size {
				return Image{}, false
			}
			if segments = append(segments, g); len(g.bytes) == 0 {
				continue
			}
			if data == 0 || g.at < first {
				first = g.at
			}
			data, last = data+uint64(len(g.bytes)), max(last, g.at+uint64(len(g.bytes)))
		}
	}
	first &^= ImagePage - 1
	if len(segments) == 0 || last-first > 2*data+imageRoom {
		return Image{}, false
	}
	i := Image{At: first, Bytes: make([]byte, last-first)}
	for _, g := range segments {
		if len(g.bytes) > 0 {
			copy(i.Bytes[g.at-first:], g.bytes)
		}
	}
	for n := len(i.Bytes); n > 0 && i.Bytes[n-1] == 0; n-- {
		i.Bytes = i.Bytes[:n-1]
	}
	return i, true
}

// segment is one active data segment.
type segment struct {
	at    uint64
	bytes []byte
}

// segment reads a data segment, and tells whether it is active and whether its offset is one constant.
func (r *reader) segment() (g segment, active, constant bool) {
	kind := r.u32("segment")
	if kind == 2 {
		r.u32("memory")
	}
	if active = kind != 1; active {
		start := reader{b: r.b}
		r.constant()
		if start.byte("offset") == opI32Const {
			g.at = uint64(uint32(start.walkNumber()))
			constant = start.byte("offset") == opEnd && start.err == nil
		}
	}
	g.bytes = r.take(r.u32("segment"), "segment")
	return g, active, constant
}

// ActiveData reports whether a data segment is active and has bytes, or may not fit where it is to be written.
func (m *Module) ActiveData() bool {
	i, ok := m.Image()
	if ok {
		return len(i.Bytes) > 0
	}
	for _, s := range m.sections {
		if s.id != sectionData {
			continue
		}
		r := reader{b: s.payload}
		for n := r.u32("segments"); n > 0 && r.err == nil; n-- {
			if r.dataSegment() {
				return true
			}
		}
	}
	return false
}
