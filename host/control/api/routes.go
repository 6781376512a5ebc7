package api

// Routes of version 1. {key} is an artifact key in 64 hex digits.
const (
	RouteLive    = "GET /livez"               // 200 while the host answers, however many requests there are
	RouteReady   = "GET /readyz"              // 200 while it accepts work
	RouteStatus  = "GET /v1/status"           // inspect.Host
	RouteExecute = "POST /v1/execute"         // form -> events, the last one a receipt or an error
	RouteCheck   = "POST /v1/precheck"        // form -> events, the last one a judgement or an error
	RouteHeadsUp = "POST /v1/headsup"         // form -> 202
	RouteList    = "GET /v1/artifacts"        // ?prefix= &after= &limit= -> ArtifactList
	RouteShow    = "GET /v1/artifacts/{key}"  // Artifact
	RoutePrune   = "POST /v1/artifacts/prune" // Pruned
	RouteVerify  = "POST /v1/artifacts/{key}/verify"
	RoutePin     = "POST /v1/artifacts/{key}/pin"
	RouteUnpin   = "POST /v1/artifacts/{key}/unpin"
	RouteEvict   = "POST /v1/artifacts/{key}/evict"
)

// Parts of the form of RouteExecute, RouteCheck and RouteHeadsUp, in this order. All but the first are optional.
const (
	PartRequest = "request" // JSON: Execute or Code
	PartCode    = "code"    // the module
	PartInput   = "input"   // input of a bytes entry
	PartStdin   = "stdin"   // read while the guest runs, after the host sent WantStdin
)

// Content types and header names.
const (
	TypeJSON      = "application/json"
	TypeEvents    = "application/x-ndjson"
	HeaderVersion = "Troupe-Version" // the server's version, on each reply
)

// HostName is what clients put into the Host header; "localhost" is accepted too, everything else is refused, so that
// no web page can reach the API under a name of its own.
const HostName = "troupe"

// Bounds that hold on both sides.
const (
	MaxRequestBytes = 1 << 20  // of the JSON part, which holds arguments and environment
	MaxChunkBytes   = 32 << 10 // of guest output in one event
	MaxPage         = 10000    // artifacts in one reply
	DefaultPage     = 1000
	MaxReplyBytes   = 64 << 20 // of a reply that is not a stream
)
