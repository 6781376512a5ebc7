package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Failure is the body of each reply that is not a success.
type Failure struct {
	Error Error `json:"error"`
}

// Error is the wire form of a *fault.Error.
type Error struct {
	Class        string `json:"class"`
	Code         string `json:"code"`
	Message      string `json:"message"` // all of it in words
	Hint         string `json:"hint,omitempty"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
	Op           string `json:"op,omitempty"` // the parts of Message
	Subject      string `json:"subject,omitempty"`
	Cause        string `json:"cause,omitempty"`
}

// ErrorOf returns the wire form of err.
func ErrorOf(err error) Error {
	f := fault.From(err)
	e := Error{
		Class: f.Class.String(), Code: string(f.Code), Message: f.Error(), Hint: f.Hint,
		RetryAfterMS: f.RetryAfter.Milliseconds(), Op: f.Op, Subject: f.Subject,
	}
	if f.Err != nil {
		e.Cause = f.Err.Error()
	}
	return e
}

// Fault returns e as the error that the host had. Class and hint are taken as sent, since the host may be newer.
func (e Error) Fault() *fault.Error {
	f := fault.New(fault.Code(e.Code), e.Op, e.Subject, nil)
	if c, ok := fault.ParseClass(e.Class); ok {
		f.Class = c
	}
	f.Hint = e.Hint
	f.RetryAfter = time.Duration(e.RetryAfterMS) * time.Millisecond
	if e.Cause != "" {
		f.Err = errors.New(e.Cause)
	}
	return f
}

// StatusOf returns the HTTP status that goes with a fault: by class, and for caller faults by code.
func StatusOf(f *fault.Error) int {
	switch f.Code {
	case fault.CallerNotFound, fault.HostArtifactMissing:
		return http.StatusNotFound
	case fault.CallerDenied, fault.CallerSignature, fault.CallerSignatureExpired, fault.CallerSignatureScope, fault.CallerSignatureWorker,
		fault.CallerSignatureReplay:
		return http.StatusForbidden
	case fault.CallerStale:
		return http.StatusPreconditionFailed
	case fault.CallerConflict, fault.CallerQuota, fault.CallerAppExists, fault.CallerAppState, fault.CallerBlobMissing, fault.CallerBlobInUse,
		fault.CallerNoSession, fault.CallerSession:
		return http.StatusConflict
	case fault.CallerParamsTooBig, fault.GuestCodeTooLarge, fault.CallerBlobTooLarge, fault.CallerManifestTooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.CallerClosed:
		return http.StatusServiceUnavailable
	}
	switch f.Class {
	case fault.Guest:
		return http.StatusUnprocessableEntity
	case fault.Suspect:
		return http.StatusBadGateway
	case fault.Busy:
		return http.StatusServiceUnavailable
	case fault.Caller:
		return http.StatusBadRequest
	case fault.Canceled:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}
