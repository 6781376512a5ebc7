package api

import (
	"encoding/json"

	"github.com/troupehost/troupe/actors/inspect"
)

// Routes of what the host has to do with its chain; the chain itself is reached by the URL of inspect.ChainView.
const (
	RouteChain        = "GET /v1/chain"         // inspect.ChainView; no chain: caller.not_found
	RouteChainCalls   = "GET /v1/chain/calls"   // ?history= &newest= &after= &limit= -> CallList; at most MaxChainPage
	RouteChainDemands = "GET /v1/chain/demands" // ?after= &limit= -> DemandList
	RouteChainPay     = "GET /v1/chain/pay"     // ?after= &limit= -> PayList
	RouteChainReport  = "POST /v1/chain/report" // ?address=... -> ChainReported, when it is final
	RouteChainSend    = "POST /v1/chain/send"   // ChainCall -> ChainSent, when it is final: a call signed by the worker key
	RouteChainAdopt   = "POST /v1/chain/adopt"  // Adopt -> Done
)

// MaxChainPage bounds what one reply lists.
const MaxChainPage = 100

// CallList is a page of calls.
type CallList struct {
	Calls []inspect.Outgoing `json:"calls"`
	Next  uint64             `json:"next,omitempty"` // after of the next page
}

// DemandList is a page of demands.
type DemandList struct {
	Demands []inspect.Demand `json:"demands"`
	Next    string           `json:"next,omitempty"`
}

// PayList is a page of what apps have earned.
type PayList struct {
	Apps []inspect.Pay `json:"apps"`
	Next string        `json:"next,omitempty"`
}

// ChainReported says where reports were settled.
type ChainReported struct {
	Reports int    `json:"reports"` // 0: the apps have no tickets
	Height  uint64 `json:"height"`  // of the last one's block
}

// ChainCall is a call that the worker key signs.
type ChainCall struct {
	Key    string          `json:"key"` // the same again is the same call; at most 128 bytes
	Pallet string          `json:"pallet"`
	Name   string          `json:"name"`
	Args   json.RawMessage `json:"args"`
}

// ChainSent is what became of a call.
type ChainSent struct {
	Tx     string       `json:"tx"`
	Height uint64       `json:"height"`
	Events []ChainEvent `json:"events"`
}

// ChainEvent is what a call did.
type ChainEvent struct {
	Pallet string          `json:"pallet"`
	Name   string          `json:"name"`
	Fields json.RawMessage `json:"fields"`
}

// Adopt names the chain that is to be taken in place of the one before.
type Adopt struct {
	Genesis string `json:"genesis"` // 64 hex digits
}
