package run

import (
	"testing"
	"time"
)

func TestTrailKeepsItsEnds(t *testing.T) {
	epoch := time.Unix(1_000_000, 0)
	var trail Trail
	for n := range 3 * maxTrail {
		trail = trail.Add(Step{Stage: Stage(1 + n%int(Delivered)), At: epoch.Add(time.Duration(n) * time.Second)})
	}
	if len(trail) != maxTrail || !trail[0].At.Equal(epoch) || !trail[maxTrail-1].At.Equal(epoch.Add((3*maxTrail-1)*time.Second)) {
		t.Errorf("%d steps from %v to %v", len(trail), trail[0].At, trail[len(trail)-1].At)
	}
}

func TestTrailNeverGoesBack(t *testing.T) {
	epoch := time.Unix(1_000_000, 0)
	trail := Trail{}.Join(Trail{{Stage: Received, At: epoch}, {Stage: Queued, At: epoch.Add(-time.Hour)}, {Stage: Queued, At: epoch.Add(time.Second)}})
	if len(trail) != 2 || !trail[1].At.Equal(epoch) {
		t.Errorf("%+v", trail)
	}
}

func TestStagesHaveNames(t *testing.T) {
	for s := Received; s <= Delivered; s++ {
		if s.String() == "" {
			t.Errorf("stage %d", s)
		}
	}
	if Stage(0).String() != "stage(0)" || (Delivered+1).String() != "stage(11)" {
		t.Error("unknown stages", Stage(0), Delivered+1)
	}
}
