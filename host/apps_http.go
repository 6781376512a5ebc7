package host

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/internal/calls"
	"github.com/troupehost/troupe/host/internal/ingress"
)

// AppHandler is the HTTP of the users of apps: /app/ADDRESS/..., queries, and who the worker is. It has none of the methods of
// operators. Package ingress says what it does; ServeApps serves it with limits on connections, too.
func (h *Host) AppHandler() http.Handler { return h.apps.users }

// ServeApps serves AppHandler on a listener until the host closes, which closes the listener.
//
// # Errors
//
// caller.host_closed, host.unsupported.
func (h *Host) ServeApps(l net.Listener) error { return h.apps.users.ServeHTTPOn(l) }

// ServeTLS hands the connections of a listener to apps by the server names in their manifests, until the host closes. It has the
// certificates of AppConfig.Certificates.
//
// # Errors
//
// As ServeApps; caller.invalid_config without certificates.
func (h *Host) ServeTLS(l net.Listener) error {
	if h.cfg.Apps.Certificates == nil {
		return fault.New(fault.CallerConfig, "config", "Apps.Certificates", nil).WithHint("name a directory of certificates")
	}
	return h.apps.users.ServeTLS(l)
}

// CertificateDir finds the certificates of server names in a directory, as NAME.pem and NAME.key, and reads them anew when they
// change.
func CertificateDir(dir string) func(name string) (*tls.Certificate, error) {
	return ingress.CertificateDir(dir)
}

func (a *apps) newUsers() *ingress.Server {
	return ingress.New(ingress.Config{
		Apps:   (*users)(a),
		Sign:   func(message []byte) [64]byte { return a.keys.Worker().Sign(message) },
		Info:   a.info,
		Verify: a.verify,
		Open: func(pubkey [32]byte, sealed []byte) (ingress.Sealed, error) {
			q, sig, seal, err := a.origin.Open(a.keys.Worker(), sealed, pubkey)
			return ingress.Sealed{App: q.Address, Path: q.Path, Payload: q.Payload, Signature: sig, Seal: seal}, err
		},
		Certificate: a.h.cfg.Apps.Certificates,
		Report:      func(err error) { a.h.log.Error().Err(err).Msg("a request of a user of an app") },
	})
}

// info is what everybody may know of the worker.
func (a *apps) info() []byte {
	ctx, cancel := context.WithTimeout(a.h.life, a.h.cfg.StopTimeout)
	defer cancel()
	s, err := a.h.Session(ctx)
	if err != nil {
		return nil
	}
	b, err := json.Marshal(map[string]any{"worker_key": s.WorkerKey, "session": s.ID, "version": Version, "apps": s.Apps, "slots": s.Slots, "slots_used": s.SlotsUsed})
	if err != nil {
		return nil
	}
	return b
}

// users brings requests of users to the apps.
type users apps

// Admit implements ingress.Apps.
func (u *users) Admit(ctx context.Context, app manifest.Address, kind uint32) (ingress.Admission, error) {
	a := (*apps)(u)
	if err := a.h.enter(); err != nil {
		return nil, a.h.refused(err)
	}
	d, err := a.admit(ctx, app, kind)
	if err != nil {
		a.h.leave()
		return nil, err
	}
	return &userAdmission{d: d}, nil
}

// Lookup implements ingress.Apps.
func (u *users) Lookup(name string) (manifest.Address, bool) { return (*apps)(u).named(name) }

// Query implements ingress.Apps.
func (u *users) Query(ctx context.Context, q ingress.Query) ([]byte, error) {
	a := (*apps)(u)
	if err := a.h.enter(); err != nil {
		return nil, a.h.refused(err)
	}
	defer a.h.leave()
	var from []byte
	if q.Origin != nil {
		from = q.Origin[:]
	}
	r, err := a.query(ctx, q.App, AppQuery{Path: q.Path, Payload: q.Payload}, from)
	return r.Output, err
}

// userAdmission is an admission for the ingress.
type userAdmission struct {
	d    *admission
	used meter.Use // by runs
}

// Entry implements ingress.Admission.
func (u *userAdmission) Entry() manifest.Entry { return u.d.app.rec.Entry }

// Manifest implements ingress.Admission.
func (u *userAdmission) Manifest() *manifest.Manifest { return u.d.app.m }

// Deliver implements ingress.Admission.
func (u *userAdmission) Deliver(ctx context.Context, e calls.Event) error {
	return u.d.deliver(ctx, run.High, e)
}

// Run implements ingress.Admission.
func (u *userAdmission) Run(ctx context.Context, r ingress.Run) (run.Receipt, error) {
	q := Request{Stdin: r.Stdin, Stdout: r.Stdout, Input: r.Input, Entry: run.Entry{Mode: run.Bytes, Name: r.Export}}
	if r.Export == "" {
		q.Entry = u.d.app.entry()
		q.Entry.Env = r.Env // it has that of the manifest, behind what is about the request
	}
	receipt, used, err := u.d.start(ctx, run.High, q)
	u.used.Merge(used)
	return receipt, err
}

// Commit implements ingress.Admission.
func (u *userAdmission) Commit(ctx context.Context, use meter.Use) error {
	use.Merge(u.used)
	u.used = meter.Use{}
	if use == (meter.Use{}) {
		return nil
	}
	return u.d.a.use(context.WithoutCancel(ctx), u.d.app.rec.Address, use)
}

// NoReply implements ingress.Admission.
func (u *userAdmission) NoReply() {
	u.d.a.endStuck(u.d.answer.Instance, u.d.app.terms.QueryTimeout)
}

// Leave implements ingress.Admission.
func (u *userAdmission) Leave() {
	u.d.leave()
	u.d.a.h.leave()
}
