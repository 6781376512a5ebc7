package abi

import "strings"

// Troupe is the module of what only this host offers. Every function returns an i32, one of the error numbers below.
const Troupe = "troupe_v1"

// Op names a function of the module on the way between worker and host. A number is never used for anything else.
type Op uint16

// Function describes a function of the module. Params has one letter for each parameter:
//
//	i, I  a number, i32 or i64
//	b     bytes for the host: pointer and length
//	o     a buffer for the answer: pointer and room; what does not fit is cut, and the size says how much there was
//	p, P  a pointer to where the host writes a number, u32 or u64
//
// Timeouts are in milliseconds: below zero waits as long as it takes, 0 does not wait and fails with ErrPending. So a call
// whose time is over has not happened: what would have been sent is not sent.
type Function struct {
	Name   string
	Op     Op
	Params string
}

// Operations that are not functions of the module.
const (
	OpTurn Op = 1 // the guest has used up a slice of gas and wants to go on; answered when it may
)

// The operations of the module.
const (
	OpLog Op = 16 + iota
	OpFact
	OpBlobRead
	OpKVGet
	OpKVPut
	OpKVDelete
	OpKVList
	OpSign
	OpDeriveSecret
	OpTip
	OpGasToken
	OpQuote
	OpAccept
	OpHead
	OpRead
	OpWrite
	OpRespond
	OpReply
	OpShutdown
	OpClose
	OpPoll
	OpTimer
	OpTimerReset
	OpLock
	OpConnect
	OpListen
	OpConnAccept
	OpFetch
	OpGrant
	OpChannel
	OpSend
	OpRecv
	OpAttenuate
	OpChannelClose
	OpPublish
	OpSubscribe
	OpDropped
	OpGasLeft // answered within the worker
)

// TroupeFunctions are all functions of the module.
var TroupeFunctions = []Function{
	{"log", OpLog, "ib"},                    // level 1 error .. 5 trace; text
	{"fact", OpFact, "ioP"},                 // which, see Fact...; value; size
	{"blob_read", OpBlobRead, "bIoP"},       // "sha256:<hex>", offset; bytes; size of the blob
	{"kv_get", OpKVGet, "boP"},              // key; value; its size
	{"kv_put", OpKVPut, "bb"},               // key, value
	{"kv_delete", OpKVDelete, "b"},          // key
	{"kv_list", OpKVList, "bboP"},           // prefix, after; keys, each followed by a NUL, as many as fit; bytes that were written
	{"sign", OpSign, "bo"},                  // data; 64 bytes
	{"derive_secret", OpDeriveSecret, "bo"}, // path; 64 bytes
	{"tip", OpTip, "I"},                     // amount
	{"gas_token", OpGasToken, "Po"},         // gas of the app session; 72 bytes of a metrics token
	{"gas_left", OpGasLeft, "P"},            // of the run's limit; 2^64-1: there is none
	{"quote", OpQuote, "boP"},               // ErrUnsupported
	{"accept", OpAccept, "Ipp"},             // timeout; kind, see Event...; handle
	{"head", OpHead, "ioP"},                 // handle; text, see package guest; its size
	{"read", OpRead, "iIoP"},                // handle, timeout; bytes; their number
	{"write", OpWrite, "iIbP"},              // handle, timeout, bytes; how many were taken. To a query: all, or none, in front of its reply
	{"respond", OpRespond, "iib"},           // handle, status, header lines
	{"reply", OpReply, "iib"},               // handle, 0 or a number of the guest's own that says it failed, bytes; ends the query
	{"shutdown", OpShutdown, "i"},           // handle: nothing more will be written
	{"close", OpClose, "i"},                 // handle
	{"poll", OpPoll, "bIp"},                 // handles as u32, timeout; index of one that can be read or accepted from
	{"timer", OpTimer, "Ip"},                // milliseconds; handle, which can be read once it is due
	{"timer_reset", OpTimerReset, "iI"},     // handle, milliseconds
	{"lock", OpLock, "bIp"},                 // path, timeout; handle, whose close gives the lock back
	{"connect", OpConnect, "biIp"},          // "host:port", 0 or 1 for TLS, timeout; handle
	{"listen", OpListen, "bp"},              // "ip:port" or ":port"; handle
	{"conn_accept", OpConnAccept, "iIpoP"},  // handle of a listener, timeout; handle; peer's address; its size
	{"fetch", OpFetch, "bIp"},               // an HTTP/1.1 request with an absolute URL, timeout; handle, whose head is that of the response
	{"grant", OpGrant, "bp"},                // name of a capability that the manifest grants; handle
	{"channel", OpChannel, "p"},             // a new channel with all rights
	{"send", OpSend, "iIbi"},                // handle, timeout, bytes, a handle that goes along or 0
	{"recv", OpRecv, "iIoPp"},               // handle, timeout; bytes; their number; a handle that came along or 0
	{"attenuate", OpAttenuate, "iip"},       // handle, rights, see Right...; handle with these only
	{"channel_close", OpChannelClose, "i"},
	{"publish", OpPublish, "ib"},      // handle of a topic, bytes
	{"subscribe", OpSubscribe, "iip"}, // handle of a topic, messages to keep; handle, to be received from
	{"dropped", OpDropped, "iP"},      // handle of a subscription or a topic; messages that were dropped
}

// The error numbers. Those up to 18 are the original worker's.
const (
	ErrNone        = 0
	ErrUnknown     = 1  // no such call
	ErrAddress     = 2  // a pointer outside of memory
	ErrParam       = 3  // a parameter that cannot be, too long or out of range
	ErrEncoding    = 4  // bytes that cannot be read
	ErrMemory      = 5  // the host has no room
	ErrNotFound    = 7  // no such blob, key, handle
	ErrUnsupported = 8  // not here
	ErrIO          = 9  // the other end, the network or the disk failed
	ErrLimited     = 10 // a quota or a limit
	ErrPending     = 11 // not within the timeout
	ErrEOF         = 12 // the end of a stream, or of this instance's work
	ErrExists      = 15
	ErrCorrupt     = 16 // bytes that do not verify
	ErrForbidden   = 17 // a capability that was not granted
	ErrCondition   = 18 // not in this state: closed twice, replied twice
	ErrClosed      = 256
)

// Facts.
const (
	FactAddress       = 1 // 32 bytes: the app
	FactAppSession    = 2 // 32 bytes
	FactWorkerKey     = 3 // 32 bytes
	FactWorkerSession = 4 // 32 bytes
	FactInstance      = 5 // 8 bytes, little-endian: the number of this instance
	FactLabel         = 6 // text
	FactConfig        = 7 // bytes that the deployment was given, see the manifest
	FactStorage       = 8 // 16 bytes, little-endian: bytes used and quota of the key-value space
	FactBlockTime     = 9 // 8 bytes, little-endian: milliseconds of the chain's newest block; ErrNotFound without a chain
)

// Kinds of events that accept hands out.
const (
	EventQuery      = 1 // head: see package guest; read the payload, reply
	EventHTTP       = 2 // head: an HTTP/1.1 request head; read the body; respond, write, close
	EventConnection = 3 // a TLS connection by its server name; read, write, close
)

// Rights of a channel or a topic; a topic has only those to send (publish) and to receive (subscribe).
const (
	RightSend = 1 << iota
	RightRecv
	RightClose
	RightAll = RightSend | RightRecv | RightClose
)

// Limits of calls, in bytes unless said otherwise.
const (
	MaxBytes     = 128 << 10 // of all bytes that one call carries, each way
	MaxKey       = 256       // of a key, a path, a name of a lock or of a capability
	MaxKVValue   = 64 << 10
	MaxHandles   = 1024 // of one instance
	MaxLocks     = 64   // of one app
	MaxSecret    = 256  // of a path of derive_secret
	MaxHost      = 253  // of a name to connect to
	MaxPoll      = 256  // handles
	MaxBuffered  = 1024 // messages of a subscription
	MaxBacklog   = 128  // senders that wait at one channel
	MaxSubscribe = 256  // subscriptions of one topic
)

// Heavy returns the index in Params of the bytes or the buffer that may be as large as MaxBytes, and that a call is charged for; -1:
// there are none. All other bytes of a call are names, and have MaxKey at most.
func (f *Function) Heavy() int {
	if f.Op == OpSign { // its answer is a signature
		return strings.IndexByte(f.Params, 'b')
	}
	return strings.LastIndexAny(f.Params, "bo")
}

// Carries returns what an Ask for the function has: how many numbers, rooms among them, and how many pieces of bytes; and what its
// answer has: how many numbers, and whether bytes.
func (f *Function) Carries() (nums, args, results int, data bool) {
	for _, c := range f.Params {
		switch c {
		case 'i', 'I':
			nums++
		case 'b':
			args++
		case 'o':
			nums++
			data = true
		default:
			results++
		}
	}
	return nums, args, results, data
}

// MaxNums is the most numbers that a call or its answer has, and MaxArgs the most pieces of bytes.
const (
	MaxNums = 4
	MaxArgs = 2
)

// Asked finds what an Ask is for; OpTurn is a function without parameters. nil: nobody asks for it.
func Asked(op Op) *Function {
	if op == OpTurn {
		return &turn
	}
	if op < OpLog || op >= OpGasLeft {
		return nil
	}
	return &asked[op-OpLog]
}

var turn = Function{Name: "turn", Op: OpTurn}

// asked are the functions that ask the host, by their numbers.
var asked = func() (all [OpGasLeft - OpLog]Function) {
	for _, f := range TroupeFunctions {
		if f.Op != OpGasLeft {
			all[f.Op-OpLog] = f
		}
	}
	return all
}()

// signature spells a function of the module as the engine sees it.
func (f *Function) signature() signature {
	var b strings.Builder
	for _, c := range f.Params {
		b.WriteString(shape(c))
	}
	return signature{b.String(), "i"}
}

// Types spells the parameters of the function, one letter each: i is i32, I is i64.
func (f *Function) Types() string { return f.signature().params }

// shape spells what a letter of Params is to the engine.
func shape(letter rune) string {
	switch letter {
	case 'i', 'I':
		return string(letter)
	case 'b', 'o':
		return "ii"
	}
	return "i"
}
