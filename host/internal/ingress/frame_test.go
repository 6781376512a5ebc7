package ingress

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"io"
)

// The server side of RFC 6455, as little of it as an echo needs.

func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func readFrame(r io.Reader) (kind byte, p []byte, err error) {
	var h [8]byte
	if _, err = io.ReadFull(r, h[:2]); err != nil {
		return 0, nil, err
	}
	kind = h[0] & 15
	n := int(h[1] & 127)
	if n == 126 {
		if _, err = io.ReadFull(r, h[:2]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(h[:2]))
	}
	var mask [4]byte
	if _, err = io.ReadFull(r, mask[:]); err != nil {
		return 0, nil, err
	}
	p = make([]byte, n)
	_, err = io.ReadFull(r, p)
	for i := range p {
		p[i] ^= mask[i%4]
	}
	return kind, p, err
}

func frame(kind byte, p []byte) []byte {
	b := []byte{0x80 | kind, byte(len(p))}
	if len(p) > 125 {
		b = binary.BigEndian.AppendUint16([]byte{0x80 | kind, 126}, uint16(len(p)))
	}
	return append(b, p...)
}
