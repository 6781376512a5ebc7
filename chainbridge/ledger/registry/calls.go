package registry

import (
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// WorkerAdded says that a worker was registered; WorkerUpdated, that it was once more.
type WorkerAdded struct {
	Pubkey              pallet.Account  `json:"pubkey"`
	AttestationProvider string          `json:"attestation_provider"`
	ConfidenceLevel     uint8           `json:"confidence_level"`
	Operator            *pallet.Account `json:"operator"`
}

// InitialScoreSet says with which score a worker starts.
type InitialScoreSet struct {
	Pubkey    pallet.Account `json:"pubkey"`
	InitScore uint32         `json:"init_score"`
}

// WorkerEndpointsUpdated says where a worker is reached from now on.
type WorkerEndpointsUpdated struct {
	Pubkey    pallet.Account `json:"pubkey"`
	Endpoints []string       `json:"endpoints"`
}

// RootSet says whose reports count from now on.
type RootSet struct {
	Root *pallet.Account `json:"root"`
}

// RegisterWorkerV2 registers a worker, or refreshes what is known of it.
type RegisterWorkerV2 struct {
	Registration pallet.Bytes `json:"registration" scale:"max=4096"` // a meter.Registration
	Attestation  *Attestation `json:"attestation"`                   // nil: the provider "none"

	verifiers map[string]Verifier `scale:"-"`
}

// Attestation is a provider's report.
type Attestation struct {
	Provider string       `json:"provider" scale:"max=32"`
	Report   pallet.Bytes `json:"report" scale:"max=16384"`
}

// Run implements pallet.Call.
func (r *RegisterWorkerV2) Run(c *pallet.Context) error {
	reg, err := meter.DecodeRegistration(r.Registration)
	if err != nil {
		return fail("InvalidInput", err.Error())
	}
	if reg.Genesis != c.Genesis {
		return fail("GenesisBlockHashRejected", "the registration is for another chain")
	}
	if reg.Worker == [32]byte{} || reg.ECDH != reg.Worker {
		return fail("InvalidPubKey", "the worker has one key, for both uses")
	}
	a := Attestation{Provider: ProviderNone}
	if r.Attestation != nil {
		a = *r.Attestation
	}
	v, ok := r.verifiers[a.Provider]
	if !ok {
		return fail("UnknownProvider", "")
	}
	e, err := v.Verify(c, a.Report, reg)
	if err != nil {
		return err
	}
	before, _ := workers.Get(c.Store, reg.Worker)
	if err := fresh(c, e, before.AttestedAt); err != nil {
		return err
	}
	record(c, reg, a.Provider, e)
	return nil
}

// record keeps the initial score, and when a report was last used, so that none is used twice.
func record(c *pallet.Context, r meter.Registration, provider string, e Evidence) {
	before, known := workers.Get(c.Store, r.Worker)
	w := Info{
		Pubkey: r.Worker, EcdhPubkey: r.ECDH, RuntimeVersion: r.Version, LastUpdated: c.Time, Operator: (*pallet.Account)(r.Operator),
		Provider: provider, ConfidenceLevel: e.Level, InitialScore: before.InitialScore, Features: r.Features,
		AttestedAt: max(before.AttestedAt, e.Issued),
	}
	workers.Put(c.Store, w.Pubkey, w)
	event := "WorkerUpdated"
	if !known {
		addedAt.Put(c.Store, w.Pubkey, c.Height)
		event = "WorkerAdded"
	}
	c.Emit(name, event, WorkerAdded{w.Pubkey, provider, e.Level, w.Operator})
}

// ForceRegisterWorker lets governance register a worker that nobody vouches for.
type ForceRegisterWorker struct {
	Pubkey     pallet.Account  `json:"pubkey"`
	EcdhPubkey pallet.Account  `json:"ecdh_pubkey"`
	Operator   *pallet.Account `json:"operator"`
}

// Run implements pallet.Call.
func (f *ForceRegisterWorker) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	r := meter.NewRegistration(f.Pubkey, c.Genesis, (*[32]byte)(f.Operator), 0)
	r.ECDH = f.EcdhPubkey
	record(c, r, ProviderNone, Evidence{Level: Unattested})
	return nil
}

// UpdateWorkerEndpoint sets where a worker is reached. Anybody may send what the worker has signed.
type UpdateWorkerEndpoint struct {
	EndpointPayload pallet.Bytes `json:"endpoint_payload" scale:"max=40960"` // a meter.Endpoints
	Signature       pallet.Bytes `json:"signature" scale:"max=128"`
}

// Run implements pallet.Call.
func (u *UpdateWorkerEndpoint) Run(c *pallet.Context) error {
	p, err := meter.DecodeEndpoints(u.EndpointPayload)
	if err != nil {
		return fail("InvalidInput", err.Error())
	}
	if len(u.Signature) != meter.SignatureBytes {
		return fail("InvalidSignatureLength", "")
	}
	if !meter.Verify(p.Worker, meter.Message(meter.EndpointInfo, u.EndpointPayload), u.Signature) {
		return fail("InvalidSignature", "")
	}
	if _, ok := workers.Get(c.Store, p.Worker); !ok {
		return fail("WorkerNotFound", "")
	}
	signed := uint64(p.Signed.UnixMilli())
	last, _ := endpoints.Get(c.Store, p.Worker)
	switch {
	case signed <= last.SigningTime:
		return fail("InvalidEndpointSigningTime", "a list that is as new is known")
	case signed > c.Time && signed-c.Time >= maxAhead:
		return fail("InvalidEndpointSigningTime", "it is of the future")
	}
	endpoints.Put(c.Store, p.Worker, Listing{p.List, signed})
	c.Emit(name, "WorkerEndpointsUpdated", WorkerEndpointsUpdated{p.Worker, p.List})
	return nil
}

// SetRoot lets governance say whose reports count for the provider "test-root". What was attested before stays as it is.
type SetRoot struct {
	Root *pallet.Account `json:"root"` // nil: nobody's
}

// Run implements pallet.Call.
func (s *SetRoot) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	if s.Root == nil {
		root.Delete(c.Store)
	} else {
		root.Put(c.Store, *s.Root)
	}
	c.Emit(name, "RootSet", RootSet{s.Root})
	return nil
}
