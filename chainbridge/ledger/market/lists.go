package market

import (
	"encoding/binary"
	"slices"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// WorkerListCreated says that there is a list.
type WorkerListCreated struct {
	List   uint64         `json:"list"`
	Owner  pallet.Account `json:"owner"`
	Prices Prices         `json:"prices"`
}

// WorkersInvited asks workers to consent, each to the invitation at its place.
type WorkersInvited struct {
	List        uint64           `json:"list"`
	Workers     []pallet.Account `json:"workers"`
	Invitations []uint64         `json:"invitations"`
}

// WorkersAddedToList says who belongs to a list now.
type WorkersAddedToList struct {
	List    uint64           `json:"list"`
	Workers []pallet.Account `json:"workers"`
}

// WorkerRemovedFromList says that a worker belongs to a list no longer. Its reports are paid up to a height.
type WorkerRemovedFromList struct {
	List   uint64         `json:"list"`
	Worker pallet.Account `json:"worker"`
	Until  uint64         `json:"until"`
}

// WorkerListCreate makes a list, and invites workers.
type WorkerListCreate struct {
	Description string           `json:"description" scale:"max=1024"`
	Prices      Prices           `json:"prices"`
	InitWorkers []pallet.Account `json:"init_workers" scale:"max=32"`
}

// Run implements pallet.Call.
func (w *WorkerListCreate) Run(c *pallet.Context) error {
	owner, err := c.Signer()
	if err != nil {
		return err
	}
	id := next(c.Store, nextList)
	l := List{owner, w.Prices, w.Description}
	lists.Put(c.Store, id, l)
	c.Emit(name, "WorkerListCreated", WorkerListCreated{id, owner, w.Prices})
	return invite(c, id, l, w.InitWorkers)
}

// WorkerListAddWorkers invites workers to a list. A worker that owns the list needs no other consent.
type WorkerListAddWorkers struct {
	List    uint64           `json:"list"`
	Workers []pallet.Account `json:"workers" scale:"max=32"`
}

// Run implements pallet.Call.
func (w *WorkerListAddWorkers) Run(c *pallet.Context) error {
	l, err := owned(c, w.List)
	if err != nil {
		return err
	}
	return invite(c, w.List, l, w.Workers)
}

func owned(c *pallet.Context, id uint64) (List, error) {
	signer, err := c.Signer()
	if err != nil {
		return List{}, err
	}
	l, ok := lists.Get(c.Store, id)
	if !ok {
		return List{}, fail("WorkerListNotFound", "")
	}
	if l.Owner != signer {
		return List{}, fail("NotAllowed", "the list is another's")
	}
	return l, nil
}

// fits says whether a worker may belong to a list.
func fits(s *state.Store, l List, worker pallet.Account) error {
	d, ok := described.Get(s, worker)
	if !ok {
		return fail("WorkerNotFound", "the worker has no description")
	}
	if !d.Prices.empty() && !d.Prices.equal(l.Prices) {
		return fail("PriceMismatch", "the worker asks for other prices")
	}
	return nil
}

func isMember(s *state.Store, list uint64, worker pallet.Account) bool {
	m, ok := members.Get(s, list, worker)
	return ok && m.Until == nil
}

// invite passes over who belongs to the list or is invited already.
func invite(c *pallet.Context, id uint64, l List, workers []pallet.Account) error {
	asked := WorkersInvited{List: id}
	for _, w := range workers {
		if err := fits(c.Store, l, w); err != nil {
			return err
		}
		if isMember(c.Store, id, w) {
			continue
		}
		if w == l.Owner {
			if err := join(c, id, w); err != nil {
				return err
			}
			continue
		}
		if _, open := invitations.Get(c.Store, id, w); open {
			continue
		}
		n := next(c.Store, nextInvitation)
		invitations.Put(c.Store, id, w, n)
		askedOf.Put(c.Store, w, id, n)
		asked.Workers, asked.Invitations = append(asked.Workers, w), append(asked.Invitations, n)
	}
	if len(asked.Workers) > 0 {
		c.Emit(name, "WorkersInvited", asked)
	}
	return nil
}

func uninvite(s *state.Store, id uint64, worker pallet.Account) {
	invitations.Delete(s, id, worker)
	askedOf.Delete(s, worker, id)
}

func join(c *pallet.Context, id uint64, worker pallet.Account) error {
	in, _ := listsOf.Get(c.Store, worker)
	if len(in) >= MaxListsPerWorker {
		return fail("InvalidParameter", "the worker belongs to as many lists as it may")
	}
	listsOf.Put(c.Store, worker, append(in, id))
	members.Put(c.Store, id, worker, member{Since: c.Height, Time: c.Time})
	uninvite(c.Store, id, worker)
	c.Emit(name, "WorkersAddedToList", WorkersAddedToList{id, []pallet.Account{worker}})
	return nil
}

// WorkerListConsent makes an invited worker belong to a list. It is sent by the worker's own account, or has its signature.
type WorkerListConsent struct {
	List       uint64         `json:"list"`
	Worker     pallet.Account `json:"worker"`
	Invitation uint64         `json:"invitation"`
	Signature  *pallet.Bytes  `json:"signature" scale:"max=128"` // of ConsentMessage; nil: the worker's account sends it
}

// ConsentMessage returns what a worker signs to belong to a list.
func ConsentMessage(genesis pallet.Hash, list uint64, worker pallet.Account, invitation uint64) []byte {
	b := append([]byte("troupe/worker-list/1"), genesis[:]...)
	b = append(binary.LittleEndian.AppendUint64(b, list), worker[:]...)
	return binary.LittleEndian.AppendUint64(b, invitation)
}

// Run implements pallet.Call.
func (w *WorkerListConsent) Run(c *pallet.Context) error {
	signer, err := c.Signer()
	switch {
	case err != nil:
		return err
	case w.Signature == nil && signer != w.Worker:
		return fail("InvalidMessageSender", "only the worker consents, or who has its signature")
	case w.Signature != nil && !meter.Verify(w.Worker, ConsentMessage(c.Genesis, w.List, w.Worker, w.Invitation), *w.Signature):
		return fail("SignatureVerificationFailed", "")
	}
	l, ok := lists.Get(c.Store, w.List)
	if !ok {
		return fail("WorkerListNotFound", "")
	}
	switch n, open := invitations.Get(c.Store, w.List, w.Worker); {
	case !open:
		return fail("NotAllowed", "the worker is not invited")
	case n != w.Invitation:
		return fail("OutdatedMessage", "the invitation is another")
	}
	if err := fits(c.Store, l, w.Worker); err != nil {
		return err
	}
	return join(c, w.List, w.Worker)
}

// WorkerListRemoveWorker takes a worker, or its invitation, from a list. The owner may, and the worker itself.
type WorkerListRemoveWorker struct {
	List   uint64         `json:"list"`
	Worker pallet.Account `json:"worker"`
}

// Run implements pallet.Call.
func (w *WorkerListRemoveWorker) Run(c *pallet.Context) error {
	signer, err := c.Signer()
	if err != nil {
		return err
	}
	if l, ok := lists.Get(c.Store, w.List); !ok {
		return fail("WorkerListNotFound", "")
	} else if signer != l.Owner && signer != w.Worker {
		return fail("NotAllowed", "the list is another's")
	}
	_, invited := invitations.Get(c.Store, w.List, w.Worker)
	m, known := members.Get(c.Store, w.List, w.Worker)
	until := c.Height
	switch {
	case known && m.Until == nil:
		in, _ := listsOf.Get(c.Store, w.Worker)
		if in = slices.DeleteFunc(in, func(id uint64) bool { return id == w.List }); len(in) == 0 {
			listsOf.Delete(c.Store, w.Worker)
		} else {
			listsOf.Put(c.Store, w.Worker, in)
		}
		until = later(c, duty{Membership, w.List, w.Worker})
		m.Until = &until
		members.Put(c.Store, w.List, w.Worker, m)
	case invited:
		uninvite(c.Store, w.List, w.Worker)
	default:
		return fail("WorkerNotFound", "the worker does not belong to the list")
	}
	c.Emit(name, "WorkerRemovedFromList", WorkerRemovedFromList{w.List, w.Worker, until})
	return nil
}
