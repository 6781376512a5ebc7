package follow

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/troupehost/troupe/actors/chain"
)

// Bounds of what is remembered of blocks.
const (
	maxMoved     = 1 << 16 // accounts; beyond them, everything is read again
	maxHintBytes = 64 << 10
)

// hint is what the fields of an event may name. Each is read by itself: one that is not as expected spoils no other.
type hint struct {
	fields map[string]json.RawMessage
}

func (h hint) number(name string) (uint64, bool) {
	var n *uint64
	if json.Unmarshal(h.fields[name], &n) != nil || n == nil {
		return 0, false
	}
	return *n, true
}

func (h hint) hash(name string) (chain.Hash, bool) {
	var v *chain.Hash
	if json.Unmarshal(h.fields[name], &v) != nil || v == nil {
		return chain.Hash{}, false
	}
	return *v, true
}

func (h hint) text(name string) string {
	var t text
	if json.Unmarshal(h.fields[name], &t) != nil {
		return ""
	}
	return string(t)
}

func (h hint) digits(name string) string {
	var n number
	if json.Unmarshal(h.fields[name], &n) != nil {
		return ""
	}
	return string(n)
}

// names says whether a field is a key, or has it among several.
func (h hint) names(name string, key chain.Hash) bool {
	if v, ok := h.hash(name); ok {
		return v == key
	}
	var several []chain.Hash
	return json.Unmarshal(h.fields[name], &several) == nil && slices.Contains(several, key)
}

// hints says what a block has to be read again, and what more if it is undone: a ticket that it closed is not known any more when it was
// read after that.
func (s *State) hints(b *chain.Block) (out, undone []Read) {
	s.unknown = nil
	have := map[Read]struct{}{}
	add := func(r Read) {
		if _, ok := have[r]; !ok {
			have[r] = struct{}{}
			out = append(out, r)
		}
	}
	for i := range b.Events {
		e := &b.Events[i]
		switch e.Pallet {
		case "Wapod", "Balances", "Compute":
		default:
			continue
		}
		var h hint
		if len(e.Fields) > maxHintBytes || json.Unmarshal(e.Fields, &h.fields) != nil {
			continue
		}
		switch e.Pallet {
		case "Wapod":
			if id, ok := h.number("id"); ok && e.Name == "TicketClosed" {
				undone = append(undone, Read{Kind: ReadTicket, ID: id})
			}
			s.marketHint(e.Name, h, add)
		case "Balances":
			for _, name := range []string{"from", "to", "who", "account"} {
				if account, ok := h.hash(name); ok {
					s.balanceHint(account, add)
				}
			}
		case "Compute":
			s.computeHint(h, add)
		}
	}
	return out, undone
}

func (s *State) marketHint(name string, h hint, add func(Read)) {
	switch {
	case strings.Contains(name, "Benchmark") && !strings.HasPrefix(name, "BenchmarkScore"):
		add(Read{Kind: ReadBench})
		return
	case strings.Contains(name, "List"):
		if h.names("worker", s.cfg.Worker) || h.names("workers", s.cfg.Worker) {
			add(Read{Kind: ReadWorker})
		}
		return
	}
	for _, field := range []string{"id", "ticket_id", "ticket"} {
		id, ok := h.number(field)
		if !ok {
			continue
		}
		read := Read{Kind: ReadTicket, ID: id}
		if name == "TicketCreated" {
			if list, ok := h.number("list"); ok && !s.lists[list] && !s.sweeping {
				return // of workers that this one is not among; who joins reads the list
			}
			add(read)
		} else if s.tickets[id] != nil || s.reads[read] != nil || s.pages > 0 {
			add(read)
		}
		return
	}
}

// balanceHint has a ticket read that got or gave something.
func (s *State) balanceHint(account chain.Hash, add func(Read)) {
	if id, ok := s.accounts[account]; ok {
		add(Read{Kind: ReadTicket, ID: id})
		return
	}
	if len(s.reads) == 0 {
		return
	}
	// It may be that of a ticket that is being read just now.
	if len(s.moved) >= maxMoved {
		clear(s.moved)
		s.sweep()
		return
	}
	s.moved[account] = s.readSeq
	s.unknown = append(s.unknown, account)
}

// computeHint has the requests of this node read when one of them is meant.
func (s *State) computeHint(h hint, add func(Read)) {
	if s.cfg.NoRequests {
		return
	}
	for _, name := range []string{"miner", "node_id", "node", "miner_node_id"} {
		if h.text(name) == s.cfg.NodeID {
			add(Read{Kind: ReadRequests})
			return
		}
	}
	if s.reads[Read{Kind: ReadRequests}] != nil {
		add(Read{Kind: ReadRequests}) // which there are is being read just now
		return
	}
	id, plan := h.digits("request_id"), h.text("plan_id")
	for _, v := range s.vmOrder {
		if v.id == id || plan != "" && v.plan == plan {
			add(Read{Kind: ReadRequests})
			return
		}
	}
}
