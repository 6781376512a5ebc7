package host

import (
	"context"
	"encoding/hex"
	"errors"
	"runtime"
	"time"

	"github.com/troupehost/troupe/actors/chain/report"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// chainWorker is the host as its chain sees it.
type chainWorker struct{ h *Host }

// Key implements report.Worker.
func (w chainWorker) Key() [32]byte { return w.h.apps.keys.Public() }

func (w chainWorker) account(given []byte) [32]byte {
	if len(given) == 0 {
		return w.Key()
	}
	return [32]byte(given)
}

// Registration implements report.Worker.
func (w chainWorker) Registration(ctx context.Context, genesis [32]byte) (report.Registration, error) {
	operator := w.account(w.h.cfg.Chain.Operator)
	r := report.Registration{Info: meter.NewRegistration(w.Key(), genesis, &operator, 0).Encode()}
	if attest := w.h.cfg.Chain.Attest; attest != nil {
		var err error
		if r.Provider, r.Report, err = attest(ctx, r.Info); err != nil {
			return r, err
		}
	}
	return r, nil
}

// Session implements report.Worker.
func (w chainWorker) Session(ctx context.Context) (*report.Session, error) {
	s, err := w.h.Session(ctx)
	if err != nil || s.ID == "" {
		return nil, err
	}
	return w.sessionOf(s)
}

func (w chainWorker) sessionOf(s inspect.Session) (*report.Session, error) {
	id, err := hex.DecodeString(s.ID)
	cnonce, err2 := hex.DecodeString(s.CNonce)
	pnonce, err3 := hex.DecodeString(s.PNonce)
	recipient, err4 := hex.DecodeString(s.Recipient)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return nil, fault.New(fault.BugUnexpected, "session", s.ID, err)
	}
	update, err := meter.SignSessionUpdate(w.h.apps.keys.Worker(), meter.SessionUpdate{Session: [32]byte(id), Nonce: [32]byte(cnonce), Recipient: recipient})
	return &report.Session{ID: report.ID(id), PNonce: pnonce, SN: s.SN, Update: update}, err
}

// OpenSession implements report.Worker.
func (w chainWorker) OpenSession(ctx context.Context, pnonce []byte, anew bool) (*report.Session, error) {
	if now, err := w.Session(ctx); err != nil || now != nil && !anew && string(now.PNonce) == string(pnonce) {
		return now, err
	}
	n, err := w.h.RemoveAllApps(ctx)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		w.h.log.Warn().Int("apps", n).Msg("the chain knows another worker session: all apps were removed, and those that are paid come again")
	}
	recipient := w.account(w.h.cfg.Chain.Recipient)
	if _, err := w.h.OpenSession(ctx, SessionRequest{PNonce: pnonce, Recipient: recipient[:]}); err != nil {
		return nil, err
	}
	return w.Session(ctx)
}

// Description implements report.Worker.
func (w chainWorker) Description(context.Context) ([]byte, error) {
	c := w.h.cfg.Chain
	d := meter.Description{Text: c.Description}
	if c.Prices != nil {
		d.Prices = *c.Prices
	}
	return meter.SignDescription(w.h.apps.keys.Worker(), d)
}

// Endpoints implements report.Worker.
func (w chainWorker) Endpoints(ctx context.Context) (payload, signature []byte, err error) {
	e := commaList(w.h.cfg.Chain.Endpoints)
	if len(e) == 0 {
		return nil, nil, nil
	}
	s, err := w.h.SignEndpoints(ctx, e)
	return s.Encoded, s.Signature, err
}

// Report implements report.Worker.
func (w chainWorker) Report(ctx context.Context, apps [][32]byte) ([]report.Page, error) {
	which := []string{}
	for _, a := range apps {
		if w.h.apps.isDeployed(a) {
			which = append(which, manifest.Address(a).String())
		}
	}
	if len(which) == 0 && apps != nil {
		return nil, nil
	}
	signed, err := w.h.ReportMetrics(ctx, which...)
	if err != nil {
		return nil, err
	}
	pages := make([]report.Page, 0, len(signed))
	for _, s := range signed {
		r, err := meter.OpenReport(s.Encoded)
		if err != nil {
			return nil, err
		}
		p := report.Page{Session: r.Token.Session, SN: r.Token.SN, Signed: s.Encoded}
		for _, a := range r.Apps {
			p.Apps = append(p.Apps, a.Address)
		}
		pages = append(pages, p)
	}
	return pages, nil
}

const (
	scorePath    = "score"
	scoreTimeout = 5 * time.Second
)

// Score implements report.Worker. An app that does not answer has no score.
func (w chainWorker) Score(ctx context.Context, _ report.Scoring) ([]byte, error) {
	s, err := w.h.Session(ctx)
	if err != nil || s.Bench == "" {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, scoreTimeout)
	defer cancel()
	r, err := w.h.Query(ctx, AppQuery{Address: s.Bench, Path: scorePath})
	if err != nil || len(r.Output) == 0 {
		w.h.log.Debug().AnErr("reason", err).Msg("the benchmark app has no score")
		return nil, nil
	}
	if _, err := meter.OpenSignedMessage(r.Output); err != nil {
		return nil, err
	}
	return r.Output, nil
}

// NodeMetrics implements report.Worker.
func (w chainWorker) NodeMetrics(ctx context.Context) (*report.NodeMetrics, error) {
	h := w.h
	asked := time.Now()
	if _, err := h.cfg.Chain.Port.Info(ctx); err != nil {
		return nil, err
	}
	m := &report.NodeMetrics{Latency: time.Since(asked), CPUModel: cpuModel(), CPUCores: uint32(runtime.NumCPU()), Instances: uint32(h.placed.count()),
		Uptime: time.Since(h.started), Since: time.Since(h.started)}
	total, free := machineMemory()
	m.MemoryMB, m.FreeMemoryMB = total>>20, free>>20
	// What others have on the disk is not this node's to offer, so all of it is what is free and what the host itself has.
	m.FreeStorageMB = uint64(max(h.dir.Space.Status().FreeBytes, 0)) >> 20
	m.StorageMB = m.FreeStorageMB + uint64(max(h.dir.State.DiskBytes()+h.dir.Cache.DiskBytes(), 0))>>20
	return m, nil
}
