package registry

import (
	"encoding/json"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const (
	name  = "PhalaRegistry"
	index = 86
)

// Unattested is the confidence level of a worker that nobody vouches for.
const Unattested = 128

// DefaultMaxAge is after how many milliseconds a report is stale, unless the genesis says otherwise.
const DefaultMaxAge = 24 * 60 * 60 * 1000

// Info is what is known of a worker.
type Info struct {
	Pubkey          pallet.Account  `json:"pubkey"`
	EcdhPubkey      pallet.Account  `json:"ecdh_pubkey"`
	RuntimeVersion  uint32          `json:"runtime_version"`
	LastUpdated     uint64          `json:"last_updated"` // milliseconds of Unix time
	Operator        *pallet.Account `json:"operator"`
	Provider        string          `json:"attestation_provider" scale:"max=32"` // "none" if nobody vouches for it
	ConfidenceLevel uint8           `json:"confidence_level"`
	InitialScore    *uint32         `json:"initial_score"`
	Features        []uint32        `json:"features"`
	AttestedAt      uint64          `json:"attested_at"` // when the report was issued, in milliseconds of Unix time; 0: never
}

// Listing is where a worker is reached.
type Listing struct {
	Endpoints   []string `json:"endpoints" scale:"max=64"`
	SigningTime uint64   `json:"signing_time"` // milliseconds of Unix time
}

// parameters are what the genesis sets.
type parameters struct {
	MaxAge  uint64 // milliseconds
	Require bool   // an attestation
}

var (
	workers   = state.NewMap[pallet.Account, Info](name, "Workers")
	addedAt   = state.NewMap[pallet.Account, uint64](name, "WorkerAddedAt")
	endpoints = state.NewMap[pallet.Account, Listing](name, "Endpoints")
	root      = state.NewItem[pallet.Account](name, "AttestationRoot")
	params    = state.NewItem[parameters](name, "AttestationParameters")
)

// Worker returns what is known of a worker, and whether it is registered.
func Worker(s *state.Store, worker pallet.Account) (Info, bool) { return workers.Get(s, worker) }

// InitialScore returns the score that a worker starts with, and whether it has one.
func InitialScore(s *state.Store, worker pallet.Account) (uint32, bool) {
	w, ok := workers.Get(s, worker)
	if !ok || w.InitialScore == nil {
		return 0, false
	}
	return *w.InitialScore, true
}

// SetInitialScore sets the score that a worker starts with.
//
// # Errors
//
// PhalaRegistry.WorkerNotFound.
func SetInitialScore(c *pallet.Context, worker pallet.Account, score uint32) error {
	w, ok := workers.Get(c.Store, worker)
	if !ok {
		return fail("WorkerNotFound", "")
	}
	w.InitialScore = &score
	workers.Put(c.Store, worker, w)
	c.Emit(name, "InitialScoreSet", InitialScoreSet{worker, score})
	return nil
}

func fail(err, detail string) *pallet.Error { return pallet.Fail(name, err, detail) }

// Pallet returns the pallet with the built-in providers.
func Pallet() pallet.Pallet { return New(nil) }

// New returns the pallet with other providers of attestations, by name, beside the built-in ones.
func New(others map[string]Verifier) pallet.Pallet {
	verifiers := map[string]Verifier{ProviderNone: none{}, ProviderTestRoot: testRoot{}}
	for n, v := range others {
		verifiers[n] = v
	}
	return pallet.Pallet{
		Name:  name,
		Index: index,
		Calls: []pallet.Info{
			{Index: 1, Name: "force_register_worker", New: func() pallet.Call { return &ForceRegisterWorker{} }},
			{Index: 7, Name: "register_worker_v2", New: func() pallet.Call { return &RegisterWorkerV2{verifiers: verifiers} }},
			{Index: 8, Name: "update_worker_endpoint", New: func() pallet.Call { return &UpdateWorkerEndpoint{} }},
			{Index: 30, Name: "set_root", New: func() pallet.Call { return &SetRoot{} }},
		},
		Views: []pallet.View{
			{Name: "worker", Run: viewWorker},
			{Name: "workers", Run: viewWorkers},
			{Name: "params", Run: viewParams},
		},
		Errors: []string{
			"InvalidPubKey", "InvalidSignatureLength", "InvalidSignature", "InvalidReport", "OutdatedIASReport", "InvalidInput",
			"WorkerNotFound", "NoneAttestationDisabled", "GenesisBlockHashRejected", "InvalidEndpointSigningTime", "UnknownProvider",
		},
		Events: []string{"WorkerAdded", "WorkerUpdated", "InitialScoreSet", "WorkerEndpointsUpdated", "RootSet"},
		Genesis: func(c *pallet.Context, config json.RawMessage) error {
			g := Genesis{MaxAge: DefaultMaxAge}
			if err := pallet.Params(config, &g); err != nil {
				return err
			}
			params.Put(c.Store, parameters{g.MaxAge, g.Require})
			if g.Root != nil {
				root.Put(c.Store, *g.Root)
			}
			return nil
		},
	}
}

// Genesis is what the genesis document may say of the pallet.
type Genesis struct {
	Root    *pallet.Account `json:"root"`                // sr25519 key whose reports count; nil: none do
	MaxAge  uint64          `json:"max_age_ms"`          // of a report
	Require bool            `json:"require_attestation"` // refuses workers that nobody vouches for
}

// workerView is a worker as it is shown.
type workerView struct {
	Info
	AddedAt     uint64   `json:"added_at"` // height
	Endpoints   []string `json:"endpoints"`
	SigningTime uint64   `json:"endpoints_signed_at"`
}

func show(s *state.Store, w Info) workerView {
	at, _ := addedAt.Get(s, w.Pubkey)
	where, _ := endpoints.Get(s, w.Pubkey)
	return workerView{w, at, where.Endpoints, where.SigningTime}
}

func viewWorker(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		Worker pallet.Account `json:"worker"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	w, ok := workers.Get(c.Store, p.Worker)
	if !ok {
		return nil, fault.New(fault.CallerNotFound, "worker", p.Worker.String(), nil)
	}
	return show(c.Store, w), nil
}

func viewWorkers(c *pallet.Context, params json.RawMessage) (any, error) {
	var p pallet.Page[pallet.Account]
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	page := pallet.NewAnswer[pallet.Account, workerView](p)
	workers.Each(c.Store, p.After, func(k pallet.Account, w Info) bool { return page.Add(k, show(c.Store, w)) })
	return page, nil
}

func viewParams(c *pallet.Context, _ json.RawMessage) (any, error) {
	p, _ := params.Get(c.Store)
	g := Genesis{MaxAge: p.MaxAge, Require: p.Require}
	if key, ok := root.Get(c.Store); ok {
		g.Root = &key
	}
	return g, nil
}
