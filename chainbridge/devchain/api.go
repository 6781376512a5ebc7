package devchain

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// Methods of the JSON-RPC 2.0 API. Parameters are objects; hashes are 64 hex digits, bytes 0x and hex digits.
const (
	methodInfo        = "chain_info"   // → Status
	methodSubmit      = "chain_submit" // txParams → Submitted
	methodBlock       = "chain_block"  // blockParams → BlockAnswer
	methodBlocks      = "chain_blocks" // blocksParams → BlockPage
	methodTx          = "chain_tx"     // hashParams → TxPlace
	methodAccount     = "account"      // accountParams → chain.Account
	methodQuery       = "query"        // queryParams → what the view answers
	methodState       = "state_get"    // stateParams → bytes, or null
	methodSubscribe   = "subscribe"    // subscribeParams → Subscription; on a WebSocket only
	methodUnsubscribe = "unsubscribe"  // Subscription → true

	noteBlock  = "block"  // BlockNote: to who subscribed to blocks
	noteEvents = "events" // EventNote: to who subscribed to events, for each block that has any
	noteEnd    = "end"    // EndNote: the subscription has ended
)

// Bounds of the API.
const (
	MaxRequestBytes  = 1 << 20 // a request, or a batch of them
	MaxBatch         = 64      // requests of a batch
	MaxPage          = 100     // items of an answer
	maxPageBytes     = 4 << 20 // about; one item is always answered
	MaxSubscriptions = 16      // of a connection
	MaxConnections   = 256     // WebSockets
	MaxRequests      = 64      // that are answered at the same time
	maxFilters       = 64
	maxAnswerBytes   = 256 << 20 // what a client reads at once; one block may be long
)

// Status is the answer of chain_info.
type Status struct {
	chain.Info
	PoolTxs   int          `json:"pool_txs"` // that wait for a block
	PoolBytes int          `json:"pool_bytes"`
	Failed    *errorObject `json:"failed,omitempty"` // why no more blocks are made
}

// BlockAnswer is a block with its header.
type BlockAnswer struct {
	Header Header      `json:"header"`
	Block  chain.Block `json:"block"`
	Raw    []hexBytes  `json:"transactions"` // as they were submitted
}

// BlockPage is the answer of chain_blocks.
type BlockPage struct {
	Items []BlockAnswer `json:"items"`
	Next  *uint64       `json:"next"` // height; null: there are no more now
}

// Submitted is the answer of chain_submit.
type Submitted struct {
	Hash chain.Hash `json:"hash"`
}

// Subscription names a subscription of a connection.
type Subscription struct {
	ID uint64 `json:"subscription"`
}

// BlockNote is a block for who subscribed.
type BlockNote struct {
	Subscription
	Block chain.Block `json:"block"`
}

// EventNote is what of a block's events fits a filter.
type EventNote struct {
	Subscription
	Cursor chain.Cursor  `json:"cursor"`
	Time   time.Time     `json:"time"`
	Events []chain.Event `json:"events"`
}

// EndNote says why a subscription has ended, and behind what it can be taken up again.
type EndNote struct {
	Subscription
	Cursor chain.Cursor `json:"cursor"`
	Error  *errorObject `json:"error"`
}

type (
	txParams struct {
		Tx hexBytes `json:"tx"`
	}
	blockParams struct {
		Height *uint64     `json:"height,omitempty"`
		Hash   *chain.Hash `json:"hash,omitempty"`
	}
	blocksParams struct {
		From  uint64 `json:"from"`
		Limit int    `json:"limit,omitempty"`
	}
	hashParams struct {
		Hash chain.Hash `json:"hash"`
	}
	accountParams struct {
		Account chain.Hash `json:"account"`
	}
	queryParams struct {
		Path   string          `json:"path"`
		Params json.RawMessage `json:"params,omitempty"`
	}
	stateParams struct {
		Key hexBytes `json:"key"`
	}
	// Filter lets events of a pallet pass. An empty name is any.
	Filter struct {
		Pallet string `json:"pallet"`
		Name   string `json:"name"`
	}
	subscribeParams struct {
		Kind   string        `json:"kind"`             // blocks, events
		After  *chain.Cursor `json:"after,omitempty"`  // absent: behind the newest block
		Filter []Filter      `json:"filter,omitempty"` // of events; none: all pass
	}
)

func (f Filter) passes(e chain.Event) bool {
	return (f.Pallet == "" || f.Pallet == e.Pallet) && (f.Name == "" || f.Name == e.Name)
}

type hexBytes = pallet.Bytes

// The envelope of JSON-RPC 2.0.
type (
	request struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id,omitempty"` // absent: nothing is answered
		Method  string          `json:"method"`
		Params  json.RawMessage `json:"params,omitempty"`
	}
	response struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  json.RawMessage `json:"result,omitempty"`
		Error   *errorObject    `json:"error,omitempty"`
	}
	note struct {
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}
	errorObject struct {
		Code    int       `json:"code"`
		Message string    `json:"message"`
		Data    errorData `json:"data"`
	}
	errorData struct {
		Code         fault.Code `json:"code"`
		Hint         string     `json:"hint,omitempty"`
		RetryAfterMS int64      `json:"retry_after_ms,omitempty"`
	}
)

const version = "2.0"

// Codes of JSON-RPC 2.0; the last is for our own faults.
const (
	codeParse   = -32700
	codeRequest = -32600
	codeMethod  = -32601
	codeParams  = -32602
	codeFault   = -32000
)

// wire is a fault as it is answered.
func wire(code int, err error) *errorObject {
	f := fault.From(err)
	return &errorObject{Code: code, Message: fault.Quote(err.Error()),
		Data: errorData{f.Code, f.Hint, f.RetryAfter.Milliseconds()}}
}

// fault is what the server's fault is here. A code that is not known is that of another server, or of a newer one.
func (e *errorObject) fault(op string) error {
	f := fault.New(e.Data.Code, op, "", errors.New(fault.Quote(e.Message)))
	if fault.Describe(e.Data.Code).Class == fault.Bug && !strings.HasPrefix(string(e.Data.Code), "bug.") {
		f = fault.New(fault.BusyChain, op, "", errors.New(fault.Quote(e.Message)))
	}
	if e.Data.Hint != "" {
		f = f.WithHint(fault.Quote(e.Data.Hint))
	}
	if ms := e.Data.RetryAfterMS; ms > 0 {
		f = f.WithRetryAfter(time.Duration(min(ms, 3_600_000)) * time.Millisecond)
	}
	return f
}
