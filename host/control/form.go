package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// form is the body of a request that carries code.
type form struct {
	code, input []byte
	stdin       io.Reader // nil: the form has no such part, or it was read
	stdinBytes  []byte
}

// readForm reads the parts and decodes the first one into request. stdin is left in the body, unless the form is wanted whole.
func (s *Server) readForm(w http.ResponseWriter, r *http.Request, request any, whole bool) (form, error) {
	var f form
	order := []string{api.PartRequest, api.PartCode, api.PartInput, api.PartStdin}
	err := s.eachPart(w, r, order, func(name string, p io.Reader) (leave bool, err error) {
		switch name {
		case api.PartRequest:
			err = s.decode(r, p, request)
		case api.PartCode:
			f.code, err = s.readPart(r, p, s.opts.MaxCodeBytes, fault.GuestCodeTooLarge)
		case api.PartInput:
			f.input, err = s.readPart(r, p, s.opts.MaxInputBytes, fault.CallerParamsTooBig)
		case api.PartStdin:
			if !whole {
				f.stdin = p
				return true, nil
			}
			f.stdinBytes, err = s.readPart(r, p, s.opts.MaxInputBytes, fault.CallerParamsTooBig)
		}
		return false, err
	})
	return f, err
}

// eachPart takes the parts of a form in their order, of which the first one must be there, within the time for it. A part that take
// leaves is the last one: it may be read later, and without haste.
func (s *Server) eachPart(w http.ResponseWriter, r *http.Request, order []string, take func(name string, p io.Reader) (leave bool, err error)) error {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(s.opts.FormTimeout))
	names := strings.Join(order, ", ")
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return invalid("the body", "send multipart/form-data with the parts "+names)
	}
	body := &between{r: r.Body}
	parts := multipart.NewReader(body, params["boundary"])
	next := 0
	for next < len(order) {
		body.headers = maxPartHeader
		p, err := parts.NextRawPart()
		body.headers = inPart
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return cutOff(err)
		}
		name := p.FormName()
		at := slices.Index(order[next:], name)
		if at < 0 || (next == 0 && at > 0) {
			return invalid("part "+fault.Quote(name), "the parts are "+names+", in this order")
		}
		next += at + 1
		leave, err := take(name, p)
		if err != nil {
			return err
		}
		if leave {
			_ = rc.SetReadDeadline(time.Time{})
			return nil
		}
	}
	if next == 0 {
		return invalid("the body", "the part "+order[0]+" is missing")
	}
	// Only at the end of the body does net/http watch the connection, and so cancel the request of a caller who left.
	if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, api.MaxRequestBytes)); err != nil {
		return cutOff(err)
	}
	_ = rc.SetReadDeadline(time.Time{})
	return nil
}

const (
	maxPartHeader = 64 << 10 // bytes between two parts: mime/multipart would take 10 MiB
	inPart        = -1
)

// between reads a form, and bounds what comes before a part.
type between struct {
	r       io.Reader
	headers int // bytes that may still come; inPart: they are counted elsewhere
}

func (b *between) Read(p []byte) (int, error) {
	if b.headers == inPart {
		return b.r.Read(p)
	}
	if b.headers == 0 {
		return 0, errors.New("the header of a part is too long")
	}
	n, err := b.r.Read(p[:min(len(p), b.headers)])
	b.headers -= n
	return n, err
}

func (s *Server) decode(r *http.Request, p io.Reader, v any) error {
	b, err := s.readPart(r, p, api.MaxRequestBytes, fault.CallerParamsTooBig)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fault.New(fault.CallerInvalid, "part", api.PartRequest, errors.New(fault.Quote(err.Error())))
	}
	return nil
}

func (s *Server) readPart(r *http.Request, p io.Reader, limit int64, tooLarge fault.Code) ([]byte, error) {
	return s.gather(r.Context(), visitOf(r.Context()), p, limit, tooLarge)
}

// cutOff names the fault of a body that did not arrive.
func cutOff(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fault.New(fault.CanceledDeadline, "read request", "", err).WithHint("send the request faster")
	}
	return fault.New(fault.CallerInvalid, "read request", "", err).WithHint("the body ended early or is malformed")
}

func invalid(subject, hint string) *fault.Error {
	return fault.New(fault.CallerInvalid, "request", subject, nil).WithHint(hint)
}

// jobRequest turns the wire form into the host's. Bytes that were not sent are absent, not empty.
func jobRequest(a api.Submit, f form, tenant string) (host.JobRequest, error) {
	r := host.JobRequest{StdinBytes: f.stdinBytes, Key: a.Key, Deadline: a.Deadline}
	var err error
	if r.Request, err = runRequest(a.Execute, f, tenant); err != nil {
		return r, err
	}
	if len(a.Key) > api.MaxTagBytes {
		return r, invalid("idempotency_key", longTag)
	}
	r.Keep, err = duration("keep_us", a.KeepMicros, minKeep, maxKeep)
	return r, err
}

// The range of host.JobRequest.Keep.
const (
	minKeep = time.Second
	maxKeep = 366 * 24 * time.Hour
)

var longTag = fmt.Sprintf("pass at most %d bytes", api.MaxTagBytes)

// runRequest turns the wire form into the host's.
func runRequest(a api.Execute, f form, tenant string) (host.Request, error) {
	r := host.Request{
		Code: f.code, CodeHash: a.CodeHash, Tenant: tenant, Input: f.input, Validity: a.Validity, CanonicalNaNs: a.CanonicalNaNs,
		Limits: run.Limits{MemoryBytes: a.Limits.MemoryBytes, OutputBytes: a.Limits.OutputBytes,
			Gas: a.Limits.Gas, InitGas: a.Limits.InitGas, StackValues: a.Limits.StackValues},
		Entry: run.Entry{Name: a.Entry.Name, Args: a.Entry.Args, Env: a.Entry.Env},
	}
	var err error
	if r.Limits.CPU, err = duration("limits.cpu_us", a.Limits.CPUMicros, run.MinTime, run.MaxCPU); err != nil {
		return r, err
	}
	if r.Limits.Wall, err = duration("limits.wall_us", a.Limits.WallMicros, run.MinTime, run.MaxWall); err != nil {
		return r, err
	}
	if err := r.Limits.Validate(); err != nil {
		return r, err
	}
	switch a.Entry.Mode {
	case "":
	case run.Command.String():
		r.Entry.Mode = run.Command
	case run.Invoke.String():
		r.Entry.Mode = run.Invoke
	case run.Bytes.String():
		r.Entry.Mode = run.Bytes
	default:
		return r, invalid("entry mode "+fault.Quote(a.Entry.Mode), "choose command, invoke or bytes")
	}
	switch a.World {
	case "", api.WorldDeterministic:
		r.Determinism = run.Deterministic
	case api.WorldReal:
		r.Determinism = run.RealWorld
	default:
		return r, invalid("world "+fault.Quote(a.World), "choose deterministic or real")
	}
	if r.Imports, err = importsOf(a.Imports); err != nil {
		return r, err
	}
	if r.Isolation, err = run.ParseIsolation(a.Isolation); err != nil {
		return r, err
	}
	r.Priority, err = priorityOf(a.Priority)
	return r, err
}

func codeRequest(a api.Code, f form, tenant string) (host.CodeRequest, error) {
	r := host.CodeRequest{Code: f.code, CodeHash: a.CodeHash, Tenant: tenant, CanonicalNaNs: a.CanonicalNaNs}
	var err error
	if r.CPU, err = duration("cpu_us", a.CPUMicros, run.MinTime, run.MaxCPU); err != nil {
		return r, err
	}
	if r.Imports, err = importsOf(a.Imports); err != nil {
		return r, err
	}
	r.Priority, err = priorityOf(a.Priority)
	return r, err
}

// duration takes microseconds from the wire, none of which means the default. They are compared before they are
// multiplied: the product of a huge number wraps around to a harmless one.
func duration(field string, micros int64, least, most time.Duration) (time.Duration, error) {
	if micros != 0 && (micros < least.Microseconds() || micros > most.Microseconds()) {
		return 0, invalid(field+" "+strconv.FormatInt(micros, 10), fmt.Sprintf("%s must be between %d and %d", field, least.Microseconds(), most.Microseconds()))
	}
	return time.Duration(micros) * time.Microsecond, nil
}

func importsOf(s string) (run.Imports, error) {
	switch s {
	case "", api.ImportsRefuse:
		return run.RefuseMissing, nil
	case api.ImportsTrap:
		return run.TrapMissing, nil
	}
	return 0, invalid("imports "+fault.Quote(s), "choose refuse or trap")
}

// priorityOf leaves the choice of the default to the host.
func priorityOf(s string) (run.Priority, error) {
	if s == "" {
		return 0, nil
	}
	return run.ParsePriority(s)
}
