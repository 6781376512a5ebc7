package host_test

import (
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
)

// TestTheUseOfAnAppOverTime looks three times at an app that works.
func TestTheUseOfAnAppOverTime(t *testing.T) {
	h := appsHost(t, host.Config{})
	address := deploy(t, h, appOf(t, h, "c-handler", nil)).Address
	for range 3 {
		ask(t, h, address, "echo", "hello")
		h.LookAtApps(t.Context())
	}
	h.LookAtApps(t.Context()) // nothing happened since, so nobody is asked
	got, every, err := h.AppHistory(t.Context(), address)
	if err != nil || every <= 0 || len(got) < 3 || len(got) > 4 {
		t.Fatalf("%d samples each %v, %v", len(got), every, err)
	}
	for n := 1; n < len(got); n++ {
		if !got[n].At.After(got[n-1].At) || got[n].Metrics.Gas < got[n-1].Metrics.Gas {
			t.Errorf("%+v after %+v", got[n], got[n-1])
		}
	}
	if got[len(got)-1].Metrics.Gas == 0 || got[0].Metrics.Address != address {
		t.Errorf("%+v", got)
	}
	if _, err := h.RemoveApp(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.AppHistory(t.Context(), address); fault.CodeOf(err) != fault.CallerNotFound {
		t.Error(err)
	}
}
