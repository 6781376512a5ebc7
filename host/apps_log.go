package host

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/internal/appdata"
)

const (
	maxLogPage = 1000             // lines
	maxLogWait = 30 * time.Second // for a line to come
)

// AppLog returns what an app said, also one that is not deployed any more: the lines behind after, or the newest ones if after is 0;
// at most so many, 0 means 1000, which is also the most. If there is none it waits for one, for up to 30 s. dropped is how many bytes
// could not be kept, because of their number or for lack of room.
//
// # Errors
//
// caller.invalid_request, host.disk_io.
func (h *Host) AppLog(ctx context.Context, address string, after uint64, most int, wait time.Duration) (lines []LogLine, dropped uint64, err error) {
	addr, err := manifest.ParseAddress(address)
	if err != nil {
		return nil, 0, err
	}
	if most <= 0 || most > maxLogPage {
		most = maxLogPage
	}
	log, err := h.apps.logs.App(addr)
	if err != nil {
		return nil, 0, err
	}
	defer log.Close()
	if after == 0 {
		last, err := log.Last(most)
		if err != nil || len(last) > 0 || wait <= 0 {
			return shownLines(last), log.Dropped().Bytes, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, max(min(wait, maxLogWait), time.Millisecond))
	defer cancel()
	var found []appdata.Line
	for l, err := range log.Follow(ctx, after) {
		if err != nil {
			if f := fault.From(err); f.Class != fault.Canceled {
				return nil, 0, err
			}
			break
		}
		if found = append(found, l); len(found) == most || l.Seq >= log.Newest() {
			break
		}
	}
	return shownLines(found), log.Dropped().Bytes, nil
}

func shownLines(lines []appdata.Line) []LogLine {
	out := make([]LogLine, 0, len(lines))
	for _, l := range lines {
		out = append(out, LogLine{Seq: l.Seq, At: l.Time, Instance: l.Instance, Level: appdata.LevelName(l.Level), Text: string(l.Text)})
	}
	return out
}

func (a *apps) logDropped(address string) uint64 {
	addr, err := manifest.ParseAddress(address)
	if err != nil {
		return 0
	}
	a.mu.Lock()
	app := a.live[addr]
	a.mu.Unlock()
	if app == nil {
		return 0
	}
	return app.logs.Dropped().Bytes
}
