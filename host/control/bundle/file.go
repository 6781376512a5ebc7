package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

// Format is the version of the file.
const Format = 1

// What a file may hold at most.
const (
	MaxPartBytes      = 64 << 20  // of one part, as JSON
	MaxJSONBytes      = 256 << 20 // of all parts together
	MaxObjects        = 400_000   // objects and lists of one part: small JSON must not become large memory
	MaxRecordingBytes = 4 << 30
	maxEntries        = 8 << 10
	maxWindow         = 8 << 20 // that a decoder must keep
	chunk             = 1 << 20 // of a recording
)

// Names of entries.
const (
	entryFirst     = "troupe-bundle"
	entryManifest  = "manifest.json"
	entryRecording = "recording/"
)

// preface is the first entry.
type preface struct {
	Format  int       `json:"format"`
	Version string    `json:"version"` // of the host
	Boot    string    `json:"boot"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// manifest is the last entry.
type manifest struct {
	Entries []sum `json:"entries"`
}

type sum struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// part is one part of a bundle in a file of its own.
type part struct {
	name string
	at   any
}

// parts are all of a bundle but the preface. "host.json" holds the lists that belong to it.
func parts(b *api.Bundle) []part {
	return []part{
		{"host.json", &b.Host}, {"actors.json", &b.Actors}, {"mailboxes.json", &b.Mailboxes}, {"guests.json", &b.Guests},
		{"jobs.json", &b.Jobs}, {"timelines.json", &b.Timelines}, {"explanations.json", &b.Explanations}, {"dead.json", &b.Dead},
		{"apps.json", &b.Apps}, {"session.json", &b.Session}, {"chain.json", &b.Chain}, {"calls.json", &b.Calls},
		{"demands.json", &b.Demands}, {"pay.json", &b.Pay}, {"blobs.json", &b.Blobs}, {"log.json", &b.Log},
		{"audit.json", &b.Audit}, {"config.json", &b.Config}, {"missing.json", &b.Missing},
	}
}

// Write writes a bundle, and after it what the cores were given, unless recording is nil. Nothing of what was written is of
// use if it fails.
func Write(w io.Writer, b *api.Bundle, recording io.Reader) error {
	z, err := zstd.NewWriter(w, zstd.WithWindowSize(maxWindow/2), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fault.New(fault.BugUnexpected, "bundle", "", err)
	}
	out := &writer{tar: tar.NewWriter(z), at: b.At}
	err = out.json(entryFirst, preface{Format, b.Host.Version, b.Host.Boot, b.Reason, b.At})
	for _, p := range parts(b) {
		if err == nil {
			err = out.json(p.name, p.at)
		}
	}
	if err == nil && recording != nil {
		err = out.recording(recording)
	}
	if err == nil {
		err = out.json(entryManifest, manifest{out.sums})
	}
	if err == nil {
		err = out.tar.Close()
	}
	if closing := z.Close(); err == nil {
		err = closing
	}
	if err != nil && fault.From(err).Class == fault.Bug {
		err = fault.New(fault.CallerOutput, "bundle", "", err)
	}
	return err
}

type writer struct {
	tar  *tar.Writer
	at   time.Time
	sums []sum
}

func (w *writer) json(name string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fault.New(fault.BugUnexpected, "bundle", name, err)
	}
	if len(body) > MaxPartBytes || objects(body) > MaxObjects {
		return fault.New(fault.CallerParamsTooBig, "bundle", name, nil).WithHint("this host shows more than one file can hold")
	}
	return w.entry(name, body)
}

func (w *writer) entry(name string, body []byte) error {
	at := w.at.UTC().Truncate(time.Second)
	if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(body)), ModTime: at, Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	digest := sha256.Sum256(body)
	w.sums = append(w.sums, sum{name, int64(len(body)), hex.EncodeToString(digest[:])})
	_, err := w.tar.Write(body)
	return err
}

func (w *writer) recording(r io.Reader) error {
	buf := make([]byte, chunk)
	for n, total := 0, int64(0); ; n++ {
		got, err := io.ReadFull(r, buf)
		if total += int64(got); total > MaxRecordingBytes || n >= maxEntries/2 {
			return fault.New(fault.CallerParamsTooBig, "bundle", "recording", nil).WithHint("record for a shorter time")
		}
		if got > 0 {
			if err := w.entry(fmt.Sprintf("%s%08d", entryRecording, n), buf[:got]); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// objects counts what a decoder would have to make of JSON, strings included: too many rather than too few.
func objects(body []byte) int { return bytes.Count(body, []byte{'{'}) + bytes.Count(body, []byte{'['}) }

// Read reads a bundle, and checks the whole file.
//
// # Errors
//
// caller.invalid_request: it is no bundle, it was cut or damaged, or a newer program wrote it.
func Read(r io.Reader) (*api.Bundle, error) { return read(r, true, io.Discard) }

// ReadRecording copies what the cores were given, and checks the whole file. It must not be used if that fails.
//
// # Errors
//
// Those of Read; caller.not_found if there is no recording in it; those of w.
func ReadRecording(r io.Reader, w io.Writer) error {
	count := &counted{w: w}
	if _, err := read(r, false, count); err != nil {
		return err
	}
	if count.n == 0 {
		return fault.New(fault.CallerNotFound, "bundle", "recording", nil).WithHint("the host must record before the snapshot is made")
	}
	return nil
}

type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

const (
	hintWhole = "the file is not whole: copy it again, or make a new one with 'troupe node snapshot'"
	hintOther = "pass a file that 'troupe node snapshot' made"
	hintNewer = "a newer troupe wrote it: open it with that version"
)

func refuse(subject, hint string, err error) error {
	return fault.New(fault.CallerInvalid, "bundle", subject, err).WithHint(hint)
}

func read(r io.Reader, wanted bool, recording io.Writer) (*api.Bundle, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, refuse("", hintOther, plain(err))
	}
	defer z.Close()
	in := &reader{tar: tar.NewReader(z), b: &api.Bundle{}, wanted: wanted, to: recording, parts: map[string]any{}, left: map[string]any{}}
	for _, p := range parts(in.b) {
		in.parts[p.name] = p.at
	}
	for n := 0; !in.done; n++ {
		if n > maxEntries {
			return nil, refuse("", hintOther, errors.New("too many entries"))
		}
		if err := in.next(n); err != nil {
			return nil, err
		}
	}
	// Whatever follows the manifest was not written by us: a checksum must cover all that anybody reads.
	if _, err := in.tar.Next(); err != io.EOF {
		return nil, refuse("", hintWhole, errors.New("something follows the manifest"))
	}
	in.b.Format, in.b.Reason, in.b.At = in.first.Format, in.first.Reason, in.first.At
	return in.b, nil
}

type reader struct {
	tar    *tar.Reader
	b      *api.Bundle
	wanted bool
	to     io.Writer
	parts  map[string]any
	left   map[string]any // parts that were seen
	first  preface
	sums   []sum
	json   int64
	taken  int64 // of the recording
	chunks int
	done   bool
}

func (r *reader) next(n int) error {
	h, err := r.tar.Next()
	switch {
	case err == io.EOF:
		return refuse("", hintWhole, errors.New("its manifest is missing"))
	case err != nil && n == 0:
		return refuse("", hintOther, plain(err))
	case err != nil:
		return refuse("", hintWhole, plain(err))
	}
	name := fault.Quote(h.Name)
	if h.Typeflag != tar.TypeReg || len(h.Name) > 100 || h.Size < 0 {
		return refuse(name, hintOther, errors.New("this is no plain file"))
	}
	if (n == 0) != (h.Name == entryFirst) {
		return refuse(name, hintOther, errors.New("it does not begin as a bundle"))
	}
	if rest, ok := strings.CutPrefix(h.Name, entryRecording); ok {
		return r.chunk(h, rest)
	}
	if r.json += h.Size; h.Size > MaxPartBytes || r.json > MaxJSONBytes {
		return refuse(name, hintOther, fmt.Errorf("it is larger than a part may be (%d MiB)", MaxPartBytes>>20))
	}
	// The size in a header is a claim: memory is taken as bytes come.
	var body bytes.Buffer
	if _, err := body.ReadFrom(r.tar); err != nil {
		return refuse(name, hintWhole, plain(err))
	}
	digest := sha256.Sum256(body.Bytes())
	if h.Name == entryManifest {
		return r.check(body.Bytes())
	}
	r.sums = append(r.sums, sum{h.Name, int64(body.Len()), hex.EncodeToString(digest[:])})
	at, known := r.parts[h.Name]
	if n == 0 {
		at, known = &r.first, true
	}
	if _, twice := r.left[h.Name]; twice {
		return refuse(name, hintOther, errors.New("it is there twice"))
	}
	r.left[h.Name] = at
	if !known || !r.wanted && n > 0 {
		return nil
	}
	if objects(body.Bytes()) > MaxObjects {
		return refuse(name, hintOther, errors.New("it holds too many objects"))
	}
	if err := json.Unmarshal(body.Bytes(), at); err != nil {
		return refuse(name, hintWhole, errors.New(fault.Quote(err.Error())))
	}
	if n == 0 && r.first.Format != Format {
		if r.first.Format > Format {
			return refuse("", hintNewer, fmt.Errorf("format %d", r.first.Format))
		}
		return refuse("", hintOther, fmt.Errorf("format %d", r.first.Format))
	}
	return nil
}

func (r *reader) chunk(h *tar.Header, number string) error {
	name := fault.Quote(h.Name)
	if number != fmt.Sprintf("%08d", r.chunks) {
		return refuse(name, hintWhole, errors.New("the recording is out of order"))
	}
	r.chunks++
	if r.taken += h.Size; h.Size > chunk || r.taken > MaxRecordingBytes {
		return refuse(name, hintOther, errors.New("the recording is too large"))
	}
	digest := sha256.New()
	if err := r.copy(digest, h.Size); err != nil {
		return err
	}
	r.sums = append(r.sums, sum{h.Name, h.Size, hex.EncodeToString(digest.Sum(nil))})
	return nil
}

func (r *reader) copy(digest hash.Hash, n int64) error {
	body := make([]byte, n) // at most one chunk
	if _, err := io.ReadFull(r.tar, body); err != nil {
		return refuse("recording", hintWhole, plain(err))
	}
	digest.Write(body)
	if _, err := r.to.Write(body); err != nil {
		return fault.New(fault.CallerOutput, "bundle", "recording", err)
	}
	return nil
}

// check compares what was read with the manifest.
func (r *reader) check(body []byte) error {
	var m manifest
	if objects(body) > maxEntries+2 {
		return refuse(entryManifest, hintOther, errors.New("it holds too many objects"))
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return refuse(entryManifest, hintWhole, errors.New(fault.Quote(err.Error())))
	}
	if len(m.Entries) != len(r.sums) {
		return refuse(entryManifest, hintWhole, fmt.Errorf("%d entries instead of %d", len(r.sums), len(m.Entries)))
	}
	for i, want := range m.Entries {
		if r.sums[i] != want {
			return refuse(fault.Quote(r.sums[i].Name), hintWhole, errors.New("its checksum is another one"))
		}
	}
	for name := range r.parts {
		if _, ok := r.left[name]; !ok && r.wanted {
			return refuse(name, hintWhole, errors.New("this part is missing"))
		}
	}
	r.done = true
	return nil
}

// plain hides which library failed, but not how.
func plain(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("it ends too early")
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return errors.New("it wants too much memory")
	case errors.Is(err, zstd.ErrMagicMismatch), errors.Is(err, tar.ErrHeader):
		return errors.New("this is another kind of file")
	}
	return errors.New(fault.Quote(err.Error()))
}
