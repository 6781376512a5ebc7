package ingress

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
)

const queryPrefix = "/query/"

// open lets pages of other names call: there is nothing here that depends on who a browser is.
func cross(h http.Header) http.Header {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", HeaderSignature)
	return h
}

// method says whether a request has the method that its page takes, and answers if it has not.
func (x *exchange) method(want string) bool {
	switch x.r.Method {
	case want:
		return true
	case http.MethodOptions:
		h := cross(make(http.Header, 4))
		h.Set("Access-Control-Allow-Methods", want)
		h.Set("Access-Control-Allow-Headers", "Content-Type, "+HeaderQuerySignature+", "+HeaderQueryKey+", "+HeaderSign)
		x.whole(http.StatusNoContent, h, nil)
		return false
	}
	x.fail(fault.New(fault.CallerInvalid, "serve HTTP", fault.Quote(x.r.Method), nil).WithHint("use " + want))
	return false
}

func (x *exchange) answer(kind string, body []byte) {
	x.length = int64(len(body))
	x.whole(http.StatusOK, cross(http.Header{"Content-Type": {kind}, "Cache-Control": {"no-store"}}), body)
}

// serveQuery takes POST /query/ADDRESS?path=PATH with the payload as its body.
func (s *Server) serveQuery(x *exchange) {
	if !x.method(http.MethodPost) {
		return
	}
	app, rest, err := parseTarget(x.target, queryPrefix)
	if err == nil && strings.HasPrefix(rest, "/") {
		err = fault.New(fault.CallerNotFound, "query", "", nil).WithHint("the path of a query is a parameter: ?path=")
	}
	if err != nil {
		x.fail(err)
		return
	}
	values, err := url.ParseQuery(strings.TrimPrefix(rest, "?"))
	if err != nil {
		x.fail(fault.New(fault.CallerInvalid, "query", fault.Quote(rest), nil))
		return
	}
	payload := new([]byte) // not of the pool: after a failure somebody may still look at it
	if err := x.readAll(payload, s.lim.MaxBodyBytes); err != nil {
		x.fail(err)
		return
	}
	q := Query{App: app, Path: values.Get("path"), Payload: *payload}
	if text := x.r.Header.Get(HeaderQuerySignature); text != "" {
		signature, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
		if err == nil {
			err = s.verify(&q, signature)
		} else {
			err = fault.New(fault.CallerSignature, "query", "", err)
		}
		if err != nil {
			x.fail(err)
			return
		}
	}
	x.limit()
	reply, err := s.cfg.Apps.Query(x.ctx, q)
	if err != nil {
		x.fail(err)
		return
	}
	x.answer("application/octet-stream", reply)
}

func (s *Server) verify(q *Query, signature []byte) error {
	if s.cfg.Verify == nil {
		return fault.New(fault.CallerSignature, "query", "", nil).WithHint("signed queries are not taken here")
	}
	account, err := s.cfg.Verify(q.App, q.Path, q.Payload, signature)
	if err != nil {
		return err
	}
	q.Origin = &account
	return nil
}

// serveSealed takes POST /sealed with an encrypted query as its body, and encrypts the reply. What fails is said in the clear.
func (s *Server) serveSealed(x *exchange) {
	if !x.method(http.MethodPost) {
		return
	}
	var pubkey [32]byte
	text := strings.TrimPrefix(x.r.Header.Get(HeaderQueryKey), "0x")
	if b, err := hex.DecodeString(text); err != nil || copy(pubkey[:], b) != len(pubkey) || len(b) != len(pubkey) {
		x.fail(fault.New(fault.CallerSealed, "open a query", "", nil).WithHint(HeaderQueryKey + " must be the client's public key, 64 hex digits"))
		return
	}
	sealed := new([]byte)
	if err := x.readAll(sealed, s.lim.MaxBodyBytes); err != nil {
		x.fail(err)
		return
	}
	opened, err := s.cfg.Open(pubkey, *sealed)
	if err != nil {
		x.fail(err)
		return
	}
	q := Query{App: opened.App, Path: opened.Path, Payload: opened.Payload}
	if len(opened.Signature) > 0 {
		if err := s.verify(&q, opened.Signature); err != nil {
			x.fail(err)
			return
		}
	}
	x.limit()
	reply, err := s.cfg.Apps.Query(x.ctx, q)
	if err != nil {
		x.fail(err)
		return
	}
	x.answer("application/octet-stream", opened.Seal(reply))
}

func (s *Server) serveInfo(x *exchange) {
	if x.method(http.MethodGet) {
		x.answer("application/json", s.cfg.Info())
	}
}
