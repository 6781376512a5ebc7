package requests

import (
	"errors"
	"math/bits"

	"github.com/troupehost/troupe/chainbridge/ledger/compute/ip"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// How requests are placed.
const (
	PlaceBlocks    = 7   // the chain looks for miners each
	placeRequests  = 16  // it looks for, each time
	placeNodes     = 128 // it looks at, for each request
	AnswerBlocks   = 600 // an hour, for a miner to begin, and another one to finish
	DeletionBlocks = 12 * AnswerBlocks
	maxDeadlines   = 512 // of a block
)

var (
	cursor    = state.NewItem[uint32](name, "Cursor") // the place of the first node to look at
	deadlines = state.NewMap[uint64, []deadline](name, "Deadlines")
	answer    = state.NewItem[uint64](name, "AnswerBlocks")

	roomAnswer   = state.NewItem[uint64](name, "DeadlineRoom")         // no height before it, as far ahead as answers are, has room
	roomDeletion = state.NewItem[uint64](name, "DeletionDeadlineRoom") // the same for deletions
)

// deadline is when a miner has failed, or a deletion is given up.
type deadline struct {
	RequestID ID
	Node      nodes.ID // of a deletion; "": the miner's answer
}

// expect sets a deadline, and returns it: a little later if too many end at once. It begins where there was room last, so that those
// who fill many heights do not make everybody look at all of them.
func expect(s *state.Store, at uint64, d deadline) uint64 {
	room := roomAnswer
	if d.Node != "" {
		room = roomDeletion
	}
	begin, _ := room.Get(s)
	for from := max(at, begin); ; from++ {
		if all, _ := deadlines.Get(s, from); len(all) < maxDeadlines {
			deadlines.Put(s, from, append(all, d))
			if from > at && from != begin {
				room.Put(s, from)
			}
			return from
		}
	}
}

func answerBlocks(s *state.Store) uint64 {
	if n, ok := answer.Get(s); ok {
		return n
	}
	return AnswerBlocks
}

var errNoIP = pallet.Fail(name, "NoAvailableIp", "")

// holder is for what an address is reserved.
func holder(id ID) string { return "request " + id.String() }

// leaves says whether a tenth of what there is stays free.
func leaves(there, used, wanted uint64) bool {
	taken := used + wanted
	if taken < used || taken > there {
		return false
	}
	hi, lo := bits.Mul64(there-taken, 10)
	return hi > 0 || lo >= there
}

// suits says why a node cannot serve a request; nil if it can.
//
// # Errors
//
// Registration.NodeNotFound, Compute.MinerNotSuitable.
func suits(s *state.Store, node nodes.ID, r ComputeRequest, e entry) (nodes.NodeInfo, error) {
	n, ok := nodes.Get(s, node)
	if !ok {
		return n, pallet.Fail("Registration", "NodeNotFound", "")
	}
	not := func(why string) (nodes.NodeInfo, error) { return n, fail("MinerNotSuitable", why) }
	switch {
	case n.NodeType != nodes.ComputeMiner:
		return not("it is a " + n.NodeType.String())
	case n.Status != nodes.Online:
		return not("it is " + n.Status.String())
	case r.MinerID != nil && *r.MinerID != node:
		return not("the request names another miner")
	}
	for _, t := range e.Tried {
		if t == node {
			return not("it failed this request")
		}
	}
	m, ok := nodes.NodeMetrics.Get(s, node)
	if !ok {
		return not("it has no metrics")
	}
	u, _ := uses.Get(s, node)
	switch {
	case u.Requests >= MaxOnNode:
		return not("it has too many requests")
	case e.Needs.Sev && !m.IsSevEnabled:
		return not("it has no SEV")
	case e.Needs.Gpu && m.GpuName == nil:
		return not("it has no GPU")
	case !leaves(uint64(m.CPUCores), u.CPUCores, uint64(e.Needs.CPUCores)):
		return not("it would have less than 10 % of its cores left")
	case !leaves(m.FreeMemoryMb>>10, u.RAMGb, uint64(e.Needs.RAMGb)):
		return not("it would have less than 10 % of its free memory left")
	case !leaves(m.FreeStorage()>>30, u.StorageGb, uint64(e.Needs.StorageGb)):
		return not("it would have less than 10 % of its free storage left")
	}
	return n, nil
}

// place gives a request to a node.
//
// # Errors
//
// those of suits, Compute.NoAvailableIp.
func place(c *pallet.Context, r ComputeRequest, e entry, node nodes.ID) error {
	n, err := suits(c.Store, node, r, e)
	if err != nil {
		return err
	}
	addr, err := ip.Reserve(c, holder(r.RequestID))
	if err != nil {
		return own(err)
	}
	r.Status, r.IsAssigned = InProgress, true
	put(c.Store, r)
	unwait(c.Store, r.RequestID)
	e.Node = node
	e.Deadline = expect(c.Store, c.Height+answerBlocks(c.Store), deadline{RequestID: r.RequestID})
	entries.Put(c.Store, r.RequestID, e)
	all, _ := MinerComputeRequests.Get(c.Store, node)
	MinerComputeRequests.Put(c.Store, node, append(all, MinerComputeRequest{
		MinerNodeID: node, MinerAccountID: n.Owner, RequestID: r.RequestID, PlanID: r.PlanID, CreatedAt: c.Height,
	}))
	promise(c.Store, node, func(u *use) {
		u.Requests++
		u.CPUCores += uint64(e.Needs.CPUCores)
		u.RAMGb += uint64(e.Needs.RAMGb)
		u.StorageGb += uint64(e.Needs.StorageGb)
	})
	c.Emit(name, "ComputeRequestSubmitted", ComputeRequestSubmitted{node, r.RequestID, r.Owner, r.PlanID, addr})
	return nil
}

// match looks for miners for the requests that waited longest. Those that find none wait behind the others, so that none is starved.
func match(c *pallet.Context) {
	queue, _ := waiting.Get(c.Store)
	all := nodes.Miners(c.Store)
	if len(queue) == 0 || len(all) == 0 {
		return
	}
	from, _ := cursor.Get(c.Store)
	for _, id := range queue[:min(len(queue), placeRequests)] {
		r, e, ok := get(c.Store, id)
		if !ok || r.Status != Pending {
			unwait(c.Store, id)
			continue
		}
		candidates := all
		if r.MinerID != nil {
			candidates = []nodes.ID{*r.MinerID}
		}
		placed := false
		for i := range min(len(candidates), placeNodes) {
			err := place(c, r, e, candidates[(int(from)+i)%len(candidates)])
			if errors.Is(err, errNoIP) {
				return // for nobody
			}
			if placed = err == nil; placed {
				break
			}
		}
		if !placed {
			unwait(c.Store, id)
			wait(c.Store, id)
		}
	}
	if len(all) > placeNodes { // each pass sees the next ones
		cursor.Put(c.Store, uint32((int(from)+placeNodes)%len(all)))
	} else if from != 0 {
		cursor.Delete(c.Store)
	}
}

// expire gives up what miners did not do until now.
func expire(c *pallet.Context) error {
	all, ok := deadlines.Get(c.Store, c.Height)
	if !ok {
		return nil
	}
	deadlines.Delete(c.Store, c.Height)
	for _, d := range all {
		if d.Node != "" {
			if s, ok := side(c.Store, DeletionRequests, d.Node, d.RequestID); ok {
				if err := deleted(c, s); err != nil {
					return err
				}
			}
			continue
		}
		r, e, ok := get(c.Store, d.RequestID)
		if !ok || r.Status != InProgress || e.Deadline != c.Height {
			continue
		}
		if err := failed(c, r, e, "the miner did not answer"); err != nil {
			return own(err)
		}
	}
	return nil
}

// end does what the chain does by itself.
func end(c *pallet.Context) error {
	if err := expire(c); err != nil {
		return err
	}
	if c.Height%PlaceBlocks == 0 {
		match(c)
	}
	return nil
}
