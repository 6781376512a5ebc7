package appdata

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/troupehost/troupe/actors/fault"
)

// Limits of lines.
const (
	MaxText = 128 << 10 // bytes of one text; the rest is cut, and counted as dropped
	MaxLast = 10_000    // lines that Last returns

	lineOverhead = 100 // what a line takes besides its text, about
)

// The levels of lines. Others count as the nearest.
const (
	LevelError = 1 + iota
	LevelWarn
	LevelInfo
	LevelDebug
	LevelTrace
)

var levels = [...]string{LevelError: "error", LevelWarn: "warn", LevelInfo: "info", LevelDebug: "debug", LevelTrace: "trace"}

// Line is what an instance logged at once. Its text is as the guest gave it: hostile.
type Line struct {
	Seq      uint64
	Time     time.Time
	Instance uint64
	Level    int
	Text     []byte
}

// stored is a line on disk.
type stored struct {
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Instance uint64    `json:"instance"`
	Level    string    `json:"level"`
	Text     string    `json:"text"`
	Raw      []byte    `json:"base64"` // instead of a text that is not UTF-8
	Lines    uint64    `json:"dropped_lines"`
	Bytes    uint64    `json:"dropped_bytes"`
}

// appendLine appends a line as JSON. All that is not printable is escaped, so that who looks at the file meets nothing else.
func appendLine(b []byte, l Line, d Drops) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, l.Seq, 10)
	b = append(b, `,"time":"`...)
	b = l.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","instance":`...)
	b = strconv.AppendUint(b, l.Instance, 10)
	b = append(b, `,"level":"`...)
	b = append(append(b, levels[min(max(l.Level, LevelError), LevelTrace)]...), '"')
	if d != (Drops{}) {
		b = fmt.Appendf(b, `,"dropped_lines":%d,"dropped_bytes":%d`, d.Lines, d.Bytes)
	}
	if utf8.Valid(l.Text) {
		b = appendText(append(b, `,"text":"`...), l.Text)
	} else {
		b = base64.StdEncoding.AppendEncode(append(b, `,"base64":"`...), l.Text)
	}
	return append(b, "\"}\n"...)
}

func appendText(b, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case unicode.IsPrint(r):
			b = append(b, text[:n]...)
		case r > 0xffff:
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
		text = text[n:]
	}
	return b
}

func decodeLine(b []byte) (Line, Drops, error) {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return Line{}, Drops{}, err
	}
	l := Line{Seq: s.Seq, Time: s.Time, Instance: s.Instance, Level: max(slices.Index(levels[:], s.Level), LevelError), Text: []byte(s.Text)}
	if s.Raw != nil {
		l.Text = s.Raw
	}
	return l, Drops{s.Lines, s.Bytes}, nil
}

// place is where a reader is.
type place struct {
	file uint64 // by its first line
	at   int64
}

// Last returns the newest lines, at most n and at most MaxLast, the oldest first.
//
// # Errors
//
// host.disk_io.
func (a *AppLog) Last(n int) ([]Line, error) {
	n = min(n, MaxLast)
	files, _ := a.known()
	var out []Line
	for ; len(files) > 0 && len(out) < n; files = files[:len(files)-1] {
		var part []Line
		_, err := a.read(files[len(files)-1], 0, func(l Line) bool {
			if part = append(part, l); len(part) > 2*n {
				part = slices.Delete(part, 0, len(part)-n)
			}
			return true
		})
		if errors.Is(err, fs.ErrNotExist) {
			break // it made room meanwhile
		}
		if err != nil {
			return nil, fault.New(fault.HostDiskIO, "read log", a.dir, err)
		}
		out = append(part[max(0, len(part)-(n-len(out))):], out...)
	}
	return out, nil
}

// Follow returns the lines with higher numbers than after, and then those that come, until ctx ends: with canceled.*. Where a
// reader was too slow, numbers are missing.
//
// # Errors
//
// host.disk_io, canceled.*: the last thing that it returns.
func (a *AppLog) Follow(ctx context.Context, after uint64) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		var here place
		for {
			files, changed := a.known()
			if here.file == 0 { // begin in the file that has the next line
				for _, s := range files {
					if here.file == 0 || s.first <= after+1 {
						here.file = s.first
					}
				}
			}
			for _, s := range files {
				if s.first < here.file {
					continue
				}
				if s.first > here.file {
					here = place{file: s.first}
				}
				goOn := true
				at, err := a.read(s, here.at, func(l Line) bool {
					if l.Seq > after {
						after = l.Seq
						goOn = ctx.Err() == nil && yield(l, nil)
					}
					return goOn
				})
				here.at = at
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					yield(Line{}, fault.New(fault.HostDiskIO, "read log", a.dir, err))
					return
				}
				if !goOn && ctx.Err() == nil {
					return // the caller has enough
				}
			}
			if err := wait(ctx, changed); err != nil {
				yield(Line{}, err)
				return
			}
		}
	}
}

// known returns what is written, after all that was logged before has been, and what is closed when there is more.
func (a *AppLog) known() ([]segment, <-chan struct{}) {
	a.flush()
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.files), a.changed
}

// read calls use with the lines of a file from an offset on, until it says no, and returns where it got to.
func (a *AppLog) read(s segment, at int64, use func(Line) bool) (int64, error) {
	f, err := a.logs.root.Open(path.Join(a.dir, s.name()))
	if err != nil {
		return at, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(io.NewSectionReader(f, at, s.size-at), 64<<10)
	for {
		b, err := r.ReadBytes('\n')
		at += int64(len(b))
		if line, _, bad := decodeLine(bytes.TrimSpace(b)); bad == nil && len(b) > 0 && !use(line) {
			return at, nil // a line that cannot be read is passed over
		}
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return at, err
		}
	}
}
