package guest

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
)

// WebSocket is the server's end of RFC 6455. One goroutine may read while another writes, if both are within Serve.
type WebSocket struct {
	conn io.ReadWriteCloser
	in   *bufio.Reader
	max  int
	sent bool // the close frame
}

const (
	opContinue = 0
	opText     = 1
	opBinary   = 2
	opClose    = 8
	opPing     = 9
	opPong     = 10
)

const maxControl = 125

var (
	errFrame = errors.New("not a WebSocket frame of a client")
	errLong  = errors.New("WebSocket message is too long")
)

// UpgradeWebSocket answers a request for a WebSocket. Messages are at most maxBytes long.
func UpgradeWebSocket(w *Response, r *Request, maxBytes int) (*WebSocket, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if r.Method != "GET" || key == "" || !r.Header.Has("Upgrade", "websocket") || r.Header.Get("Sec-WebSocket-Version") != "13" {
		w.Header.Set("Sec-WebSocket-Version", "13")
		w.WriteHeader(426)
		return nil, errFrame
	}
	w.Header.Set("Upgrade", "websocket")
	w.Header.Set("Connection", "Upgrade")
	w.Header.Set("Sec-WebSocket-Accept", acceptKey(key))
	conn, err := w.Upgrade()
	if err != nil {
		return nil, err
	}
	return newWebSocket(conn, maxBytes), nil
}

func newWebSocket(conn io.ReadWriteCloser, maxBytes int) *WebSocket {
	return &WebSocket{conn: conn, in: bufio.NewReader(conn), max: maxBytes}
}

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Read returns the next message, and io.EOF when the other side has closed. Pings are answered meanwhile.
func (s *WebSocket) Read() (message []byte, binary bool, err error) {
	kind := byte(0)
	for {
		final, op, data, err := s.frame(s.max - len(message))
		if err != nil {
			return nil, false, err
		}
		switch {
		case op == opPing:
			if err := s.write(opPong, data); err != nil {
				return nil, false, err
			}
			continue
		case op == opPong:
			continue
		case op == opClose:
			_ = s.write(opClose, data[:min(len(data), 2)])
			s.sent = true
			return nil, false, io.EOF
		case op == opContinue && kind == 0, op != opContinue && kind != 0, op > opBinary:
			return nil, false, errFrame
		case op != opContinue:
			kind = op
		}
		message = append(message, data...)
		if final {
			return message, kind == opBinary, nil
		}
	}
}

// frame reads one frame, of which a client masks the data.
func (s *WebSocket) frame(room int) (final bool, op byte, data []byte, err error) {
	var b [8]byte
	if _, err := io.ReadFull(s.in, b[:2]); err != nil {
		return false, 0, nil, err
	}
	final, op = b[0]&0x80 != 0, b[0]&15
	n := uint64(b[1] & 127)
	if b[0]&0x70 != 0 || b[1]&0x80 == 0 || op >= opClose && (!final || n > maxControl) {
		return false, 0, nil, errFrame
	}
	switch n {
	case 126:
		_, err = io.ReadFull(s.in, b[:2])
		n = uint64(binary.BigEndian.Uint16(b[:2]))
	case 127:
		_, err = io.ReadFull(s.in, b[:8])
		n = binary.BigEndian.Uint64(b[:8])
	}
	if err != nil {
		return false, 0, nil, unexpected(err)
	}
	if op < opClose && n > uint64(max(room, 0)) {
		return false, 0, nil, errLong
	}
	var mask [4]byte
	if _, err := io.ReadFull(s.in, mask[:]); err != nil {
		return false, 0, nil, unexpected(err)
	}
	data = make([]byte, n)
	if _, err := io.ReadFull(s.in, data); err != nil {
		return false, 0, nil, unexpected(err)
	}
	for i := range data {
		data[i] ^= mask[i&3]
	}
	return final, op, data, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Write sends a message.
func (s *WebSocket) Write(message []byte, binary bool) error {
	op := byte(opText)
	if binary {
		op = opBinary
	}
	return s.write(op, message)
}

func (s *WebSocket) write(op byte, data []byte) error {
	b := []byte{0x80 | op}
	switch n := len(data); {
	case n <= maxControl:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	_, err := s.conn.Write(append(b, data...))
	return err
}

// Close says that it is over, and closes the connection.
func (s *WebSocket) Close() error {
	if !s.sent {
		s.sent = true
		_ = s.write(opClose, []byte{1000 >> 8, 1000 & 255})
	}
	return s.conn.Close()
}
