package host

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
)

// Behind the address of one request is one app, whatever is asked for.
func TestS63DoorHasOneApp(t *testing.T) {
	app, other := strings.Repeat("a1", 32), strings.Repeat("b2", 32)
	var got []string
	door := only(app, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.RequestURI, r.URL.RequestURI()) }))
	for asked, want := range map[string]string{
		"/":                         "/app/" + app + "/",
		"/x/y?z=1":                  "/app/" + app + "/x/y?z=1",
		"/app/" + other + "/secret": "/app/" + app + "/app/" + other + "/secret",
		"/../" + other:              "/app/" + app + "/../" + other,
		"/sealed":                   "/app/" + app + "/sealed",
		"/a%2F..%2fb":               "/app/" + app + "/a%2F..%2fb",
		"//" + other + "/x":         "/app/" + app + "//" + other + "/x",
		"http://host/info":          "/app/" + app + "/info",
		"*":                         "/app/" + app + "/",
	} {
		got = nil
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI = asked
		if asked == "*" {
			r.URL.Path = "*"
		} else if u, err := r.URL.Parse(asked); err == nil {
			r.URL = u
		}
		door.ServeHTTP(httptest.NewRecorder(), r)
		if diff := cmp.Diff([]string{want, want}, got); diff != "" {
			t.Errorf("%s: %s", asked, diff)
		}
	}
}

// All addresses of a machine at once are none that a request may have.
func TestS63OwnedAddress(t *testing.T) {
	for _, ip := range []string{"0.0.0.0", "::", "::ffff:0.0.0.0", "::ffff:127.0.0.1", "224.0.0.1", "ff02::1", "255.255.255.255", "fe80::1%lo", "192.0.2.1"} {
		if err := owned(t.Context(), netip.MustParseAddr(ip)); fault.CodeOf(err) != fault.CallerInvalid {
			t.Errorf("%s: %v", ip, err)
		}
	}
	if err := owned(t.Context(), netip.MustParseAddr("127.0.0.1")); err != nil {
		t.Error(err)
	}
}
