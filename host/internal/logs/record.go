package logs

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// Keys of records.
const (
	keyLevel      = "level"
	keyCode       = "code"
	keyMessage    = "message"
	keyStack      = "stack" // has lines
	keySuppressed = "suppressed"
)

// Bounds of what is shown of a record.
const (
	maxText  = 1024 // a string
	maxKey   = 64
	maxStack = 16 << 10
	maxItems = 64 // fields, or elements of one
	maxDepth = 4
)

// members calls f for each member of an object as zerolog writes it, with the bytes of its value, and stops at what is none.
func members(p []byte, f func(key, value []byte)) {
	p = bytes.TrimSpace(p)
	if len(p) < 2 || p[0] != '{' {
		return
	}
	for p = p[1:]; len(p) > 0 && p[0] == '"'; {
		end := textEnd(p)
		if end+1 >= len(p) || p[end] != ':' {
			return
		}
		key := p[1 : end-1]
		p = p[end+1:]
		n := valueEnd(p)
		if n == 0 {
			return
		}
		f(key, p[:n])
		if n >= len(p) || p[n] != ',' {
			return
		}
		p = p[n+1:]
	}
}

// textEnd returns the length of the string that p begins with.
func textEnd(p []byte) int {
	for i := 1; i < len(p); i++ {
		switch p[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(p)
}

// valueEnd returns the length of the value that p begins with.
func valueEnd(p []byte) int {
	depth := 0
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '"':
			i += textEnd(p[i:]) - 1
			if depth == 0 {
				return min(i+1, len(p))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(p)
}

// words returns code and message of a record, defused.
func words(p []byte) (code, message string) {
	members(p, func(key, value []byte) {
		switch string(key) {
		case keyCode:
			code = textOf(value, fault.MaxQuoted)
		case keyMessage:
			message = textOf(value, maxText)
		}
	})
	return code, message
}

func textOf(value []byte, most int) string {
	var s string
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return oneLine(s, most)
}

func oneLine(s string, most int) string {
	return fault.QuoteTo(strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "; "), most)
}

// cut returns what is kept of a record that is too long.
func cut(p []byte) []byte {
	code, message := words(p)
	return debt{code: code, message: message + " (its fields were too long to be kept)"}.record()
}

// line is a record for those who look.
func (s slot) line(seq uint64) inspect.LogLine {
	l := inspect.LogLine{Seq: seq, At: time.Unix(0, s.at).UTC(), Level: s.level.String(), Suppressed: s.suppressed}
	fields := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(s.text))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		l.Message = oneLine(string(s.text), maxText)
		return l
	}
	l.Code, l.Message = words(s.text)
	for _, known := range []string{keyLevel, keyMessage, zerolog.TimestampFieldName} {
		delete(fields, known)
	}
	if l.Code != "" {
		delete(fields, keyCode)
	}
	if fields, _ := inert(fields, "", 0).(map[string]any); len(fields) > 0 {
		l.Fields = fields
	}
	return l
}

// inert defuses a value of JSON.
func inert(v any, key string, depth int) any {
	if depth > maxDepth {
		return "…"
	}
	switch v := v.(type) {
	case string:
		if key == keyStack {
			return stack(v)
		}
		return oneLine(v, maxText)
	case []any:
		for i := range v[:min(len(v), maxItems)] {
			v[i] = inert(v[i], "", depth+1)
		}
		return v[:min(len(v), maxItems)]
	case map[string]any:
		out := make(map[string]any, min(len(v), maxItems))
		for k, x := range v {
			if len(out) < maxItems {
				out[fault.QuoteTo(k, maxKey)] = inert(x, k, depth+1)
			}
		}
		return out
	}
	return v
}

// stack defuses a text of several lines.
func stack(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if b.Len() > maxStack-maxText {
			b.WriteString("…")
			break
		}
		line = strings.TrimRight(line, "\n")
		indent := len(line) - len(strings.TrimLeft(line, "\t"))
		b.WriteString(strings.Repeat("  ", min(indent, 8)))
		b.WriteString(fault.QuoteTo(line[indent:], maxText/2))
		b.WriteByte('\n')
	}
	return b.String()
}

// forward hands a record to the embedder's logger.
func (r *Ring) forward(level zerolog.Level, suppressed uint64, p []byte) {
	if r.least == zerolog.Disabled || level < r.least && level >= zerolog.InfoLevel {
		return // below info there is only what an operator wants to see
	}
	e := r.cfg.Out.WithLevel(level)
	if e == nil {
		return
	}
	message := ""
	members(p, func(key, value []byte) {
		switch {
		case string(key) == keyLevel || string(key) == zerolog.TimestampFieldName:
		case string(key) == keyMessage:
			message = textOf(value, maxText)
		case plain(key) && plain(value):
			e.RawJSON(string(key), value)
		default:
			var k string
			var v any
			d := json.NewDecoder(bytes.NewReader(value))
			d.UseNumber()
			if json.Unmarshal(append(append([]byte{'"'}, key...), '"'), &k) == nil && d.Decode(&v) == nil {
				e.Interface(fault.QuoteTo(k, maxKey), inert(v, k, 0))
			}
		}
	})
	if suppressed > 0 {
		e.Uint64(keySuppressed, suppressed)
	}
	e.Msg(message)
}

// plain says that bytes of JSON need no defusing.
func plain(b []byte) bool {
	if len(b) > maxText {
		return false
	}
	for _, c := range b {
		if c < 0x20 || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
}
