package host

import (
	"errors"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// TestStrangersClaimNoNames: whoever writes to a chain gets no name that the operator has a certificate for.
func TestStrangersClaimNoNames(t *testing.T) {
	m := &manifest.Manifest{Version: manifest.Version2, Terms: &manifest.Terms{Grants: manifest.Grants{Names: []string{"bank.example"}}}}
	for _, tenant := range []string{tenantMarket, tenantCompute} {
		if err := strangerMay(tenant, m); !errors.Is(err, fault.CallerManifest) {
			t.Errorf("%s: %v", tenant, err)
		}
		if err := ownTenant(tenant); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("a caller is %s: %v", tenant, err)
		}
	}
	if err := errors.Join(strangerMay("default", m), ownTenant("default"), ownTenant("")); err != nil {
		t.Error(err)
	}
	m.Terms.Grants.Names = nil
	if err := strangerMay(tenantMarket, m); err != nil {
		t.Error(err)
	}
}
