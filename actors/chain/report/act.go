package report

import (
	"bytes"
	"context"
	"slices"

	"github.com/troupehost/troupe/actors/chain"
)

// deed is what a duty owes, made.
type deed struct {
	first   *chain.Call // goes before call
	call    chain.Call
	why     string // it is not made: what is missing
	sn      uint64 // of a score
	session ID
}

func missing(what string) (deed, error) { return deed{why: what}, nil }

// prepare has the worker make what a duty owes.
func prepare(ctx context.Context, w Worker, key ID, node string, e Act) (d deed, err error) {
	switch e.Duty {
	case RegisterWorker:
		var r Registration
		if r, err = w.Registration(ctx, e.View.Genesis); err == nil {
			d.call, err = registration(r)
		}
	case RegisterNode:
		d.call, err = nodeKnown(node)
	case DescribeWorker:
		var signed []byte
		if signed, err = w.Description(ctx); err == nil && signed == nil {
			return missing("the worker has no description")
		} else if err == nil {
			d.call, err = described(signed)
		}
	case TellEndpoints:
		var payload, signature []byte
		if payload, signature, err = w.Endpoints(ctx); err == nil && payload == nil {
			return missing("the worker has no endpoints")
		} else if err == nil {
			d.call, err = reached(payload, signature)
		}
	case AgreeOnSession:
		s := e.View.Open
		if !e.View.resumable() {
			pnonce, anew := e.View.openOn()
			s, err = w.OpenSession(ctx, pnonce, anew)
		}
		if err == nil {
			d.call, err = updated(s.Update)
		}
	case SubmitScore:
		return score(ctx, w, key, Initial, e)
	case AnswerChallenge:
		return score(ctx, w, key, Heartbeat, e)
	case TellMetrics:
		m, err := w.NodeMetrics(ctx)
		switch {
		case err != nil:
			return d, err
		case m == nil:
			return missing("the node has no metrics")
		}
		specs, err := specified(node, m)
		if err != nil {
			return d, err
		}
		d.first = &specs
		d.call, err = measured(node, m, e.View.Head.Height)
		return d, err
	}
	return d, err
}

// score has the benchmark app sign a score that the chain takes.
func score(ctx context.Context, w Worker, key ID, as Scoring, e Act) (d deed, err error) {
	signed, err := w.Score(ctx, as)
	if err != nil {
		return d, err
	}
	if signed == nil {
		return missing("the benchmark app has no score yet")
	}
	if d.sn, d.session, err = scoreOf(signed, key); err != nil {
		return d, err
	}
	switch {
	case e.View.Session == nil || d.session != e.View.Session.ID:
		return missing("the score is of another session than that of the chain")
	case d.sn <= e.Above:
		return missing("waits for a score that is newer than the last")
	}
	d.call, err = scored(as, signed)
	return d, err
}

// signReports has the worker sign what apps with tickets have used. Those that are asked for and have no tickets owe nothing.
func signReports(ctx context.Context, w Worker, of Claims, apps [][32]byte) ([]sealed, map[ID][]uint64, error) {
	found, err := of.ClaimsOf(ctx, apps)
	if err != nil {
		return nil, nil, err
	}
	claims := make(map[ID][]uint64, len(found))
	claimed := make([][32]byte, 0, len(found))
	for app, tickets := range found {
		if len(tickets) > 0 {
			claims[app] = tickets[:min(len(tickets), maxTickets)]
			claimed = append(claimed, app)
		}
	}
	if len(claimed) == 0 {
		return nil, claims, nil
	}
	slices.SortFunc(claimed, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	pages, err := w.Report(ctx, claimed)
	if err != nil {
		return nil, nil, err
	}
	out := make([]sealed, 0, len(pages))
	for _, p := range pages {
		s, err := settlement(p, claims)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, s)
	}
	return out, claims, nil
}
