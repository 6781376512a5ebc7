package api

import "time"

// Routes of version 1. {key} is an artifact key in 64 hex digits, {id} the id of a job, {code_hash} the SHA-256 of code in
// 64 hex digits, {address} that of an app in 64 hex digits, {hash} that of a blob as "sha256:" or "sha512:" and its hex digits. What follows the arrow answers 200, unless another status is named; every failure is a [Failure].
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

	RouteDeploy      = "POST /v1/apps"                   // form of apps -> inspect.App; it is on disk then
	RouteAnnounce    = "POST /v1/apps/announce"          // form of apps -> 202 Done: its code is prepared in the background
	RouteApps        = "GET /v1/apps"                    // ?tenant= &after= &limit= -> AppList; at most MaxAppPage
	RouteRemoveAll   = "DELETE /v1/apps"                 // AppsRemoved
	RouteApp         = "GET /v1/apps/{address}"          // inspect.App
	RouteRemoveApp   = "DELETE /v1/apps/{address}"       // inspect.AppMetrics, the last ones
	RouteStartApp    = "POST /v1/apps/{address}/start"   // inspect.App
	RouteStopApp     = "POST /v1/apps/{address}/stop"    // inspect.App, when its instances are gone
	RouteResizeApp   = "POST /v1/apps/{address}/resize"  // ?instances= -> inspect.App
	RouteRaiseApp    = "POST /v1/apps/{address}/raise"   // ?priority= -> inspect.App
	RouteQueryApp    = "POST /v1/apps/{address}/query"   // ?path= &priority=, payload, HeaderSignature -> AppReply
	RouteAppLog      = "GET /v1/apps/{address}/log"      // ?after= &max= &wait_us= -> AppLog: the newest lines, or those after one; see MaxWait
	RouteSealedQuery = "POST /v1/query/sealed/{address}" // sealed query; {address} is the public key of its sender -> TypeBytes

	RoutePutBlob    = "PUT /v1/blobs/{hash}"    // bytes -> inspect.Blob; what has another hash is not kept
	RouteAddBlob    = "POST /v1/blobs"          // bytes -> inspect.Blob, by SHA-256
	RouteBlobs      = "GET /v1/blobs"           // BlobList
	RouteGetBlob    = "GET /v1/blobs/{hash}"    // TypeBytes; a connection that breaks: it is damaged
	RouteRemoveBlob = "DELETE /v1/blobs/{hash}" // Done; one that an app needs: caller.blob_in_use

	RouteSession     = "GET /v1/session"         // inspect.Session
	RouteOpenSession = "POST /v1/session"        // OpenSession -> Opened
	RouteSetBench    = "POST /v1/session/bench"  // SetBench -> inspect.Session
	RouteAppMetrics  = "GET /v1/metrics/apps"    // ?address=... -> AppMetricsList; of all apps without addresses
	RouteReport      = "POST /v1/metrics/report" // Report -> Reports

	RouteBackupKey  = "POST /v1/key/backup"  // Key with a passphrase -> Key with the backup
	RouteRestoreKey = "POST /v1/key/restore" // Key with both -> inspect.Session
	RouteRotateKey  = "POST /v1/key/rotate"  // inspect.Session
	RouteLockKey    = "POST /v1/key/lock"    // Key with a passphrase, or without: it is kept in clear -> Done

	RouteSignEndpoints    = "POST /v1/sign/endpoints"    // Endpoints -> Signed
	RouteSignDescription  = "POST /v1/sign/description"  // Description -> Signed
	RouteSignRegistration = "POST /v1/sign/registration" // Registration -> Signed
)

// Parts of the form of RouteExecute, RouteCheck, RouteHeadsUp, RouteSubmit and RouteWarm, in this order. All but the
// first are optional.
const (
	PartRequest = "request" // JSON: Execute, Code or Submit
	PartCode    = "code"    // the module
	PartInput   = "input"   // input of a bytes entry
	PartStdin   = "stdin"   // RouteExecute: read while the guest runs, after the host sent WantStdin. RouteSubmit: sent at once
)

// Parts of the form of RouteDeploy and RouteAnnounce, in this order. Only config is optional.
const (
	PartManifest = "manifest" // encoded, as package manifest does it
	PartConfig   = "config"   // for the guest
)

// Content types and header names.
const (
	TypeBytes     = "application/octet-stream"
	TypeJSON      = "application/json"
	TypeEvents    = "application/x-ndjson"
	TypeMetrics   = "text/plain; version=0.0.4; charset=utf-8"
	HeaderVersion = "Troupe-Version" // the server's version, on each reply

	HeaderSignature = "Troupe-Signature" // of a query: the signature of its sender in base64; default: it has no name
)

// OpRoute is Error.Op of a request that no route answers, as an older host does to a newer client.
const OpRoute = "route"

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

	MaxAppPage       = 1000     // apps in one reply
	MaxLogLines      = 1000     // lines of a log in one reply
	MaxPathBytes     = 8 << 10  // of a query
	MaxManifestBytes = 16 << 10 // encoded
	MaxConfigBytes   = 64 << 10 // of an app
	MaxQueryTargets  = 128      // addresses in one URL
	MaxPassphrase    = 1024     // bytes
	MaxBackupBytes   = 64 << 10 // of the worker key
)

// MaxWait is the longest that RouteJob waits for a job to have more events than were seen, or to settle; a longer wait_us
// is cut to it. After that it answers the job as it is.
const MaxWait = 30 * time.Second
