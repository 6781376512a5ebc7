package requests

import (
	"errors"
	"slices"

	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const name = "Compute"

// Bounds.
const (
	MaxLive    = 16   // requests of an account that may still run
	MaxOver    = 16   // that are over, and still shown
	MaxOnNode  = 64   // requests of a node, with those that it has to delete
	MaxFailed  = 32   // that a node failed to serve, and are still shown
	MaxDone    = 16   // side requests of each kind of a node that are done, and still shown
	MaxPending = 1024 // in all
	MaxTries   = 32   // miners that fail, until a request has failed
	maxNotices = 1024
)

// The storage of Compute.
var (
	NextRequestID        = state.NewItem[ID](name, "NextRequestId")
	ComputeRequests      = state.NewMap[pallet.Account, []ComputeRequest](name, "ComputeRequests")
	MinerComputeRequests = state.NewMap[nodes.ID, []MinerComputeRequest](name, "MinerComputeRequests")
	DeletionRequests     = state.NewMap[nodes.ID, []SideRequest](name, "MinerComputeDeletionRequests")
	StopRequests         = state.NewMap[nodes.ID, []SideRequest](name, "MinerComputeStopRequests")
	BootRequests         = state.NewMap[nodes.ID, []SideRequest](name, "MinerComputeBootRequests")
	RebootRequests       = state.NewMap[nodes.ID, []SideRequest](name, "MinerComputeRebootRequests")
	ResizeRequests       = state.NewMap[nodes.ID, []ResizeRequest](name, "MinerComputeResizeRequests")

	entries = state.NewMap[ID, entry](name, "Entries")
	waiting = state.NewItem[[]ID](name, "Waiting") // those that are Pending, who waited longest first
	uses    = state.NewMap[nodes.ID, use](name, "Uses")
	notices = state.NewItem[[]Notice](name, "Notices")
)

// entry is what is known of a request beside its record.
type entry struct {
	Owner    pallet.Account
	Node     nodes.ID // that serves it; "": none
	Needs    Needs
	Deadline uint64     // for the miner's answer; 0: none
	Tried    []nodes.ID // they failed
	Reason   string     `scale:"max=1024"` // of the last one
}

// use is what of a node is promised. Cores are promised to all requests; memory and storage to those that do not run yet, for what
// runs is missing in what the node says is free.
type use struct {
	Requests, CPUCores, RAMGb, StorageGb uint64
}

// NoticeKind is what became of a request, for who charges for it.
type NoticeKind uint8

// The kinds of notices.
const (
	Began  NoticeKind = iota + 1 // it runs
	Paused                       // it runs no longer, and may again
	Ended
)

// Notice tells who charges for requests what became of one in this block.
type Notice struct {
	Kind   NoticeKind
	Owner  pallet.Account
	PlanID pallet.Hash
}

// TakeNotices returns the notices since the last time.
func TakeNotices(c *pallet.Context) []Notice {
	all, _ := notices.Get(c.Store)
	if len(all) > 0 {
		notices.Delete(c.Store)
	}
	return all
}

func notify(c *pallet.Context, kind NoticeKind, r ComputeRequest) error {
	all, _ := notices.Get(c.Store)
	if len(all) >= maxNotices && c.Origin.Kind != pallet.Nobody { // what the chain does by itself is bounded where it does it
		return fail("TooManyRequests", "too much happened in this block: try again in the next")
	}
	notices.Put(c.Store, append(all, Notice{kind, r.Owner, r.PlanID}))
	return nil
}

func fail(err, detail string) error { return pallet.Fail(name, err, detail) }

// own says an error of another pallet as one of this.
func own(err error) error {
	var e *pallet.Error
	if errors.As(err, &e) && slices.Contains(errorNames, e.Name) {
		return pallet.Fail(name, e.Name, e.Detail)
	}
	return err
}

func status(r ComputeRequest, want string) error {
	return fail("InvalidRequestStatus", "the request is "+r.Status.String()+", not "+want)
}

// get returns a request and what else is known of it.
func get(s *state.Store, id ID) (ComputeRequest, entry, bool) {
	e, ok := entries.Get(s, id)
	if !ok {
		return ComputeRequest{}, e, false
	}
	all, _ := ComputeRequests.Get(s, e.Owner)
	i := slices.IndexFunc(all, func(r ComputeRequest) bool { return r.RequestID == id })
	if i < 0 {
		return ComputeRequest{}, e, false
	}
	return all[i], e, true
}

// put writes a request back.
func put(s *state.Store, r ComputeRequest) {
	all, _ := ComputeRequests.Get(s, r.Owner)
	if i := slices.IndexFunc(all, func(o ComputeRequest) bool { return o.RequestID == r.RequestID }); i >= 0 {
		all[i] = r
		ComputeRequests.Put(s, r.Owner, all)
	}
}

// Find returns the request of an account and a plan that may still run.
func Find(s *state.Store, owner pallet.Account, plan pallet.Hash) (ComputeRequest, bool) {
	all, _ := ComputeRequests.Get(s, owner)
	for _, r := range all {
		if r.PlanID == plan && r.Status.live() {
			return r, true
		}
	}
	return ComputeRequest{}, false
}

// onMiner returns the record of a request on the node that serves it.
func onMiner(s *state.Store, node nodes.ID, id ID) (MinerComputeRequest, bool) {
	all, _ := MinerComputeRequests.Get(s, node)
	for _, m := range all {
		if m.RequestID == id && m.FailReason == nil {
			return m, true
		}
	}
	return MinerComputeRequest{}, false
}

// change rewrites the record of a request on the node that serves it; false removes it.
func change(s *state.Store, node nodes.ID, id ID, how func(*MinerComputeRequest) bool) {
	all, _ := MinerComputeRequests.Get(s, node)
	i := slices.IndexFunc(all, func(m MinerComputeRequest) bool { return m.RequestID == id && m.FailReason == nil })
	if i < 0 {
		return
	}
	if !how(&all[i]) {
		all = slices.Delete(all, i, i+1)
	}
	MinerComputeRequests.Put(s, node, trim(all, MaxFailed, func(m MinerComputeRequest) bool { return m.FailReason != nil }))
}

// trim removes the oldest of those that are over, so that max of them stay.
func trim[T any](all []T, max int, over func(T) bool) []T {
	n := 0
	for _, v := range all {
		if over(v) {
			n++
		}
	}
	return slices.DeleteFunc(all, func(v T) bool {
		if n > max && over(v) {
			n--
			return true
		}
		return false
	})
}

// wait lets a request wait for a miner.
func wait(s *state.Store, id ID) {
	all, _ := waiting.Get(s)
	waiting.Put(s, append(all, id))
}

// unwait takes a request out of those that wait.
func unwait(s *state.Store, id ID) {
	all, _ := waiting.Get(s)
	waiting.Put(s, slices.DeleteFunc(all, func(o ID) bool { return o == id }))
}

// Create makes a request. Who calls it has seen to it that the owner pays.
//
// # Errors
//
// Compute.InvalidRequest, TooManyRequests.
func Create(c *pallet.Context, owner pallet.Account, plan pallet.Hash, description string, image ImageMetadata, cloudInit *string, miner *nodes.ID) (ID, error) {
	needs, err := ParseNeeds(description)
	if err != nil {
		return ID{}, err
	}
	all, _ := ComputeRequests.Get(c.Store, owner)
	live := 0
	for _, r := range all {
		if r.Status.live() {
			live++
			if r.PlanID == plan {
				return ID{}, fail("InvalidRequest", "the account has a request with this plan")
			}
		}
	}
	queue, _ := waiting.Get(c.Store)
	switch {
	case live >= MaxLive:
		return ID{}, fail("TooManyRequests", "of this account")
	case len(queue) >= MaxPending:
		return ID{}, fail("TooManyRequests", "too many wait for a miner")
	}
	id, _ := NextRequestID.Get(c.Store)
	NextRequestID.Put(c.Store, id.Plus(ID{Lo: 1}))
	r := ComputeRequest{
		RequestID: id, PlanTechnicalDescription: description, PlanID: plan, Status: Pending, CreatedAt: c.Height, Owner: owner,
		SelectedImage: image, CloudInitCid: cloudInit, MinerID: miner,
	}
	ComputeRequests.Put(c.Store, owner, append(all, r))
	entries.Put(c.Store, id, entry{Owner: owner, Needs: needs})
	wait(c.Store, id)
	c.Emit(name, "ComputeRequestCreated", ComputeRequestCreated{plan, owner, id})
	return id, nil
}

// over ends a request that is shown for a while.
func over(c *pallet.Context, r ComputeRequest, s Status) error {
	r.Status, r.IsAssigned = s, false
	put(c.Store, r)
	all, _ := ComputeRequests.Get(c.Store, r.Owner)
	kept := trim(slices.Clone(all), MaxOver, func(r ComputeRequest) bool { return !r.Status.live() })
	for _, o := range all {
		if !slices.ContainsFunc(kept, func(k ComputeRequest) bool { return k.RequestID == o.RequestID }) {
			entries.Delete(c.Store, o.RequestID)
		}
	}
	ComputeRequests.Put(c.Store, r.Owner, kept)
	return notify(c, Ended, r)
}

// promise changes what of a node is promised.
func promise(s *state.Store, node nodes.ID, how func(*use)) {
	u, _ := uses.Get(s, node)
	how(&u)
	if u == (use{}) {
		uses.Delete(s, node)
		return
	}
	uses.Put(s, node, u)
}
