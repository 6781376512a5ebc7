package ingress

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// Failure is the page of a failed request.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// statusOf maps a fault to a status of HTTP.
func statusOf(f *fault.Error) int {
	switch f.Code {
	case fault.CallerNotFound:
		return http.StatusNotFound
	case fault.CallerParamsTooBig:
		return http.StatusRequestEntityTooLarge
	case fault.CallerDenied, fault.CallerSignature, fault.CallerSignatureExpired, fault.CallerSignatureScope, fault.CallerSignatureWorker, fault.CallerSignatureReplay:
		return http.StatusForbidden
	case fault.CallerAppState, fault.CallerConflict:
		return http.StatusConflict
	case fault.BusyApp:
		return http.StatusTooManyRequests
	case fault.CallerClosed, fault.CanceledStopped:
		return http.StatusServiceUnavailable
	case fault.GuestNoReply, fault.CanceledDeadline:
		return http.StatusGatewayTimeout
	}
	switch f.Class {
	case fault.Guest, fault.Suspect:
		return http.StatusBadGateway
	case fault.Busy:
		return http.StatusServiceUnavailable
	case fault.Caller:
		return http.StatusBadRequest
	case fault.Canceled:
		return http.StatusRequestTimeout
	}
	return http.StatusInternalServerError
}

// page makes the page of a fault. Only what a caller did wrong is said in detail: users are strangers.
func page(err error) (status int, retry time.Duration, body []byte) {
	f := fault.From(err)
	d := fault.Describe(f.Code)
	p := Failure{Code: string(f.Code), Message: d.Text}
	switch f.Class {
	case fault.Caller:
		p.Message, p.Hint = f.Error(), f.Hint
	case fault.Busy:
		p.Hint, retry = d.Hint, max(f.RetryAfter, time.Second)
	case fault.Guest, fault.Suspect, fault.Canceled:
		p.Hint = d.Hint
	}
	body, _ = json.Marshal(p)
	return statusOf(f), retry, append(body, '\n')
}

func (x *exchange) fail(err error) {
	f := fault.From(err)
	if f.Class == fault.Host || f.Class == fault.Bug {
		x.s.report(f)
	}
	if x.opened || x.gone {
		x.abort()
	}
	status, retry, body := page(f)
	h := make(http.Header, 4)
	h.Set("Content-Type", "application/json")
	if retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int((retry+time.Second-1)/time.Second)))
	}
	x.length = int64(len(body))
	x.whole(status, h, body)
}

// verdict is the fault of a receipt, nil if there is none.
func verdict(r run.Receipt) error {
	if r.Verdict == "ok" {
		return nil
	}
	return fault.New(fault.Code(r.Fault), "run", "", nil)
}

func badReply(what string) error {
	return fault.New(fault.GuestBadReply, "read the response", "", errors.New(what))
}
