package market

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const (
	name  = "Wapod"
	index = 120
)

// Bounds. Those of the fields of calls are in their tags.
const (
	MaxListsPerWorker    = 64
	MaxBenchmarkApps     = 64
	DefaultClosingWindow = 100 // blocks
	maxClosingWindow     = 1 << 32
)

// Ticket is a paid wish to have an app run.
type Ticket struct {
	System      bool
	Owner       *pallet.Account // nil: governance
	Workers     *uint64         // the list; nil: any worker
	Address     pallet.Hash
	Prices      Prices
	ManifestCID string `scale:"max=128"`
	CreatedAt   uint64 // height
	CreatedTime uint64 // milliseconds of Unix time
	ClosingAt   *uint64
}

// Settlement is what a ticket and a worker have to do with each other.
type Settlement struct {
	CurrentSessionID   pallet.Hash    `json:"current_session_id"` // of the app
	CurrentSessionPaid pallet.Balance `json:"paid"`
	TotalPaid          pallet.Balance `json:"total_paid"`
	Debt               pallet.Balance `json:"debt"`
}

// List is a set of workers of one price.
type List struct {
	Owner       pallet.Account `json:"owner"`
	Prices      Prices         `json:"prices"`
	Description string         `json:"description" scale:"max=1024"`
}

// member is a worker of a list.
type member struct {
	Until *uint64 // the last height of which reports count; nil while it belongs to the list
	Since uint64  // height
	Time  uint64  // of Since, in milliseconds of Unix time
}

// Description is what a worker says of itself.
type Description struct {
	Prices      Prices `json:"prices"`
	Description string `json:"description" scale:"max=1024"`
}

// Session is what is known of a worker's session. Reports and scores are counted apart, so that neither outdates the other.
type Session struct {
	SessionID     pallet.Hash    `json:"session_id"`
	LastNonce     pallet.Hash    `json:"last_nonce"`
	LastMetricsSN uint64         `json:"last_metrics_sn"`
	Recipient     pallet.Account `json:"recipient"`
	LastScoreSN   uint64         `json:"last_score_sn"`
}

// BenchmarkApp is an app whose scores count.
type BenchmarkApp struct {
	Ticket     uint64
	ScoreRatio Ratio
}

// Ratio is what the gas of a benchmark app is multiplied with.
type Ratio struct {
	Numerator   uint32 `json:"numerator"`
	Denominator uint32 `json:"denominator"`
}

type parameters struct{ ClosingWindow uint64 }

var (
	nextTicket  = state.NewItem[uint64](name, "NextTicketId")
	tickets     = state.NewMap[uint64, Ticket](name, "Tickets")
	settlements = state.NewDouble[uint64, pallet.Account, Settlement](name, "TicketSettlementInfo")
	nextList    = state.NewItem[uint64](name, "NextWorkerListId")
	lists       = state.NewMap[uint64, List](name, "WorkerLists")
	members     = state.NewDouble[uint64, pallet.Account, member](name, "WorkerListWorkers")
	described   = state.NewMap[pallet.Account, Description](name, "WorkerDescriptions")
	sessions    = state.NewMap[pallet.Account, Session](name, "WorkerSessions")
	benchApps   = state.NewMap[pallet.Hash, BenchmarkApp](name, "BenchmarkApps")
	recommended = state.NewItem[pallet.Hash](name, "RecommendedBenchmarkApp")

	params         = state.NewItem[parameters](name, "Parameters")
	nextInvitation = state.NewItem[uint64](name, "NextInvitationId")
	invitations    = state.NewDouble[uint64, pallet.Account, uint64](name, "WorkerListInvitations")
	due            = state.NewMap[uint64, []duty](name, "Due")
	room           = state.NewItem[uint64](name, "DueRoom")     // no height before it, behind the closing window, has room
	roomNext       = state.NewItem[uint64](name, "DueRoomNext") // the same behind the next block

	// Indices of the above.
	benchList   = state.NewItem[[]pallet.Hash](name, "BenchmarkAppList")
	askedOf     = state.NewDouble[pallet.Account, uint64, uint64](name, "InvitationsOfWorker")
	listsOf     = state.NewMap[pallet.Account, []uint64](name, "WorkerListsOfWorker")
	ticketsOf   = state.NewDouble[pallet.Account, uint64, bool](name, "TicketsOfOwner")
	ticketsFor  = state.NewDouble[uint64, uint64, bool](name, "TicketsOfWorkerList")
	debtsOf     = state.NewDouble[pallet.Account, uint64, pallet.Balance](name, "DebtsToWorker")
	apps        = state.NewDouble[pallet.Account, pallet.Hash, app](name, "SettledApps")
	recentApps  = state.NewDouble[pallet.Account, uint32, pallet.Hash](name, "RecentApps")
	recentCount = state.NewMap[pallet.Account, uint32](name, "RecentAppCount")
)

// TicketAccount returns the account that holds the deposit of a ticket. Nobody has a key of it.
func TicketAccount(id uint64) pallet.Account {
	return blake2b.Sum256(binary.LittleEndian.AppendUint64([]byte("wapod/ticket/"), id))
}

// Deps is what the pallet needs of others.
type Deps struct {
	// Heartbeat takes what a benchmark app says as the answer of a computing worker to its challenges: how many iterations it has
	// done so far, and the time in seconds.
	Heartbeat func(c *pallet.Context, worker pallet.Account, iterations, at uint64) (Beat, error)
}

// Beat is what became of a heartbeat.
type Beat struct {
	Answered  bool // it counts, and has answered all challenges
	SessionID uint32
	PInstant  uint32
}

// Genesis is what the genesis document may say of the pallet.
type Genesis struct {
	ClosingWindow uint64 `json:"closing_window"` // in which reports are paid after a ticket was closed, in blocks
}

// Pallet returns the pallet.
func Pallet(d Deps) pallet.Pallet {
	return pallet.Pallet{
		Name:  name,
		Index: index,
		Calls: []pallet.Info{
			{Index: 0, Name: "worker_description_set", New: func() pallet.Call { return &WorkerDescriptionSet{} }},
			{Index: 1, Name: "worker_session_update", New: func() pallet.Call { return &WorkerSessionUpdate{} }},
			{Index: 2, Name: "worker_list_create", New: func() pallet.Call { return &WorkerListCreate{} }},
			{Index: 3, Name: "worker_list_add_workers", New: func() pallet.Call { return &WorkerListAddWorkers{} }},
			{Index: 4, Name: "worker_list_remove_worker", New: func() pallet.Call { return &WorkerListRemoveWorker{} }},
			{Index: 5, Name: "ticket_create", New: func() pallet.Call { return &TicketCreate{} }},
			{Index: 6, Name: "ticket_close", New: func() pallet.Call { return &TicketClose{} }},
			{Index: 7, Name: "ticket_settle", New: func() pallet.Call { return &TicketSettle{} }},
			{Index: 8, Name: "benchmark_score_submit", New: func() pallet.Call { return &BenchmarkScoreSubmit{heartbeat: d.Heartbeat} }},
			{Index: 9, Name: "benchmark_app_add", New: func() pallet.Call { return &BenchmarkAppAdd{} }},
			{Index: 10, Name: "benchmark_app_set_recommended", New: func() pallet.Call { return &BenchmarkAppSetRecommended{} }},
			{Index: 11, Name: "benchmark_app_set", New: func() pallet.Call { return &BenchmarkAppSet{} }},
			{Index: 12, Name: "benchmark_app_remove", New: func() pallet.Call { return &BenchmarkAppRemove{} }},
			{Index: 13, Name: "worker_list_consent", New: func() pallet.Call { return &WorkerListConsent{} }},
		},
		Views: views(),
		Errors: []string{
			"NotAllowed", "WorkerNotFound", "WorkerListNotFound", "TicketNotFound", "SignatureVerificationFailed", "InvalidWorkerPubkey",
			"InvalidBenchApp", "OutdatedMessage", "InvalidMessageSender", "PriceMismatch", "SessionMismatch", "InvalidRewardReceiver",
			"InvalidParameter",
		},
		Events: []string{
			"WorkerDescriptionSet", "WorkerSessionUpdated", "WorkerListCreated", "WorkersAddedToList", "WorkerRemovedFromList",
			"TicketCreated", "TicketClosed", "Settled", "SettleFailed", "BenchmarkAppAdded", "RecommendedBenchmarkAppChanged",
			"HeartbeatV3", "WorkerPricesChanged", "WorkersInvited", "TicketClosing", "ClaimIgnored", "TicketExhausted",
			"BenchmarkAppRemoved",
		},
		Genesis: genesis,
		End:     end,
	}
}

func genesis(c *pallet.Context, config json.RawMessage) error {
	g := Genesis{ClosingWindow: DefaultClosingWindow}
	if err := pallet.Params(config, &g); err != nil {
		return err
	}
	if g.ClosingWindow < 1 || g.ClosingWindow > maxClosingWindow {
		return fault.New(fault.CallerInvalid, "genesis", name, nil).WithHint("a closing window has at least one block, and at most 2^32")
	}
	params.Put(c.Store, parameters(g))
	return nil
}

// window returns how many blocks reports are paid after the end of a ticket or a membership.
func window(s *state.Store) uint64 {
	p, _ := params.Get(s)
	return p.ClosingWindow
}

func fail(err, detail string) *pallet.Error { return pallet.Fail(name, err, detail) }

// opened turns what package meter says of a message into an error of the pallet.
func opened(err error) error {
	if errors.Is(err, fault.CallerSignature) {
		return fail("SignatureVerificationFailed", "")
	}
	return fail("InvalidParameter", err.Error())
}

func isRegistered(s *state.Store, worker pallet.Account) error {
	if _, ok := registry.Worker(s, worker); !ok {
		return fail("InvalidWorkerPubkey", "the worker is not registered")
	}
	return nil
}

// current returns the session of a worker if a token is of it.
func current(s *state.Store, worker pallet.Account, t meter.Token) (Session, error) {
	in, ok := sessions.Get(s, worker)
	if !ok || in.SessionID != t.Session {
		return Session{}, fail("SessionMismatch", "")
	}
	return in, nil
}

// next counts an item up and returns what it was.
func next(s *state.Store, of state.Item[uint64]) uint64 {
	n, _ := of.Get(s)
	of.Put(s, n+1)
	return n
}
