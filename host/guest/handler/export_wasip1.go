//go:build wasip1

package handler

import (
	"os"
	"unsafe"

	"github.com/troupehost/troupe/host/guest"
)

// in and out are kept while the host reads and writes them.
var in, out []byte

// alloc makes room for the request. Without it the host would take memory that Go takes for its own when its heap grows.
//
//go:wasmexport troupe_alloc
func alloc(n uint32) unsafe.Pointer {
	in = make([]byte, max(n, 1))
	return unsafe.Pointer(&in[0])
}

//go:wasmexport query
func query(_ unsafe.Pointer, n uint32) uint64 {
	if Query == nil {
		fail("there is no handler for queries")
	}
	reply, err := guest.AnswerQuery(in[:n], Query)
	if err != nil {
		fail(err.Error())
	}
	return result(reply)
}

//go:wasmexport http
func http(_ unsafe.Pointer, n uint32) uint64 {
	if HTTP == nil {
		fail("there is no handler for HTTP")
	}
	return result(guest.AnswerHTTP(in[:n], HTTP))
}

func result(b []byte) uint64 {
	out = b
	return uint64(len(b))<<32 | uint64(uintptr(unsafe.Pointer(unsafe.SliceData(out))))
}

func fail(why string) {
	guest.Log(guest.LevelError, why)
	os.Exit(1)
}
