package pool

import (
	"encoding/binary"
	"strconv"
)

func itoa(n int) string { return strconv.Itoa(n) }

// A few modules, assembled by hand.

const (
	i32 = 0x7f
	i64 = 0x7e
)

func section(id byte, body ...byte) []byte { return sized([]byte{id}, body) }

func sized(head, b []byte) []byte { return append(binary.AppendUvarint(head, uint64(len(b))), b...) }

func name(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func module(sections ...[]byte) []byte {
	return join([]byte("\x00asm\x01\x00\x00\x00"), join(sections...))
}

// body is a function body without locals.
func body(code ...byte) []byte { return sized(nil, join([]byte{0}, code, []byte{0x0b})) }

// adder exports add(i32, i32) -> i32 and spin(), which never returns.
func adder() []byte {
	return module(
		section(1, 2, 0x60, 2, i32, i32, 1, i32, 0x60, 0, 0),
		section(3, 2, 0, 1),
		section(7, join([]byte{2}, name("add"), []byte{0, 0}, name("spin"), []byte{0, 1})...),
		section(10, join([]byte{2},
			body(0x20, 0, 0x20, 1, 0x6a),         // local.get 0, local.get 1, i32.add
			body(0x03, 0x40, 0x0c, 0, 0x0b))...), // loop br 0 end
	)
}

// echo is a command that copies stdin to stdout in pieces of up to 1 KiB.
func echo() []byte {
	store := func(at, v byte) []byte { return []byte{0x41, at, 0x41, v, 0x36, 2, 0} } // i32.store at v
	code := join(
		[]byte{0x03, 0x40}, // loop
		store(0, 16),
		[]byte{0x41, 4, 0x41, 0x80, 0x08, 0x36, 2, 0},             // length 1024
		[]byte{0x41, 0, 0x41, 0, 0x41, 1, 0x41, 8, 0x10, 0, 0x1a}, // fd_read(0, 0, 1, 8), drop
		[]byte{0x41, 8, 0x28, 2, 0, 0x45, 0x04, 0x40, 0x0f, 0x0b}, // if *8 == 0 return
		[]byte{0x41, 4, 0x41, 8, 0x28, 2, 0, 0x36, 2, 0},          // length = *8
		[]byte{0x41, 1, 0x41, 0, 0x41, 1, 0x41, 8, 0x10, 1, 0x1a}, // fd_write(1, 0, 1, 8), drop
		[]byte{0x0c, 0, 0x0b}, // br 0 end
	)
	wasi := "wasi_snapshot_preview1"
	return module(
		section(1, 2, 0x60, 4, i32, i32, i32, i32, 1, i32, 0x60, 0, 0),
		section(2, join([]byte{2}, name(wasi), name("fd_read"), []byte{0, 0}, name(wasi), name("fd_write"), []byte{0, 0})...),
		section(3, 1, 1),
		section(5, 1, 0, 1),
		section(7, join([]byte{2}, name("memory"), []byte{2, 0}, name("_start"), []byte{0, 2})...),
		section(10, join([]byte{1}, body(code...))...),
	)
}

// flood is a command that writes 64 KiB to stdout for ever.
func flood() []byte {
	code := join(
		[]byte{0x03, 0x40},
		[]byte{0x41, 4, 0x41, 0x80, 0x80, 0x03, 0x36, 2, 0}, // length 49152
		[]byte{0x41, 1, 0x41, 0, 0x41, 1, 0x41, 8, 0x10, 0, 0x1a},
		[]byte{0x0c, 0, 0x0b},
	)
	return module(
		section(1, 2, 0x60, 4, i32, i32, i32, i32, 1, i32, 0x60, 0, 0),
		section(2, join([]byte{1}, name("wasi_snapshot_preview1"), name("fd_write"), []byte{0, 0})...),
		section(3, 1, 1),
		section(5, 1, 0, 1),
		section(7, join([]byte{2}, name("memory"), []byte{2, 0}, name("_start"), []byte{0, 1})...),
		section(10, join([]byte{1}, body(code...))...),
	)
}

// writer is a command that makes calls of fd_write so many times, and then ends, or else spins. A call is the descriptor
// and the number of pieces; each piece is one byte, an a for stdout and a b for stderr.
func writer(times int, spins bool, calls ...[2]int) []byte {
	num := func(n int) []byte { return append([]byte{0x41}, leb(n)...) }
	const list, most = 64, 4096 // addresses of the pieces of stdout and of stderr
	var code []byte
	code = append(code, 0x03, 0x40) // loop
	for fd := 1; fd <= 2; fd++ {    // each entry: address fd, length 1
		at := []byte{0x20, 0}
		base := list + (fd-1)*8*most
		code = join(code, at, num(fd), []byte{0x36, 2}, leb(base), at, num(1), []byte{0x36, 2}, leb(base+4))
	}
	code = join(code, []byte{0x20, 0}, num(8), []byte{0x6a, 0x22, 0}, num(8*most), []byte{0x49, 0x0d, 0, 0x0b}) // i += 8, br_if i < 8*most, end
	code = join(code, num(0), num('a'<<8|'b'<<16), []byte{0x36, 2, 0})                                          // mem[1] = 'a', mem[2] = 'b'
	code = append(code, 0x03, 0x40)
	for _, c := range calls {
		code = join(code, num(c[0]), num(list+(c[0]-1)*8*most), num(c[1]), num(32), []byte{0x10, 0, 0x1a})
	}
	code = join(code, []byte{0x20, 1}, num(1), []byte{0x6a, 0x22, 1}, num(times), []byte{0x49, 0x0d, 0, 0x0b})
	if spins {
		code = append(code, 0x03, 0x40, 0x0c, 0, 0x0b)
	}
	return module(
		section(1, 2, 0x60, 4, i32, i32, i32, i32, 1, i32, 0x60, 0, 0),
		section(2, join([]byte{1}, name("wasi_snapshot_preview1"), name("fd_write"), []byte{0, 0})...),
		section(3, 1, 1),
		section(5, 1, 0, 2),
		section(7, join([]byte{2}, name("memory"), []byte{2, 0}, name("_start"), []byte{0, 1})...),
		section(10, join([]byte{1}, sized(nil, join([]byte{1, 2, i32}, code, []byte{0x0b})))...),
	)
}

// napper is a command that computes for a while and sleeps for that many nanoseconds by the monotonic clock, for ever.
func napper(steps, nanos int) []byte {
	num := func(n int) []byte { return append([]byte{0x41}, leb(n)...) }
	code := join(
		num(16), num(1), []byte{0x36, 2, 0}, // the clock
		num(24), []byte{0x42}, leb(nanos), []byte{0x37, 3, 0}, // the timeout
		[]byte{0x03, 0x40},                                                                             // loop
		num(steps), []byte{0x21, 0, 0x03, 0x40, 0x20, 0}, num(1), []byte{0x6b, 0x22, 0, 0x0d, 0, 0x0b}, // i = steps, loop i -= 1 br_if i end
		num(0), num(64), num(1), num(128), []byte{0x10, 0, 0x1a}, // poll_oneoff, drop
		[]byte{0x0c, 0, 0x0b},
	)
	return module(
		section(1, 2, 0x60, 4, i32, i32, i32, i32, 1, i32, 0x60, 0, 0),
		section(2, join([]byte{1}, name("wasi_snapshot_preview1"), name("poll_oneoff"), []byte{0, 0})...),
		section(3, 1, 1),
		section(5, 1, 0, 1),
		section(7, join([]byte{2}, name("memory"), []byte{2, 0}, name("_start"), []byte{0, 1})...),
		section(10, join([]byte{1}, sized(nil, join([]byte{1, 1, i32}, code, []byte{0x0b})))...),
	)
}

// leb is a signed number of WebAssembly, of those that are not negative.
func leb(n int) []byte {
	var b []byte
	for ; n >= 0x40; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// quitter is a command that exits with 7. It does first what is given.
func quitter(first ...byte) []byte {
	return module(
		section(1, 2, 0x60, 1, i32, 0, 0x60, 0, 0),
		section(2, join([]byte{1}, name("wasi_snapshot_preview1"), name("proc_exit"), []byte{0, 0})...),
		section(3, 1, 1),
		section(5, 1, 0, 1),
		section(7, join([]byte{2}, name("memory"), []byte{2, 0}, name("_start"), []byte{0, 1})...),
		section(10, join([]byte{1}, body(append(first, 0x41, 7, 0x10, 0)...))...),
	)
}

// mirror exports same(ptr, len) -> (len << 32) | ptr: it returns its input.
func mirror() []byte {
	return module(
		section(1, 1, 0x60, 2, i32, i32, 1, i64),
		section(3, 1, 0),
		section(5, 1, 0, 2),
		section(7, join([]byte{2}, name("memory"), []byte{2, 0}, name("same"), []byte{0, 0})...),
		section(10, join([]byte{1}, body(0x20, 1, 0xad, 0x42, 32, 0x86, 0x20, 0, 0xad, 0x84))...),
	)
}
