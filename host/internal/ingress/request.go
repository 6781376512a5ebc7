package ingress

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/troupehost/troupe/artifacts/manifest"
)

func commas(s string) []string {
	l := strings.Split(s, ",")
	for n := range l {
		l[n] = strings.TrimSpace(l[n])
	}
	return l
}

// passed says whether a header of a request goes on to an app.
func passed(r *http.Request, name string) bool {
	switch name {
	case "Cookie", "Cookie2", "Content-Length", "Host", "Forwarded", "X-Real-Ip", "Proxy", "Expect":
		return false
	}
	if strings.HasPrefix(name, "X-Troupe-") || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Proxy-") || strings.IndexByte(name, '_') >= 0 {
		return false // an underscore would be a hyphen in the environment of a command, and one header pass for another
	}
	if slices.Contains(hop, name) {
		return false
	}
	for _, v := range r.Header["Connection"] {
		for _, n := range commas(v) {
			if strings.EqualFold(n, name) {
				return false
			}
		}
	}
	return true
}

// upgrade returns what the client wants to speak after an upgrade, "" if nothing.
func upgrade(r *http.Request) string {
	u := r.Header["Upgrade"]
	if len(u) != 1 || !token(u[0]) || r.ContentLength != 0 || !r.ProtoAtLeast(1, 1) {
		return ""
	}
	for _, v := range r.Header["Connection"] {
		for _, n := range commas(v) {
			if strings.EqualFold(n, "upgrade") {
				return u[0]
			}
		}
	}
	return ""
}

// names returns the headers that go on to an app, sorted, so that the same request is the same input.
func names(space []string, r *http.Request) []string {
	for name := range r.Header {
		if passed(r, name) {
			space = append(space, name)
		}
	}
	slices.Sort(space)
	return space
}

func peer(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

const appPrefix = "/app/"

// appendHead writes the head of a request as an app sees it. body is the length of its body, -1 if nobody knows yet.
func appendHead(b []byte, r *http.Request, app, target string, body int64, up string) []byte {
	line := func(name, value string) {
		b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
	}
	b = append(append(append(append(b, r.Method...), ' '), target...), " HTTP/1.1\r\n"...)
	line("Host", r.Host)
	if body > 0 || body == 0 && r.ContentLength == 0 && r.Header["Content-Length"] != nil {
		b = strconv.AppendInt(append(b, "Content-Length: "...), body, 10)
		b = append(b, "\r\n"...)
	}
	if up != "" {
		line("Connection", "Upgrade")
		line("Upgrade", up)
	}
	line("X-Forwarded-For", peer(r))
	line("X-Forwarded-Prefix", appPrefix+app)
	var space [24]string
	for _, name := range names(space[:0], r) {
		for _, v := range r.Header[name] {
			line(name, v)
		}
	}
	return append(b, "\r\n"...)
}

// env returns the environment of a command, as CGI/1.1 has it, RFC 3875. It comes before that of the manifest, which cannot set
// what is set here.
func env(r *http.Request, m *manifest.Manifest, app, target string) []string {
	path, query, _ := strings.Cut(target, "?")
	if plain, ok := unescape(path); ok {
		path = plain
	}
	out := make([]string, 0, 16+len(r.Header)+len(m.Env))
	set := func(name, value string) {
		if strings.IndexByte(value, 0) < 0 {
			out = append(out, name+"="+value)
		}
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, "80"
	}
	set("GATEWAY_INTERFACE", "CGI/1.1")
	set("SERVER_PROTOCOL", r.Proto)
	set("SERVER_SOFTWARE", "troupe")
	set("SERVER_NAME", host)
	set("SERVER_PORT", port)
	set("REQUEST_METHOD", r.Method)
	set("REQUEST_URI", appPrefix+app+target)
	set("SCRIPT_NAME", appPrefix+app)
	set("PATH_INFO", path)
	set("QUERY_STRING", query)
	set("REMOTE_ADDR", peer(r))
	set("REMOTE_HOST", peer(r))
	if r.ContentLength > 0 {
		set("CONTENT_LENGTH", strconv.FormatInt(r.ContentLength, 10))
	}
	if v := r.Header.Get("Content-Type"); v != "" {
		set("CONTENT_TYPE", v)
	}
	set("HTTP_HOST", r.Host)
	var space [24]string
	for _, name := range names(space[:0], r) {
		if name == "Content-Type" {
			continue
		}
		sep := ", "
		set("HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")), strings.Join(r.Header[name], sep))
	}
	for _, p := range m.Env {
		if !strings.HasPrefix(p.Key, "HTTP_") && !slices.ContainsFunc(out, func(have string) bool { return strings.HasPrefix(have, p.Key+"=") }) && !reserved(p.Key) {
			set(p.Key, p.Value)
		}
	}
	return out
}

// reserved are variables of requests that are not set for each of them.
func reserved(name string) bool {
	switch name {
	case "CONTENT_LENGTH", "CONTENT_TYPE", "AUTH_TYPE", "PATH_TRANSLATED", "REMOTE_IDENT", "REMOTE_USER":
		return true
	}
	return false
}

// unescape decodes a path; not one with a NUL, which would end it.
func unescape(path string) (string, bool) {
	if strings.IndexByte(path, '%') < 0 {
		return path, true
	}
	var b strings.Builder
	for n := 0; n < len(path); n++ {
		c := path[n]
		if c == '%' {
			if n+2 >= len(path) {
				return "", false
			}
			v, err := strconv.ParseUint(path[n+1:n+3], 16, 8)
			if err != nil || v == 0 {
				return "", false
			}
			c = byte(v)
			n += 2
		}
		b.WriteByte(c)
	}
	return b.String(), true
}
