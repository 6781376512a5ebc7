package report

import (
	"time"

	"github.com/troupehost/troupe/actors/inspect"
)

// status is what is shown to operators.
func (s *State) status(now time.Time) inspect.Reporter {
	v := &s.view
	r := inspect.Reporter{
		Worker: s.key.String(), Height: s.head.Height, SeenAt: s.seen, Following: s.watching && s.watchErr == "",
		Registered: v.Known, Attestation: v.Provider, Computing: v.State, InitialScore: v.InitialScore,
		SN: s.lastSN, LastReport: s.lastAt, Made: s.madeTotal, Settled: s.settledTotal, Refused: s.refusedTotal,
		Open: len(s.open) + len(s.unsent), Asked: len(s.asks), Unpaid: s.pays.unpaidApps(), Heartbeat: s.beat,
	}
	if s.begun && s.due.After(now) {
		r.NextReport = s.due
	}
	if s.fresh > 0 {
		r.Genesis = v.Genesis.String()
	}
	if v.Open != nil {
		r.Session = v.Open.ID.String()
		r.SN = max(r.SN, v.Open.SN)
	}
	if v.Session != nil {
		r.ChainSession = v.Session.ID.String()
	}
	switch {
	case !s.recalled:
		r.Waiting = "asks what is on its way to the chain"
	case s.away:
		r.Waiting = "waits for the chain: " + s.lookErr
	case s.watchErr != "":
		r.Waiting = "waits for blocks: " + s.watchErr
	}
	for of := RegisterWorker; of < endOfDuties; of++ {
		r.Duties = append(r.Duties, s.duties[of].show(of))
	}
	return r
}
