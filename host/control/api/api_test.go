package api

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

func TestErrorKeepsEverythingOnTheWire(t *testing.T) {
	for _, c := range fault.Codes() {
		sent := fault.New(c, "op", "subject", errors.New("cause")).WithRetryAfter(3 * time.Second)
		text, err := json.Marshal(ErrorOf(sent))
		if err != nil {
			t.Fatal(err)
		}
		var e Error
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		got := e.Fault()
		if got.Error() != sent.Error() || got.Code != sent.Code || got.Class != sent.Class || got.Hint != sent.Hint || got.RetryAfter != sent.RetryAfter {
			t.Errorf("%s: got %#v", c, got)
		}
	}
}

// A host that is newer than this program names codes that are not registered here.
func TestErrorOfANewerHostKeepsItsClass(t *testing.T) {
	got := Error{Class: "guest", Code: "guest.from_the_future", Hint: "wait"}.Fault()
	if got.Class != fault.Guest || got.Hint != "wait" {
		t.Errorf("got %#v", got)
	}
	if got := (Error{Class: "weird", Code: "x"}).Fault(); got.Class != fault.Bug {
		t.Errorf("an unknown class became %v", got.Class)
	}
}

func TestStatusFollowsTheClass(t *testing.T) {
	family := map[fault.Class]int{fault.Guest: 4, fault.Suspect: 5, fault.Host: 5, fault.Busy: 5, fault.Caller: 4, fault.Canceled: 5, fault.Bug: 5}
	for _, c := range fault.Codes() {
		f := fault.New(c, "", "", nil)
		want := family[f.Class]
		switch c {
		case fault.HostArtifactMissing:
			want = 4
		case fault.CallerClosed:
			want = 5
		}
		if got := StatusOf(f); got/100 != want {
			t.Errorf("%s: status %d", c, got)
		}
	}
	for c, want := range map[fault.Code]int{
		fault.CallerDenied: 403, fault.CallerNotFound: 404, fault.CallerConflict: 409, fault.GuestCodeTooLarge: 413,
		fault.GuestTrap: 422, fault.BugPanic: 500, fault.SuspectWorkerDied: 502, fault.BusyQueueFull: 503, fault.CanceledDeadline: 504,
	} {
		if got := StatusOf(fault.New(c, "", "", nil)); got != want {
			t.Errorf("%s: status %d, want %d", c, got, want)
		}
	}
}

func TestOnlyTheSameUserAndRootAreTrusted(t *testing.T) {
	for _, tt := range []struct {
		uid  int
		peer Peer
		want bool
	}{{1000, Peer{UID: 1000}, true}, {1000, Peer{UID: 0}, true}, {1000, Peer{UID: 1001}, false}, {0, Peer{UID: 1000}, false}} {
		if Trusts(tt.uid, tt.peer) != tt.want {
			t.Errorf("%+v", tt)
		}
	}
	if got := (Peer{UID: 17}).Tenant(); got != "uid:17" {
		t.Error(got)
	}
}
