package webui

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

// prefix of all that is passed on.
const prefix = "/api"

// routes are what the console uses. What changes something goes through a plan; nothing else of the control API can be reached.
var routes = []string{
	api.RouteMe, api.RouteOpenAPI, api.RouteStatus, api.RouteActors, api.RouteActor, api.RouteMailbox, api.RouteGuests, api.RouteWorkers,
	api.RouteQueues, api.RouteDead, api.RouteFailures, api.RouteHealth, api.RouteLog, api.RouteAudit, api.RouteTimeline, api.RouteCause,
	api.RouteExplain, api.RouteHistory, api.RouteConfig, api.RouteWatch, api.RouteTrace, api.RouteOperation, api.RouteSnapshot,
	api.RouteList, api.RouteShow, api.RouteJobs, api.RouteJob, api.RouteApps, api.RouteApp, api.RouteAppLog, api.RouteSession,
	api.RouteAppMetrics, api.RouteBlobs, api.RouteChain, api.RouteChainCalls, api.RouteChainDemands, api.RouteChainPay,
	api.RoutePlan, api.RouteApply,
}

// Headers that are passed on, each way.
var (
	toHost   = []string{"Accept", "Content-Type", "Last-Event-ID", api.HeaderReason, api.HeaderIdempotency, api.HeaderDryRun, api.HeaderIfMatch}
	fromHost = []string{"Content-Type", "Retry-After", api.HeaderVersion, "ETag"}
)

// types that a page may get; all else becomes bytes to keep.
var types = map[string]bool{api.TypeJSON: true, api.TypeSSE: true, api.TypeEvents: true, api.TypeBytes: true}

const (
	maxQuery   = 16 << 10
	writeTime  = 30 * time.Second // that a browser may take for one piece of a reply
	copyBuffer = 32 << 10
)

// pass sends a request of the page on to the host, and its reply back as it comes.
func (s *server) pass(w http.ResponseWriter, r *http.Request) {
	over, done, err := s.gate.pass(s.cookie(r), r.Header.Get(headerKey))
	if err != nil {
		refuse(w, http.StatusUnauthorized, err)
		return
	}
	defer done()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		refuse(w, http.StatusServiceUnavailable, fault.New(fault.BusyQueueFull, "web", "too many requests at once", nil).WithRetryAfter(time.Second))
		return
	}
	ctx, cancel := withEnd(r.Context(), over)
	defer cancel()
	out, err := onward(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if r.Method == http.MethodPost {
		body, err := whole(w, r)
		if err != nil {
			refuse(w, http.StatusRequestEntityTooLarge, err)
			return
		}
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	resp, err := s.opts.Host.RoundTrip(out.WithContext(ctx))
	if err != nil {
		refuse(w, http.StatusBadGateway, unreachable(err))
		return
	}
	defer resp.Body.Close()
	for _, name := range fromHost {
		if v := resp.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if !types[strings.TrimSpace(kind)] {
		w.Header().Set("Content-Type", api.TypeBytes)
	}
	if strings.TrimSpace(kind) == api.TypeBytes {
		w.Header().Set("Content-Disposition", "attachment")
	}
	w.WriteHeader(resp.StatusCode)
	stream(w, resp.Body)
}

// whole reads a body within bounds. The deadline is taken back, since it would cut off a reply that takes its time.
func whole(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(writeTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, api.MaxRequestBytes))
	_ = c.SetReadDeadline(time.Time{})
	if err != nil {
		return nil, fault.New(fault.CallerParamsTooBig, "web", "body", nil)
	}
	return body, nil
}

// onward returns the request for the host: the same route and query, few of its headers, no cookies.
func onward(r *http.Request) (*http.Request, error) {
	p, escaped := r.URL.Path, r.URL.EscapedPath()
	if strings.ContainsAny(p, "\\\x00\r\n") || path.Clean(p) != p || path.Clean(escaped) != escaped {
		return nil, fault.New(fault.CallerInvalid, "web", "path", nil)
	}
	if len(r.URL.RawQuery) > maxQuery {
		return nil, fault.New(fault.CallerInvalid, "web", "the query is too long", nil)
	}
	if r.Method == http.MethodPost && r.Header.Get("Content-Type") != api.TypeJSON && r.ContentLength != 0 {
		return nil, fault.New(fault.CallerInvalid, "web", "only JSON is sent", nil)
	}
	out := &http.Request{
		Method: r.Method, Host: api.HostName, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		URL: &url.URL{Scheme: "http", Host: api.HostName, Path: strings.TrimPrefix(p, prefix), RawQuery: r.URL.RawQuery},
	}
	if r.URL.RawPath != "" {
		out.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, prefix)
	}
	for _, name := range toHost {
		if v := r.Header.Get(name); v != "" {
			out.Header.Set(name, v)
		}
	}
	out.Header.Set(api.HeaderOrigin, "web")
	return out, nil
}

func unreachable(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	return fault.New(fault.CallerUnreachable, "control", "", err).WithHint("the host died or was stopped: see its log")
}

// stream copies a reply piece by piece; a browser that takes none of it for a while is left.
func stream(w http.ResponseWriter, body io.Reader) {
	c := http.NewResponseController(w)
	buffer := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			_ = c.SetWriteDeadline(time.Now().Add(writeTime))
			if _, err := w.Write(buffer[:n]); err != nil {
				return
			}
			if err := c.Flush(); err != nil {
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			panic(http.ErrAbortHandler) // the page must see that this is not all
		}
	}
}
