package control

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"strconv"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// withJSON makes a handler of a request whose body is JSON.
func withJSON[T any](s *Server, f func(context.Context, T, caller) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var (
			req   T
			reply any
		)
		b, err := s.readBody(w, r, api.MaxRequestBytes)
		if err == nil && len(b) > 0 {
			if wrong := json.Unmarshal(b, &req); wrong != nil {
				err = fault.New(fault.CallerInvalid, "request", "", errors.New(fault.Quote(wrong.Error())))
			}
		}
		if err == nil {
			ctx, cancel := context.WithTimeout(r.Context(), jsonTimeout)
			defer cancel()
			reply, err = f(ctx, req, callerOf(r))
		}
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		s.reply(w, http.StatusOK, reply)
	}
}

func (s *Server) session(r *http.Request, _ caller) (any, error) { return s.host.Session(r.Context()) }

func (s *Server) openSession(ctx context.Context, a api.OpenSession, c caller) (any, error) {
	signed, err := s.host.OpenSession(ctx, host.SessionRequest{PNonce: a.PNonce, Recipient: a.Recipient, Resume: a.Resume})
	if err != nil {
		return nil, err
	}
	now, err := s.host.Session(ctx)
	if err != nil {
		return nil, err
	}
	s.opts.Log.Info().Str("session", now.ID).Str("tenant", c.Tenant()).Bool("resumed", a.Resume).Msg("session opened")
	return api.Opened{Session: now, Update: signedOf(signed)}, nil
}

func signedOf(s host.Signed) api.Signed {
	return api.Signed{Encoded: s.Encoded, Signature: s.Signature, WorkerKey: s.WorkerKey}
}

func (s *Server) setBench(ctx context.Context, a api.SetBench, c caller) (any, error) {
	if a.Address != "" {
		var err error
		if a.Address, err = canonicalAddress(a.Address); err != nil {
			return nil, err
		}
	}
	now, err := s.host.SetBench(ctx, a.Address, a.Instances)
	if err == nil {
		s.logApp("benchmark app set", a.Address, c)
	}
	return now, err
}

func (s *Server) appMetrics(r *http.Request, _ caller) (any, error) {
	which, err := canonicalAddresses(r.URL.Query()["address"], api.MaxQueryTargets)
	if err != nil {
		return nil, err
	}
	list := api.AppMetricsList{Apps: []inspect.AppMetrics{}}
	all, err := s.host.AppMetrics(r.Context(), which...)
	list.Apps = append(list.Apps, all...)
	return list, err
}

func (s *Server) report(ctx context.Context, a api.Report, c caller) (any, error) {
	which, err := canonicalAddresses(a.Addresses, api.MaxPage)
	if err != nil {
		return nil, err
	}
	pages, err := s.host.ReportMetrics(ctx, which...)
	if err != nil {
		return nil, err
	}
	out := api.Reports{Reports: []api.SignedReport{}}
	for _, p := range pages {
		out.Reports = append(out.Reports, api.SignedReport{Encoded: p.Encoded, SN: p.SN, Apps: p.Apps})
	}
	s.opts.Log.Info().Int("reports", len(pages)).Str("tenant", c.Tenant()).Msg("metrics reported")
	return out, nil
}

func canonicalAddresses(all []string, most int) ([]string, error) {
	if len(all) > most {
		return nil, invalid("addresses", "pass at most "+strconv.Itoa(most)+" of them, or none for all apps")
	}
	out := make([]string, 0, len(all))
	for _, text := range all {
		a, err := canonicalAddress(text)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func (s *Server) backupKey(ctx context.Context, a api.Key, c caller) (any, error) {
	if err := checkKey(a); err != nil {
		return nil, err
	}
	b, err := s.host.BackupKey(ctx, a.Passphrase)
	s.logKey("worker key backed up", c, err)
	return api.Key{Backup: b}, err
}

func (s *Server) restoreKey(ctx context.Context, a api.Key, c caller) (any, error) {
	if err := checkKey(a); err != nil {
		return nil, err
	}
	err := s.host.RestoreKey(ctx, a.Backup, a.Passphrase)
	s.logKey("worker key restored", c, err)
	if err != nil {
		return nil, err
	}
	return s.host.Session(ctx)
}

func (s *Server) rotateKey(r *http.Request, c caller) (any, error) {
	now, err := s.host.RotateKey(r.Context())
	s.logKey("worker key rotated", c, err)
	return now, err
}

func (s *Server) lockKey(ctx context.Context, a api.Key, c caller) (any, error) {
	if err := checkKey(a); err != nil {
		return nil, err
	}
	err := s.host.LockKey(ctx, a.Passphrase)
	state := "locked"
	if len(a.Passphrase) == 0 {
		state = "unlocked"
	}
	s.logKey("worker key "+state, c, err)
	return api.Done{State: state, At: now()}, err
}

func checkKey(a api.Key) error {
	switch {
	case len(a.Passphrase) > api.MaxPassphrase:
		return invalid("passphrase", "a passphrase has at most "+strconv.Itoa(api.MaxPassphrase)+" bytes")
	case len(a.Backup) > api.MaxBackupBytes:
		return invalid("backup", "this is not a backup of a worker key")
	}
	return nil
}

func (s *Server) logKey(what string, c caller, err error) {
	if err == nil {
		s.opts.Log.Warn().Str("tenant", c.Tenant()).Msg(what)
	}
}

func (s *Server) signEndpoints(ctx context.Context, a api.Endpoints, _ caller) (any, error) {
	v, err := s.host.SignEndpoints(ctx, a.Endpoints)
	return signedOf(v), err
}

func (s *Server) signDescription(ctx context.Context, a api.Description, _ caller) (any, error) {
	prices, err := pricesOf(a.Prices)
	if err != nil {
		return nil, err
	}
	v, err := s.host.SignDescription(ctx, a.Text, prices)
	return signedOf(v), err
}

func pricesOf(a api.Prices) (p meter.Prices, err error) {
	for _, f := range []struct {
		name, text string
		to         **meter.Uint128
	}{
		{"general_fee_per_second", a.GeneralFeePerSecond, &p.GeneralFeePerSecond}, {"gas", a.Gas, &p.Gas},
		{"network_ingress", a.NetworkIngress, &p.NetIngress}, {"network_egress", a.NetworkEgress, &p.NetEgress},
		{"storage_read", a.StorageRead, &p.StorageRead}, {"storage_write", a.StorageWrite, &p.StorageWrite},
		{"storage", a.Storage, &p.Storage}, {"memory", a.Memory, &p.Memory}, {"tip", a.Tip, &p.Tip},
	} {
		if f.text == "" {
			continue
		}
		const digits = 39 // of 2^128
		v, ok := new(big.Int), false
		if len(f.text) <= digits {
			v, ok = v.SetString(f.text, 10)
		}
		if !ok || v.Sign() < 0 || v.BitLen() > 128 {
			return p, invalid("prices."+f.name, "a price is a whole number of at most 128 bits, in decimal")
		}
		high, low := new(big.Int).Rsh(v, 64), new(big.Int).And(v, new(big.Int).SetUint64(^uint64(0)))
		*f.to = &meter.Uint128{Lo: low.Uint64(), Hi: high.Uint64()}
	}
	return p, nil
}

func (s *Server) signRegistration(ctx context.Context, a api.Registration, _ caller) (any, error) {
	if len(a.Genesis) != 32 {
		return nil, invalid("genesis", "pass the hash of the chain's first block, 32 bytes in hex digits")
	}
	var operator *[32]byte
	if len(a.Operator) > 0 {
		if len(a.Operator) != 32 {
			return nil, invalid("operator", "an account has 32 bytes")
		}
		operator = (*[32]byte)(a.Operator)
	}
	v, err := s.host.SignRegistration(ctx, [32]byte(a.Genesis), operator, a.ParaID)
	return signedOf(v), err
}
