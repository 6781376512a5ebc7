package registry

import (
	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// The providers that are built in.
const (
	ProviderNone     = "none"
	ProviderTestRoot = "test-root"
)

// Evidence is what a report is worth.
type Evidence struct {
	Level  uint8  // of confidence, 1 to 5; Unattested for none
	Issued uint64 // milliseconds of Unix time; 0: the provider does not say
}

// Verifier is a provider of attestations. It must say the same on each machine, so it looks at nothing but its arguments, and it must
// bind the report to all of the registration, so that nobody can use it for another worker, chain or operator.
type Verifier interface {
	// Verify says what a report is worth.
	//
	// # Errors
	//
	// An error of the pallet, such as PhalaRegistry.InvalidReport. Age is not its business.
	Verify(c *pallet.Context, report []byte, r meter.Registration) (Evidence, error)
}

// none vouches for nobody. The key must be the sender's own, so that nobody registers the worker of another.
type none struct{}

func (none) Verify(c *pallet.Context, report []byte, r meter.Registration) (Evidence, error) {
	if p, _ := params.Get(c.Store); p.Require {
		return Evidence{}, fail("NoneAttestationDisabled", "this chain wants a report")
	}
	if len(report) > 0 {
		return Evidence{}, fail("InvalidReport", "without a provider there is no report")
	}
	if signer, err := c.Signer(); err != nil || signer != pallet.Account(r.Worker) {
		return Evidence{}, fail("InvalidSignature", "a worker without a report is registered by its own account")
	}
	return Evidence{Level: Unattested}, nil
}

// testReport is what the root signs.
type testReport struct {
	Registration pallet.Hash // BLAKE2b-256 of all of it
	Worker       pallet.Account
	Genesis      pallet.Hash
	Level        uint8
	Issued       uint64
}

type signedReport struct {
	Report    testReport
	Signature [meter.SignatureBytes]byte
}

// reportContext is what signatures of reports begin with, so that they pass for nothing else.
const reportContext = "troupe/attestation/1"

func (r testReport) message() []byte { return append([]byte(reportContext), scale.Marshal(r)...) }

// IssueReport returns a report of the provider "test-root" for a registration, signed by the root. issued is in milliseconds of Unix
// time.
func IssueReport(root *meter.Key, r meter.Registration, level uint8, issued uint64) []byte {
	report := testReport{blake2b.Sum256(r.Encode()), r.Worker, r.Genesis, level, issued}
	return scale.Marshal(signedReport{report, root.Sign(report.message())})
}

// testRoot believes who holds the key that governance has set.
type testRoot struct{}

func (testRoot) Verify(c *pallet.Context, report []byte, r meter.Registration) (Evidence, error) {
	key, ok := root.Get(c.Store)
	if !ok {
		return Evidence{}, fail("InvalidReport", "no root is set")
	}
	var s signedReport
	if err := scale.Unmarshal(report, &s); err != nil {
		return Evidence{}, fail("InvalidReport", err.Error())
	}
	switch {
	case !meter.Verify(key, s.Report.message(), s.Signature[:]):
		return Evidence{}, fail("InvalidReport", "the root has not signed it")
	case s.Report.Worker != pallet.Account(r.Worker):
		return Evidence{}, fail("InvalidReport", "it is for another worker")
	case s.Report.Genesis != c.Genesis:
		return Evidence{}, fail("InvalidReport", "it is for another chain")
	case s.Report.Registration != blake2b.Sum256(r.Encode()):
		return Evidence{}, fail("InvalidReport", "it is for another registration of the worker")
	case s.Report.Level < 1 || s.Report.Level > 5:
		return Evidence{}, fail("InvalidReport", "there is no such confidence level")
	}
	return Evidence{s.Report.Level, s.Report.Issued}, nil
}

// maxAhead is how many milliseconds a report or a list of endpoints may be ahead of the chain's clock.
const maxAhead = 10 * 60 * 1000

// fresh says whether a report may still be used. One that is not newer than the last is used already.
func fresh(c *pallet.Context, e Evidence, last uint64) error {
	p, _ := params.Get(c.Store)
	switch {
	case e.Level == Unattested:
		return nil
	case e.Issued > c.Time && e.Issued-c.Time >= maxAhead:
		return fail("InvalidReport", "it is of the future")
	case e.Issued < c.Time && c.Time-e.Issued >= p.MaxAge:
		return fail("OutdatedIASReport", "the report is too old")
	case e.Issued <= last:
		return fail("OutdatedIASReport", "a report that is as new was used already")
	}
	return nil
}
