package api

import "time"

// Routes of version 1. {key} is an artifact key in 64 hex digits, {id} the id of a job, {code_hash} the SHA-256 of code in
// 64 hex digits. What follows the arrow answers 200, unless another status is named; every failure is a [Failure].
const (
	RouteLive    = "GET /livez"               // 200 while the host answers, however many requests there are
	RouteReady   = "GET /readyz"              // 200 while it accepts work
	RouteMetrics = "GET /metrics"             // the text format of Prometheus
	RouteStatus  = "GET /v1/status"           // inspect.Host
	RouteExecute = "POST /v1/execute"         // form -> events, the last one a receipt or an error
	RouteCheck   = "POST /v1/precheck"        // form -> events, the last one a judgement or an error
	RouteHeadsUp = "POST /v1/headsup"         // form -> 202 Done
	RouteList    = "GET /v1/artifacts"        // ?prefix= &after= &limit= -> ArtifactList
	RouteShow    = "GET /v1/artifacts/{key}"  // Artifact
	RoutePrune   = "POST /v1/artifacts/prune" // Pruned
	RouteVerify  = "POST /v1/artifacts/{key}/verify"
	RoutePin     = "POST /v1/artifacts/{key}/pin"
	RouteUnpin   = "POST /v1/artifacts/{key}/unpin"
	RouteEvict   = "POST /v1/artifacts/{key}/evict"

	RouteSubmit    = "POST /v1/jobs"             // form -> run.Job, 202 while it is not settled; it is on disk then
	RouteJobs      = "GET /v1/jobs"              // ?tenant= &state= &after= &limit= -> JobList
	RouteJob       = "GET /v1/jobs/{id}"         // ?seen= &wait_us= -> run.Job; see MaxWait
	RouteCancelJob = "POST /v1/jobs/{id}/cancel" // run.Job; settled already: caller.conflict
	RouteRaiseJob  = "POST /v1/jobs/{id}/raise"  // ?priority= -> run.Job; settled already, or not higher: caller.conflict
	RouteRetryJob  = "POST /v1/jobs/{id}/retry"  // ?idempotency_key= -> run.Job, the new one, 202 while it is not settled
	RouteRevoke    = "POST /v1/revoke"           // ?tag= -> Revoked: the caller's requests that carry this validity tag end

	RouteWarm   = "POST /v1/warm"               // form -> 202 inspect.Warm; it is on disk then, and prepared in the background
	RouteWarmed = "GET /v1/warm"                // WarmList
	RouteCool   = "DELETE /v1/warm/{code_hash}" // Done
)

// Parts of the form of RouteExecute, RouteCheck, RouteHeadsUp, RouteSubmit and RouteWarm, in this order. All but the
// first are optional.
const (
	PartRequest = "request" // JSON: Execute, Code or Submit
	PartCode    = "code"    // the module
	PartInput   = "input"   // input of a bytes entry
	PartStdin   = "stdin"   // RouteExecute: read while the guest runs, after the host sent WantStdin. RouteSubmit: sent at once
)

// Content types and header names.
const (
	TypeJSON      = "application/json"
	TypeEvents    = "application/x-ndjson"
	TypeMetrics   = "text/plain; version=0.0.4; charset=utf-8"
	HeaderVersion = "Troupe-Version" // the server's version, on each reply
)

// HostName is what clients put into the Host header; "localhost" is accepted too, everything else is refused, so that
// no web page can reach the API under a name of its own.
const HostName = "troupe"

// Bounds that hold on both sides.
const (
	MaxRequestBytes = 1 << 20  // of the JSON part, which holds arguments and environment
	MaxChunkBytes   = 32 << 10 // of guest output in one event
	MaxPage         = 10000    // artifacts or jobs in one reply
	DefaultPage     = 1000
	MaxReplyBytes   = 72 << 20 // of a reply that is not a stream: a job with all the output that it may have, each byte as two
	MaxJobIDBytes   = 64       // of [0-9A-Za-z_-]
	MaxTagBytes     = 128      // of a validity tag and of an idempotency key
)

// MaxWait is the longest that RouteJob waits for a job to have more events than were seen, or to settle; a longer wait_us
// is cut to it. After that it answers the job as it is.
const MaxWait = 30 * time.Second
