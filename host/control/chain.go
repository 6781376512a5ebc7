package control

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// chainRoutes are about what concerns the chain.
func (s *Server) chainRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		api.RouteChain: s.plain(s.chain), api.RouteChainCalls: s.plain(s.chainCalls), api.RouteChainDemands: s.plain(s.chainDemands),
		api.RouteChainPay: s.plain(s.chainPay), api.RouteChainAdopt: withJSON(s, s.chainAdopt),
		api.RouteChainReport: s.unhurried(s.chainReport), api.RouteChainSend: s.chainSend,
	}
}

func (s *Server) chain(r *http.Request, _ caller) (any, error) { return s.host.Chain(r.Context()) }

func chainLimit(r *http.Request) (int, error) {
	limit, err := natural(r, "limit")
	if err == nil && limit > api.MaxChainPage {
		err = invalid("limit "+strconv.Itoa(limit), "limit must be between 1 and "+strconv.Itoa(api.MaxChainPage))
	}
	return limit, err
}

func (s *Server) chainCalls(r *http.Request, _ caller) (any, error) {
	q := r.URL.Query()
	f := host.CallFilter{History: q.Get("history") == "true", Newest: q.Get("newest") == "true"}
	var err error
	if f.After, err = number(r, "after", 64); err != nil {
		return nil, err
	}
	if f.Limit, err = chainLimit(r); err != nil {
		return nil, err
	}
	list := api.CallList{Calls: []inspect.Outgoing{}}
	calls, next, err := s.host.ChainCalls(r.Context(), f)
	list.Calls, list.Next = append(list.Calls, calls...), next
	return list, err
}

const maxAfter = 128 // bytes of the name that a page begins behind

func chainAfter(r *http.Request) (string, error) {
	after := r.URL.Query().Get("after")
	if len(after) > maxAfter {
		return "", invalid("after", "it is the next of the page before")
	}
	return after, nil
}

func (s *Server) chainDemands(r *http.Request, _ caller) (any, error) {
	after, err := chainAfter(r)
	if err != nil {
		return nil, err
	}
	limit, err := chainLimit(r)
	if err != nil {
		return nil, err
	}
	list := api.DemandList{Demands: []inspect.Demand{}}
	demands, next, err := s.host.ChainDemands(r.Context(), after, limit)
	list.Demands, list.Next = append(list.Demands, demands...), next
	return list, err
}

func (s *Server) chainPay(r *http.Request, _ caller) (any, error) {
	after, err := chainAfter(r)
	if err != nil {
		return nil, err
	}
	limit, err := chainLimit(r)
	if err != nil {
		return nil, err
	}
	list := api.PayList{Apps: []inspect.Pay{}}
	apps, next, err := s.host.ChainPay(r.Context(), after, limit)
	list.Apps, list.Next = append(list.Apps, apps...), next
	return list, err
}

// chainReport waits for blocks.
func (s *Server) chainReport(r *http.Request, c caller) (any, error) {
	pages, height, err := s.host.ReportToChain(r.Context(), r.URL.Query()["address"]...)
	if err == nil {
		s.opts.Log.Info().Int("reports", pages).Uint64("height", height).Str("tenant", c.Tenant()).Msg("reported to the chain")
	}
	return api.ChainReported{Reports: pages, Height: height}, err
}

// chainSend waits for blocks, and so for as long as its caller does.
func (s *Server) chainSend(w http.ResponseWriter, r *http.Request) {
	var req api.ChainCall
	b, err := s.readBody(w, r, api.MaxRequestBytes)
	if err == nil {
		if wrong := json.Unmarshal(b, &req); wrong != nil {
			err = invalid("call", fault.Quote(wrong.Error()))
		}
	}
	if err == nil && (req.Key == "" || len(req.Key) > api.MaxTagBytes) {
		err = invalid("key", "a call has a key of 1 to "+strconv.Itoa(api.MaxTagBytes)+" bytes")
	}
	var o chain.Outcome
	if err == nil {
		o, err = s.host.SendToChain(r.Context(), "operator/"+req.Key, chain.Call{Pallet: req.Pallet, Name: req.Name, Args: req.Args})
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.opts.Log.Info().Str("call", fault.Quote(req.Pallet+"."+req.Name)).Uint64("height", o.Block.Height).Str("tenant", callerOf(r).Tenant()).Msg("a call was sent to the chain")
	sent := api.ChainSent{Tx: o.Hash.String(), Height: o.Block.Height, Events: []api.ChainEvent{}}
	for _, e := range o.Events {
		sent.Events = append(sent.Events, api.ChainEvent{Pallet: e.Pallet, Name: e.Name, Fields: e.Fields})
	}
	s.reply(w, http.StatusOK, sent)
}

func (s *Server) chainAdopt(ctx context.Context, a api.Adopt, c caller) (any, error) {
	var genesis [32]byte
	if n, err := hex.Decode(genesis[:], []byte(a.Genesis[:min(len(a.Genesis), 2*len(genesis))])); err != nil || n != len(genesis) || len(a.Genesis) != 2*n {
		return nil, invalid("genesis "+fault.Quote(a.Genesis), "write 64 hex digits")
	}
	if err := s.host.AdoptChain(ctx, genesis); err != nil {
		return nil, err
	}
	s.opts.Log.Warn().Hex("genesis", genesis[:]).Str("tenant", c.Tenant()).Msg("another chain was adopted")
	return api.Done{State: "adopted", At: time.Now().UTC()}, nil
}
