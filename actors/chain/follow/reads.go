package follow

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Read is a question to the chain. Equal ones are the same question.
type Read struct {
	Kind  ReadKind
	ID    uint64 // of a ticket or a list
	Name  string // of a request
	After string // cursor of a page
}

// ReadKind is what is asked.
type ReadKind uint8

// The questions, and the types of their answers.
const (
	ReadTickets  ReadKind = iota + 1 // ticketPage: all that this worker may serve
	ReadList                         // ticketPage: those of a worker list
	ReadTicket                       // *ticketView; nil: there is none
	ReadWorker                       // workerView
	ReadBench                        // benchView
	ReadRequests                     // requestsView: what was assigned to this node
	ReadRequest                      // *requestView; nil: there is none
	ReadIPs                          // poolsView
)

// ticketView is a ticket as the chain shows it.
type ticketView struct {
	ID          uint64           `json:"id"`
	System      bool             `json:"system"`
	Owner       *chain.Hash      `json:"owner"`
	Workers     workersView      `json:"workers"`
	Address     manifest.Address `json:"address"`
	ManifestCID text             `json:"manifest_cid"`
	Account     chain.Hash       `json:"account"`
	Balance     meter.Uint128    `json:"balance"`
	ClosingAt   *uint64          `json:"closing_at"`
	State       []struct {
		Worker chain.Hash    `json:"worker"`
		Debt   meter.Uint128 `json:"debt"`
	} `json:"workers_state"`
}

// workersView is who may serve a ticket: "any", or the workers of a list.
type workersView struct {
	Any  bool
	List uint64
}

// UnmarshalJSON reads "any" or {"list":n}.
func (w *workersView) UnmarshalJSON(b []byte) error {
	var name string
	if json.Unmarshal(b, &name) == nil {
		w.Any = strings.EqualFold(name, "any")
		if !w.Any {
			return fault.New(fault.CallerInvalid, "ticket", fault.Quote(name), nil)
		}
		return nil
	}
	var of struct {
		List *uint64 `json:"list"`
	}
	if err := json.Unmarshal(b, &of); err != nil {
		return err
	}
	if of.List == nil {
		return fault.New(fault.CallerInvalid, "ticket", "workers", nil)
	}
	w.List = *of.List
	return nil
}

type ticketPage struct {
	Items []json.RawMessage `json:"items"`
	Next  json.RawMessage   `json:"next"`
}

type workerView struct {
	Registered bool     `json:"registered"`
	Lists      []uint64 `json:"lists"`
}

type benchView struct {
	Recommended *manifest.Address `json:"recommended"`
	Apps        []struct {
		Address     manifest.Address `json:"address"`
		Ticket      uint64           `json:"ticket"`
		ManifestCID text             `json:"manifest_cid"`
	} `json:"apps"`
}

// text is bytes that are text: the chain shows them as they are, or in hex digits.
type text string

// UnmarshalJSON reads both forms, and nothing for null.
func (t *text) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*t = ""
	if s == nil {
		return nil
	}
	*t = text(*s)
	if digits, ok := strings.CutPrefix(*s, "0x"); ok {
		if raw, err := hex.DecodeString(digits); err == nil && utf8.Valid(raw) {
			*t = text(raw)
		}
	}
	return nil
}

// number is an integer of up to 128 bits, which the chain shows as digits or as a number. It is kept as digits.
type number string

// UnmarshalJSON reads both forms.
func (n *number) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if s == "null" {
		s = ""
	}
	for _, d := range s {
		if d < '0' || d > '9' {
			return fault.New(fault.CallerInvalid, "number", fault.Quote(s), nil)
		}
	}
	if len(s) > 39 {
		return fault.New(fault.CallerInvalid, "number", fault.Quote(s), nil)
	}
	if s = strings.TrimLeft(s, "0"); s == "" && len(b) > 0 && string(b) != "null" && string(b) != `""` {
		s = "0"
	}
	*n = number(s)
	return nil
}

// minerView is a MinerComputeRequest.
type minerView struct {
	RequestID    number  `json:"request_id"`
	PlanID       text    `json:"plan_id"`
	JobID        *text   `json:"job_id"`
	HypervisorIP *text   `json:"hypervisor_ip"`
	FailReason   *text   `json:"fail_reason"`
	VNCPort      *number `json:"vnc_port"`
	IP           *text   `json:"ip_assigned"`
	ReservedIP   *text   `json:"ip_reserved"`
	CreatedAt    number  `json:"created_at"`
	Fulfilled    bool    `json:"fullfilled"` //nolint:misspell // as it is spelt on chain
}

// sideView is a request to stop, boot, reboot, resize or delete.
type sideView struct {
	RequestID number `json:"request_id"`
	JobID     *text  `json:"job_id"`
	CreatedAt number `json:"created_at"`
	Fulfilled bool   `json:"fullfilled"` //nolint:misspell // as it is spelt on chain
	GB        uint32 `json:"resize_gbs"`
}

type requestsView struct {
	Compute  []minerView `json:"compute"`
	Stop     []sideView  `json:"stop"`
	Boot     []sideView  `json:"boot"`
	Reboot   []sideView  `json:"reboot"`
	Resize   []sideView  `json:"resize"`
	Deletion []sideView  `json:"deletion"`
}

// requestView is a ComputeRequest.
type requestView struct {
	RequestID   number `json:"request_id"`
	PlanID      string `json:"plan_id"`
	Description text   `json:"plan_technical_description"`
	Status      string `json:"status"`
	Owner       string `json:"owner"`
	Image       struct {
		Name text `json:"name"`
		URL  text `json:"image_url"`
	} `json:"selected_image"`
	CloudInit  *text `json:"cloud_init_cid"`
	ReservedIP *text `json:"ip_reserved"`
}

// ask has the chain answer a question. What is not there is no error where the answer can say so.
func (r Read) ask(ctx context.Context, port chain.Port, l Limits) (any, error) {
	page := map[string]any{"limit": pageTickets}
	if r.After != "" {
		page["after"] = json.RawMessage(r.After)
	}
	switch r.Kind {
	case ReadTickets, ReadList:
		if r.Kind == ReadList {
			page["list"] = r.ID
		} else {
			page["worker"] = l.Worker
		}
		return query[ticketPage](ctx, port, "Wapod/tickets", page)
	case ReadTicket:
		return optional(query[*ticketView](ctx, port, "Wapod/ticket", map[string]any{"id": r.ID}))
	case ReadWorker:
		v, err := query[workerView](ctx, port, "Wapod/worker", map[string]any{"worker": l.Worker})
		if fault.CodeOf(err) == fault.CallerNotFound {
			return workerView{}, nil
		}
		return v, err
	case ReadBench:
		return query[benchView](ctx, port, "Wapod/bench_apps", nil)
	case ReadRequests:
		v, err := query[requestsView](ctx, port, "Compute/miner_requests", map[string]any{"miner_node_id": l.NodeID})
		if fault.CodeOf(err) == fault.CallerNotFound {
			return requestsView{}, nil
		}
		return v, err
	case ReadRequest:
		return optional(query[*requestView](ctx, port, "Compute/request", map[string]any{"request_id": r.Name}))
	case ReadIPs:
		return query[poolsView](ctx, port, "PalletIp/pools", nil)
	default:
		return nil, fault.New(fault.BugProtocol, "follower", "a question without a view", nil)
	}
}

type poolsView struct {
	VM []text `json:"vm"`
}

func query[T any](ctx context.Context, port chain.Port, path string, params any) (T, error) {
	var out T
	err := port.Query(ctx, path, params, &out)
	return out, err
}

// optional makes nothing of what is not found.
func optional[T any](v *T, err error) (*T, error) {
	if fault.CodeOf(err) == fault.CallerNotFound {
		return nil, nil
	}
	return v, err
}
