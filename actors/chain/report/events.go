package report

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/meter"
)

// maxPays bounds the payments of one block that are looked at.
const maxPays = 65_536

// maxChallenges bounds the challenges of one block that are looked at. There is one, and a second one when governance wants it.
const maxChallenges = 16

// blockOf takes out of a block what the reporter needs.
func blockOf(b *chain.Block, worker ID, seen time.Time) block {
	m := block{Cursor: b.Cursor, at: seen}
	name := []byte(worker.String())
	for i := range b.Events {
		e := &b.Events[i]
		switch {
		case e.Pallet == computation && e.Name == "HeartbeatChallenge":
			if c := challengeOf(e.Fields); c != nil && len(m.challenges) < maxChallenges {
				m.challenges = append(m.challenges, *c)
			}
		case e.Pallet == market && (e.Name == "Settled" || e.Name == "SettleFailed" || e.Name == "TicketExhausted"):
			if p, ok := payOf(e, worker); ok && len(m.pays) < maxPays {
				m.pays = append(m.pays, p)
			}
		case e.Pallet == registry, e.Pallet == market, e.Pallet == computation, e.Pallet == nodes, e.Pallet == "PhalaStakePoolv2":
			m.touched = m.touched || bytes.Contains(bytes.ToLower(e.Fields), name)
		}
	}
	return m
}

// challengeOf reads a HeartbeatChallenge; nil: it is none.
func challengeOf(fields json.RawMessage) *challenge {
	var f struct {
		Seed   json.RawMessage `json:"seed"`
		Target json.RawMessage `json:"online_target"`
	}
	var c challenge
	if json.Unmarshal(fields, &f) != nil || !number(f.Seed, true, &c.seed) || !number(f.Target, false, &c.target) {
		return nil
	}
	return &c
}

// number reads a number of 256 bits: decimal digits, hex digits behind 0x, or 64 hex digits where a hash is written so.
func number(raw json.RawMessage, hash bool, out *[32]byte) bool {
	s := strings.Trim(string(raw), `"`)
	base := 10
	switch rest, found := strings.CutPrefix(s, "0x"); {
	case found:
		s, base = rest, 16
	case hash && len(s) == 2*len(out):
		base = 16
	}
	if len(s) == 0 || len(s) > 78 || s[0] == '-' || s[0] == '+' {
		return false
	}
	v, ok := new(big.Int).SetString(s, base)
	if !ok || v.BitLen() > 8*len(out) {
		return false
	}
	v.FillBytes(out[:])
	return true
}

// payOf reads an event about a payment to the worker.
func payOf(e *chain.Event, worker ID) (pay, bool) {
	var f struct {
		Ticket  uint64         `json:"ticket_id"`
		Worker  ID             `json:"worker"`
		Address ID             `json:"address"`
		Payout  meter.Uint128  `json:"payout"`
		Debt    *meter.Uint128 `json:"debt"`
	}
	if json.Unmarshal(e.Fields, &f) != nil || f.Worker != worker {
		return pay{}, false
	}
	p := pay{ticket: f.Ticket, app: f.Address, paid: f.Payout}
	if e.Name != "Settled" { // the payout of a failure is what is missing
		p.debt, p.paid = f.Payout, meter.Uint128{}
		p.dry = true
	}
	if f.Debt != nil {
		p.debt = *f.Debt
	}
	return p, true
}
