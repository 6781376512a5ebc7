package host

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/artifacts/db"
)

func TestABallastThatGrowsIsNoWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(time.Now)
		began := time.Now()
		for _, row := range []struct {
			held int64
			want string
		}{{0, "0 of 64 MiB of ballast are held"}, {37 << 20, "37 of 64 MiB of ballast are held"}, {64 << 20, ""}} {
			h.showBallast(db.Status{BallastBytes: row.held, BallastWanted: 64 << 20})
			list := h.list()
			if row.want == "" {
				if len(list) != 0 {
					t.Errorf("all is held: %+v", list)
				}
			} else if len(list) != 1 || list[0].Code != "disk.ballast" || list[0].Message != row.want || !list[0].Since.Equal(began) {
				t.Errorf("%d held: %+v", row.held, list)
			}
			<-time.After(time.Second)
		}
	})
}
