package ingress

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
)

// Limits of what a guest writes before a body.
const (
	maxHead  = 64 << 10
	maxLines = 256
)

var errHead = errors.New("a header line cannot be read")

// cutHead splits at the first empty line, which LF or CRLF end. ok is false as long as there is none.
func cutHead(b []byte) (head, rest []byte, ok bool) {
	for from := 0; ; {
		n := bytes.IndexByte(b[from:], '\n')
		if n < 0 {
			return nil, nil, false
		}
		line := b[from : from+n]
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return b[:from], b[from+n+1:], true
		}
		from += n + 1
	}
}

// parseHeader reads header lines that LF or CRLF end, the last one perhaps neither. It takes no folded lines, no space before a
// colon, no control characters: nothing that somebody behind us could read in another way.
func parseHeader(b []byte) (http.Header, error) {
	h := make(http.Header, 8)
	if len(b) > maxHead {
		return nil, errors.New("the header is larger than 64 KiB")
	}
	for lines := 0; len(b) > 0; lines++ {
		if lines == maxLines {
			return nil, errors.New("the header has more than 256 lines")
		}
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		b = rest
		line = bytes.TrimSuffix(line, []byte{'\r'})
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok || !token(name) {
			return nil, errHead
		}
		value = bytes.Trim(value, " \t")
		for _, c := range value {
			if c < ' ' && c != '\t' || c == 0x7f {
				return nil, errHead
			}
		}
		key := textproto.CanonicalMIMEHeaderKey(string(name))
		h[key] = append(h[key], string(value))
	}
	return h, nil
}

// token says whether b is a name as HTTP has them.
func token[T string | []byte](b T) bool {
	for n := range len(b) {
		switch c := b[n]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '!', c == '#', c == '$', c == '%', c == '&', c == '\'', c == '*', c == '+', c == '-', c == '.', c == '^', c == '_', c == '`', c == '|', c == '~':
		default:
			return false
		}
	}
	return len(b) > 0
}

// length takes the Content-Length out of a header; -1 if there is none.
func length(h http.Header) (int64, error) {
	v := h["Content-Length"]
	delete(h, "Content-Length")
	switch len(v) {
	case 0:
		return -1, nil
	case 1:
		if n, err := strconv.ParseUint(v[0], 10, 63); err == nil && v[0][0] != '+' {
			return int64(n), nil
		}
	}
	return 0, errors.New("the length of the body cannot be read")
}

// hop are the headers of one connection, which end here in both directions.
var hop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// keptFromClients are headers of responses that speak for the whole name and so for other apps, and those that are ours.
var keptFromClients = []string{
	"Set-Cookie", "Set-Cookie2", "Service-Worker-Allowed", "Clear-Site-Data", "Strict-Transport-Security", "Public-Key-Pins", "Alt-Svc", "Nel", "Report-To", "Reporting-Endpoints",
	HeaderSignature, "Date", "Status",
}

// clean takes from the header of a guest what is not for clients.
func clean(h http.Header) {
	for _, v := range h["Connection"] {
		for _, name := range commas(v) {
			h.Del(name)
		}
	}
	for _, name := range hop {
		delete(h, name)
	}
	for _, name := range keptFromClients {
		delete(h, name)
	}
}

// cutLine splits off a line, without its end.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), rest
}

// number reads three digits.
func number(b []byte) (int, bool) {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, len(b) == 3
}

// dechunk reads a body in chunks, which libraries make of a response of unknown length.
func dechunk(encoding []string, b []byte) ([]byte, error) {
	if len(encoding) != 1 || !strings.EqualFold(encoding[0], "chunked") {
		return nil, badReply("its transfer encoding is not known")
	}
	out, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(b)))
	if err != nil {
		return nil, badReply("its chunks cannot be read")
	}
	return out, nil
}
