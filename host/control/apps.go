package control

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// appRoutes are about apps, their blobs, the worker session and the worker key.
func (s *Server) appRoutes() map[string]http.HandlerFunc {
	all := map[string]http.HandlerFunc{
		api.RouteRemoveAll: s.unhurried(s.removeAll), // there may be thousands
		api.RouteAppLog:    s.unhurried(s.appLog),
		api.RouteDeploy:    s.deploy, api.RouteAnnounce: s.announce, api.RouteQueryApp: s.query, api.RouteSealedQuery: s.sealedQuery,
		api.RoutePutBlob: s.putBlob, api.RouteAddBlob: s.putBlob, api.RouteGetBlob: s.getBlob,
		api.RouteOpenSession: withJSON(s, s.openSession), api.RouteSetBench: withJSON(s, s.setBench), api.RouteReport: withJSON(s, s.report),
		api.RouteBackupKey: withJSON(s, s.backupKey), api.RouteRestoreKey: withJSON(s, s.restoreKey), api.RouteLockKey: withJSON(s, s.lockKey),
		api.RouteSignEndpoints: withJSON(s, s.signEndpoints), api.RouteSignDescription: withJSON(s, s.signDescription),
		api.RouteSignRegistration: withJSON(s, s.signRegistration),
	}
	for route, f := range map[string]func(*http.Request, caller) (any, error){
		api.RouteApps: s.apps, api.RouteApp: s.onApp("", s.host.App),
		api.RouteStartApp: s.onApp("app started", s.host.StartApp), api.RouteStopApp: s.onApp("app stopped", s.host.StopApp),
		api.RouteResizeApp: s.resizeApp, api.RouteRaiseApp: s.raiseApp, api.RouteRemoveApp: s.removeApp,
		api.RouteBlobs: s.blobs, api.RouteRemoveBlob: s.removeBlob,
		api.RouteSession: s.session, api.RouteRotateKey: s.rotateKey, api.RouteAppMetrics: s.appMetrics,
	} {
		all[route] = s.plain(f)
	}
	return all
}

// appTimeout bounds a deployment: the host reads the code to see what it is.
const appTimeout = time.Minute

// deployment reads the form of an app; if that fails it answers and reports false.
func (s *Server) deployment(w http.ResponseWriter, r *http.Request) (host.DeployRequest, bool) {
	w.Header().Set("Connection", "close")
	var (
		a api.Deploy
		d host.DeployRequest
	)
	order := []string{api.PartRequest, api.PartManifest, api.PartConfig}
	err := s.eachPart(w, r, order, func(name string, p io.Reader) (leave bool, err error) {
		switch name {
		case api.PartRequest:
			err = s.decode(r, p, &a)
		case api.PartManifest:
			d.Manifest, err = s.readPart(r, p, api.MaxManifestBytes, fault.CallerManifestTooLarge)
		case api.PartConfig:
			d.Config, err = s.readPart(r, p, api.MaxConfigBytes, fault.CallerParamsTooBig)
		}
		return false, err
	})
	d.Tenant, d.ReuseInstances, d.Bench = a.Tenant, a.ReuseInstances, a.Bench
	switch {
	case err != nil:
	case d.Manifest == nil:
		err = invalid("the body", "the part "+api.PartManifest+" is missing")
	case len(d.Tenant) > host.MaxTenantBytes:
		err = invalid("tenant", hintTenant)
	case d.Tenant == "":
		d.Tenant = callerOf(r).Tenant()
	}
	if err != nil {
		s.refuse(w, r, err)
		return d, false
	}
	return d, true
}

func (s *Server) deploy(w http.ResponseWriter, r *http.Request) {
	d, ok := s.deployment(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), appTimeout)
	defer cancel()
	app, err := s.host.Deploy(ctx, d)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.logApp("app deployed", app.Address, callerOf(r))
	s.reply(w, http.StatusOK, app)
}

func (s *Server) announce(w http.ResponseWriter, r *http.Request) {
	d, ok := s.deployment(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), appTimeout)
	defer cancel()
	if err := s.host.Announce(ctx, d); err != nil {
		s.refuse(w, r, err)
		return
	}
	s.reply(w, http.StatusAccepted, api.Done{State: "announced", At: now()})
}

func (s *Server) apps(r *http.Request, _ caller) (any, error) {
	q := r.URL.Query()
	f := host.AppFilter{Tenant: q.Get("tenant"), Limit: api.MaxAppPage}
	if len(f.Tenant) > host.MaxTenantBytes {
		return nil, invalid("tenant", hintTenant)
	}
	if q.Has("q") || q.Has("sort") {
		return s.foundApps(r)
	}
	var err error
	if f.After, err = number(r, "after", 64); err != nil {
		return nil, err
	}
	limit, err := natural(r, "limit")
	if err != nil {
		return nil, err
	}
	if limit > api.MaxAppPage {
		return nil, invalid("limit "+strconv.Itoa(limit), "limit must be between 1 and "+strconv.Itoa(api.MaxAppPage))
	}
	if limit > 0 {
		f.Limit = limit
	}
	page := api.AppList{Apps: []inspect.App{}}
	apps, next, err := s.host.Apps(r.Context(), f)
	page.Apps, page.Next = append(page.Apps, apps...), next
	return page, err
}

// foundApps answers a query, with one page.
func (s *Server) foundApps(r *http.Request) (any, error) {
	f, err := findOf(r, "apps")
	if err != nil {
		return nil, err
	}
	if f.after != "" {
		return nil, invalid("after", "a query of apps has one page: raise its limit")
	}
	p, err := s.views.apps.cut(r.Context(), f)
	return api.AppList{Apps: p.Rows}, err
}

// onApp is a call on one app; one that changes it is logged.
func (s *Server) onApp(what string, f func(ctx context.Context, address string) (inspect.App, error)) func(*http.Request, caller) (any, error) {
	return func(r *http.Request, c caller) (any, error) {
		address, err := addressOf(r)
		if err != nil {
			return nil, err
		}
		app, err := f(r.Context(), address)
		if err == nil && what != "" {
			s.logApp(what, address, c)
		}
		return app, err
	}
}

func (s *Server) resizeApp(r *http.Request, c caller) (any, error) {
	n, err := number(r, "instances", 32)
	if err != nil {
		return nil, err
	}
	if !r.URL.Query().Has("instances") {
		return nil, invalid("instances", "pass a number")
	}
	return s.onApp("app resized", func(ctx context.Context, address string) (inspect.App, error) {
		return s.host.ResizeApp(ctx, address, uint32(n))
	})(r, c)
}

func (s *Server) raiseApp(r *http.Request, c caller) (any, error) {
	p, err := run.ParsePriority(r.URL.Query().Get("priority"))
	if err != nil {
		return nil, err
	}
	return s.onApp("app raised", func(ctx context.Context, address string) (inspect.App, error) {
		return s.host.RaiseApp(ctx, address, p)
	})(r, c)
}

func (s *Server) removeApp(r *http.Request, c caller) (any, error) {
	address, err := addressOf(r)
	if err != nil {
		return nil, err
	}
	m, err := s.host.RemoveApp(r.Context(), address)
	if err == nil {
		s.logApp("app removed", address, c)
	}
	return m, err
}

func (s *Server) removeAll(r *http.Request, c caller) (any, error) {
	n, err := s.host.RemoveAllApps(r.Context())
	if err == nil {
		s.opts.Log.Info().Int("apps", n).Str("tenant", c.Tenant()).Msg("all apps removed")
	}
	return api.AppsRemoved{Removed: n}, err
}

// query passes a payload on. How long it may take is for the app's manifest to say.
func (s *Server) query(w http.ResponseWriter, r *http.Request) {
	q, err := s.readQuery(w, r)
	var reply host.AppReply
	if err == nil {
		reply, err = s.host.Query(r.Context(), q)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.reply(w, http.StatusOK, api.AppReply{Output: reply.Output, Receipt: reply.Receipt})
}

func (s *Server) readQuery(w http.ResponseWriter, r *http.Request) (q host.AppQuery, err error) {
	if q.Address, err = addressOf(r); err != nil {
		return q, err
	}
	if q.Path = r.URL.Query().Get("path"); len(q.Path) > api.MaxPathBytes {
		return q, invalid("path", "a path has at most "+strconv.Itoa(api.MaxPathBytes)+" bytes")
	}
	if q.Priority, err = priorityOf(r.URL.Query().Get("priority")); err != nil {
		return q, err
	}
	if q.Signature, err = base64.StdEncoding.DecodeString(r.Header.Get(api.HeaderSignature)); err != nil {
		return q, invalid(api.HeaderSignature, "send the signature in base64")
	}
	q.Payload, err = s.readBody(w, r, s.opts.MaxInputBytes)
	return q, err
}

func (s *Server) sealedQuery(w http.ResponseWriter, r *http.Request) {
	var public [32]byte
	key, err := addressOf(r)
	if err != nil {
		s.refuse(w, r, invalid("public key", "pass the public key of the sender in 64 hex digits"))
		return
	}
	_, _ = hex.Decode(public[:], []byte(key)) // they are hex digits
	sealed, err := s.readBody(w, r, s.opts.MaxInputBytes)
	var reply []byte
	if err == nil {
		reply, err = s.host.SealedQuery(r.Context(), public, sealed)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.hurry(w)
	w.Header().Set("Content-Type", api.TypeBytes)
	_, _ = w.Write(reply) // a caller that left needs no reply
}

// readBody takes a body of so many bytes at most, within the time for it.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(s.opts.FormTimeout))
	if r.ContentLength > limit {
		return nil, fault.New(fault.CallerParamsTooBig, "control", "", nil)
	}
	b, err := s.readPart(r, r.Body, limit, fault.CallerParamsTooBig)
	if err != nil {
		return nil, err
	}
	_ = rc.SetReadDeadline(time.Time{}) // the end of the connection may come at any time
	return b, nil
}

// appLog answers at once, or as soon as there is a newer line.
func (s *Server) appLog(r *http.Request, _ caller) (any, error) {
	address, err := addressOf(r)
	if err != nil {
		return nil, err
	}
	after, err := number(r, "after", 64)
	if err != nil {
		return nil, err
	}
	most, err := natural(r, "max")
	if err != nil {
		return nil, err
	}
	micros, err := natural(r, "wait_us")
	if err != nil {
		return nil, err
	}
	if most == 0 || most > api.MaxLogLines {
		most = api.MaxLogLines
	}
	wait := time.Duration(min(micros, int(api.MaxWait.Microseconds()))) * time.Microsecond // no product that wraps around
	ctx, cancel := context.WithTimeout(r.Context(), wait+jsonTimeout)
	defer cancel()
	log := api.AppLog{Lines: []host.LogLine{}}
	lines, dropped, err := s.host.AppLog(ctx, address, after, most, wait)
	log.Lines, log.Dropped = append(log.Lines, lines...), dropped
	return log, err
}

// logApp logs a change of an app and by whom.
func (s *Server) logApp(what, address string, c caller) {
	s.opts.Log.Info().Str("app", address).Str("tenant", c.Tenant()).Msg(what)
}

var hintTenant = "a tenant has at most " + strconv.Itoa(host.MaxTenantBytes) + " bytes"

// addressOf returns the address in the path, in its canonical spelling.
func addressOf(r *http.Request) (string, error) { return canonicalAddress(r.PathValue("address")) }

func canonicalAddress(text string) (string, error) {
	k, err := artifacts.ParseKey(strings.ToLower(text)) // 64 hex digits too
	if err != nil {
		return "", invalid("app "+fault.Quote(text), "pass an address as 'troupe app list -o wide' prints it, in 64 hex digits")
	}
	return k.String(), nil
}

// number reads a number of so many bits that may be left out.
func number(r *http.Request, name string, bits int) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return 0, invalid(name+" "+fault.Quote(text), name+" must be a whole number of at most "+strconv.Itoa(bits)+" bits")
	}
	return n, nil
}
