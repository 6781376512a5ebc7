package wasm

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/troupehost/troupe/actors/fault"
)

// CompressedPrefix stands before zstd-compressed code; the value is that of Substrate's maybe-compressed blobs.
var CompressedPrefix = []byte{82, 188, 83, 118, 70, 219, 142, 5}

// leastWindow is what a frame may always ask the decoder to remember, however small its content: four times the window
// of the strongest common level.
const leastWindow = 32 << 20

// Inflate returns code as it is, or decompressed if it bears the prefix; never more than limit bytes. A frame may keep
// all of its content in one window, so as much memory is taken once more, and 32 MiB at least.
//
// # Errors
//
// guest.decompression_bomb, guest.bad_compression.
func Inflate(code []byte, limit int64) ([]byte, error) {
	body, ok := bytes.CutPrefix(code, CompressedPrefix)
	if !ok {
		return code, nil
	}
	window := uint64(max(limit, leastWindow))
	dec, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(window), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return nil, fault.New(fault.GuestBadCompression, "inflate", "", err)
	}
	defer dec.Close()
	out, err := io.ReadAll(io.LimitReader(dec, limit+1))
	switch {
	case int64(len(out)) > limit, errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, fault.New(fault.GuestDecompressionBomb, "inflate", "", nil)
	case err != nil:
		return nil, fault.New(fault.GuestBadCompression, "inflate", "", err)
	}
	return out, nil
}
