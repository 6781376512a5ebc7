package fault

// Code is the stable, dotted name of a failure. The list is append-only: a code that was published keeps its meaning.
type Code string

// Error makes a Code usable as a target of errors.Is.
func (c Code) Error() string { return string(c) }

// Description is what the registry knows about a code.
type Description struct {
	Class Class
	Text  string // what happened, lower case, no full stop
	Hint  string // what to do about it
}

// The codes. What each means, whose fault it is and what to do stands in the registry below.
const (
	GuestNotWasm           Code = "guest.not_wasm"
	GuestTruncated         Code = "guest.truncated"
	GuestVersion           Code = "guest.wrong_version"
	GuestComponent         Code = "guest.component"
	GuestInvalid           Code = "guest.invalid_module"
	GuestUnknownImport     Code = "guest.unknown_import"
	GuestMissingExport     Code = "guest.missing_export"
	GuestBadSignature      Code = "guest.bad_signature"
	GuestCodeTooLarge      Code = "guest.code_too_large"
	GuestDecompressionBomb Code = "guest.decompression_bomb"
	GuestBadCompression    Code = "guest.bad_compression"
	GuestPrepareCPU        Code = "guest.prepare_cpu_limit"
	GuestPrepareMemory     Code = "guest.prepare_memory_limit"
	GuestStartTrap         Code = "guest.start_trap"
	GuestTrap              Code = "guest.trap"
	GuestExit              Code = "guest.exit"
	GuestBadOutput         Code = "guest.bad_output"
	GuestOutputLimit       Code = "guest.output_limit"
	GuestCPULimit          Code = "guest.cpu_limit"
	GuestWallLimit         Code = "guest.wall_limit"
	GuestMemory            Code = "guest.memory"
	GuestStack             Code = "guest.stack"
	GuestTooManySymbols    Code = "guest.too_many_symbols"
	GuestQuarantined       Code = "guest.quarantined"
	GuestFeature           Code = "guest.feature"
	GuestTooComplex        Code = "guest.too_complex"
	GuestGasLimit          Code = "guest.gas_limit"

	GuestNoReply    Code = "guest.no_reply"
	GuestRefused    Code = "guest.refused_query"
	GuestBadReply   Code = "guest.bad_reply"
	GuestNotServing Code = "guest.not_serving"

	SuspectWorkerDied  Code = "suspect.worker_died"
	SuspectWallLimit   Code = "suspect.wall_limit"
	SuspectBadReply    Code = "suspect.bad_reply"
	SuspectArtifact    Code = "suspect.artifact_rejected"
	SuspectPrepareDied Code = "suspect.prepare_worker_died"
	SuspectPrepareWall Code = "suspect.prepare_wall_limit"

	HostUnsupported     Code = "host.unsupported"
	HostWorkerMissing   Code = "host.worker_missing"
	HostWorkerMismatch  Code = "host.worker_mismatch"
	HostSpawnFailed     Code = "host.spawn_failed"
	HostSandboxMissing  Code = "host.sandbox_missing"
	HostDataDir         Code = "host.data_dir_unwritable"
	HostDataDirNewer    Code = "host.data_dir_newer"
	HostDataDirLocked   Code = "host.data_dir_locked"
	HostDataDirCorrupt  Code = "host.data_dir_corrupt"
	HostDataDirTrust    Code = "host.data_dir_untrusted"
	HostDiskFull        Code = "host.disk_full"
	HostDiskIO          Code = "host.disk_io"
	HostArtifactMissing Code = "host.artifact_missing"
	HostArtifactCorrupt Code = "host.artifact_corrupt"
	HostMemory          Code = "host.out_of_memory"
	HostEngine          Code = "host.engine_self_test"
	HostGaveUp          Code = "host.actor_gave_up"

	HostKey          Code = "host.worker_key"
	HostChainCorrupt Code = "host.chain_corrupt"
	HostChainOther   Code = "host.chain_other"
	HostAgent        Code = "host.agent"

	BusyQueueFull Code = "busy.queue_full"
	BusyApp       Code = "busy.app_queue_full"
	BusySlots     Code = "busy.no_slot"
	BusyDraining  Code = "busy.draining"
	BusyPaused    Code = "busy.paused"
	BusyDisk      Code = "busy.disk_space"
	BusyChain     Code = "busy.chain"

	CallerInvalid      Code = "caller.invalid_request"
	CallerConfig       Code = "caller.invalid_config"
	CallerNotFound     Code = "caller.not_found"
	CallerDenied       Code = "caller.denied"
	CallerConflict     Code = "caller.conflict"
	CallerStale        Code = "caller.stale"
	CallerQuery        Code = "caller.invalid_query"
	CallerReason       Code = "caller.reason_missing"
	CallerQuota        Code = "caller.quota"
	CallerParamsTooBig Code = "caller.params_too_large"
	CallerClosed       Code = "caller.host_closed"
	CallerUnreachable  Code = "caller.host_unreachable"
	CallerOutput       Code = "caller.output"

	CallerManifest         Code = "caller.manifest_invalid"
	CallerManifestVersion  Code = "caller.manifest_version"
	CallerManifestConflict Code = "caller.manifest_conflict"
	CallerManifestLabel    Code = "caller.manifest_label"
	CallerManifestTooLarge Code = "caller.manifest_too_large"
	CallerAppExists        Code = "caller.app_exists"
	CallerAppState         Code = "caller.app_state"
	CallerBlobMissing      Code = "caller.blob_missing"
	CallerBlobMismatch     Code = "caller.blob_mismatch"
	CallerBlobInUse        Code = "caller.blob_in_use"
	CallerBlobTooLarge     Code = "caller.blob_too_large"
	CallerNoSession        Code = "caller.no_session"
	CallerSession          Code = "caller.session_in_use"
	CallerSignature        Code = "caller.signature_invalid"
	CallerSignatureExpired Code = "caller.signature_expired"
	CallerSignatureScope   Code = "caller.signature_scope"
	CallerSignatureWorker  Code = "caller.signature_worker"
	CallerSignatureReplay  Code = "caller.signature_replayed"
	CallerSealed           Code = "caller.sealed_query"
	CallerTx               Code = "caller.tx_invalid"
	CallerTxNonce          Code = "caller.tx_nonce"
	CallerTxExpired        Code = "caller.tx_expired"
	CallerTxFailed         Code = "caller.tx_failed"
	CallerTxCall           Code = "caller.tx_call"
	CallerChainURL         Code = "caller.chain_url"

	CanceledCaller   Code = "canceled.caller_left"
	CanceledDeadline Code = "canceled.deadline"
	CanceledStopped  Code = "canceled.host_stopped"
	CanceledRevoked  Code = "canceled.revoked"

	BugUnexpected Code = "bug.unexpected"
	BugPanic      Code = "bug.panic"
	BugProtocol   Code = "bug.protocol"
	BugNoAnswer   Code = "bug.no_answer"
)

var registry = map[Code]Description{
	GuestNotWasm:           {Guest, "the code is not WebAssembly", "pass a .wasm binary; text format must be assembled first (wat2wasm)"},
	GuestTruncated:         {Guest, "the code ends in the middle of a section", "the file is incomplete: build or download it again"},
	GuestVersion:           {Guest, "the code has a binary version other than 1", "build a core WebAssembly 1.0/2.0 module"},
	GuestComponent:         {Guest, "the code is a WebAssembly component, not a core module", "build a core module (for Rust: target wasm32-wasip1) or extract it with 'wasm-tools component unbundle'"},
	GuestInvalid:           {Guest, "the code is not a valid module", "rebuild it with a current toolchain; 'troupe artifact check' shows the reason"},
	GuestUnknownImport:     {Guest, "the code imports something that the host does not offer", "remove the import, or use --missing-imports=trap to let it trap only when it is called"},
	GuestMissingExport:     {Guest, "the code does not export what was asked for", "choose one of the exports that 'troupe artifact check' lists"},
	GuestBadSignature:      {Guest, "the export has a signature that does not fit this kind of call", "--invoke takes functions over numbers, --entry takes (i32, i32) -> i64"},
	GuestCodeTooLarge:      {Guest, "the code is larger than the limit", "shrink the module (strip names, optimise for size) or raise the host's code limit"},
	GuestDecompressionBomb: {Guest, "the compressed code inflates beyond the limit", "raise the host's inflated code limit if the module is honest"},
	GuestBadCompression:    {Guest, "the compressed code is damaged", "compress it again with zstd behind the 8 byte magic prefix"},
	GuestPrepareCPU:        {Guest, "compiling the code used up the CPU limit of preparation", "split very large functions, or raise the preparation budget"},
	GuestPrepareMemory:     {Guest, "compiling the code used up the memory limit of preparation", "split very large functions, or raise the preparation memory limit"},
	GuestStartTrap:         {Guest, "the start function of the module failed", "run it under a debugger: initialisation must not trap"},
	GuestTrap:              {Guest, "the guest trapped", "the trap message names the function"},
	GuestExit:              {Guest, "the guest exited with a non-zero code", "see the guest's own output"},
	GuestBadOutput:         {Guest, "the guest returned an output range outside of its memory", "return (length << 32) | pointer with both inside linear memory"},
	GuestOutputLimit:       {Guest, "the guest wrote more than the output limit", "write less, or raise the output limit of the run"},
	GuestCPULimit:          {Guest, "the guest used up its CPU limit", "raise --cpu if the work is honest"},
	GuestWallLimit:         {Guest, "the guest waited longer than its wall limit", "raise --wall, or close the guest's input"},
	GuestMemory:            {Guest, "the guest needed more memory than its limit", "raise --memory"},
	GuestStack:             {Guest, "the guest exhausted the call stack", "recurse less deeply"},
	GuestTooManySymbols:    {Guest, "the code has more or longer imports and exports than a host keeps", "export only what is called: at most 16,384 imports and 16,384 exports, with names of at most 1,024 bytes"},
	GuestQuarantined:       {Guest, "the code is in quarantine: its workers died again and again", "look at its last runs; it may run again when the quarantine ends, or after its artifact is evicted"},
	GuestFeature:           {Guest, "the code uses a feature of WebAssembly that is off, or that no host offers", "build it without that feature, or have the operator allow it (--wasm-features)"},
	GuestTooComplex:        {Guest, "the code passes a bound of what is compiled", "split very large functions, or have the operator raise the bound that the message names (--wasm-caps)"},
	GuestGasLimit:          {Guest, "the guest used up its gas", "raise --gas if the work is honest"},

	GuestNoReply:       {Guest, "the app did not answer within its time for a query", "the instance goes on, unless all it did was to compute; raise query_timeout in the manifest if the work is honest"},
	GuestRefused:       {Guest, "the app answered that it will not serve the query", "the number and the text are the app's own"},
	GuestBadReply:      {Guest, "what the app answered is not a response", "a command writes header lines, an empty line and a body; a handler returns an HTTP/1.1 response"},
	GuestNotServing:    {Guest, "the app ended without taking the query", "its log and 'troupe app show' say why it ended"},
	SuspectWorkerDied:  {Suspect, "the worker process died during the run", "retry; if it repeats with this code only, blame the code, else check the machine's memory"},
	SuspectWallLimit:   {Suspect, "the run passed its wall limit while it was not waiting", "the machine may be overloaded: retry, or raise --wall"},
	SuspectBadReply:    {Suspect, "the worker sent a reply that breaks the protocol", "retry; if it repeats, treat the code as hostile"},
	SuspectArtifact:    {Suspect, "the worker could not load the artifact", "it is prepared again; if it repeats, check the machine's memory"},
	SuspectPrepareDied: {Suspect, "the prepare worker died", "retry; if it repeats with this code only, blame the code, else check the machine's memory"},
	SuspectPrepareWall: {Suspect, "preparation passed its wall limit", "the machine may be overloaded: retry, or raise the preparation budget"},

	HostUnsupported:     {Host, "not supported here", "a host runs on Linux; from elsewhere, reach one with 'troupe context'"},
	HostWorkerMissing:   {Host, "no worker program was found", "install troupe-worker beside the executable or name it in the config, or call worker.Main() first thing in main"},
	HostWorkerMismatch:  {Host, "the worker program belongs to another build", "install troupe and troupe-worker of the same version, then restart the host"},
	HostSandboxMissing:  {Host, "workers cannot be confined as they must be", "see 'troupe worker sandbox', or start without --sandbox strict"},
	HostSpawnFailed:     {Host, "a worker process could not be started", "check the limits on processes, memory and open files"},
	HostDataDir:         {Host, "the data directory cannot be used", "make it a directory that this user may write, or choose another with --data-dir"},
	HostDataDirNewer:    {Host, "the data directory was written by a newer version", "upgrade troupe, or choose another --data-dir"},
	HostDataDirLocked:   {Host, "another host uses the data directory", "stop that host or choose another --data-dir"},
	HostChainCorrupt:    {Host, "the chain on disk is damaged", "put a copy of its directory in its place, or remove it to begin another chain"},
	HostChainOther:      {Host, "this is another chain than before", "point --chain to the chain of before, or take a new data directory"},
	HostAgent:           {Host, "the agent that runs compute requests does not do what it is asked", "see its log; it is asked again"},
	HostDataDirCorrupt:  {Host, "the data directory is damaged", "restore the state folder from a backup; it is never dropped automatically"},
	HostDataDirTrust:    {Host, "the data directory is under the control of another user", "make the directory and its files belong to the user that runs the host and take write access from group and others (chown, chmod go-w), or choose another with --data-dir"},
	HostDiskFull:        {Host, "the disk is full", "free some space; the host recovers by itself"},
	HostDiskIO:          {Host, "the disk failed", "check the disk and the kernel log"},
	HostArtifactMissing: {Host, "the artifact is not in the store", "it is prepared again when it is needed"},
	HostArtifactCorrupt: {Host, "the stored artifact failed its verification", "it is dropped and prepared again; check the disk if this repeats"},
	HostMemory:          {Host, "the host has not enough memory", "lower the number of workers or the memory limits"},
	HostEngine:          {Host, "the engine failed its start-up self-test", "reinstall: this build does not fit its WebAssembly engine"},
	HostGaveUp:          {Host, "a part of the host failed too often and was stopped", "see the log for the first failure, then restart the host"},

	HostKey:       {Host, "the worker key cannot be read", "give the passphrase or key file that it was locked with ('troupe serve --key-passphrase-file', '--key-file'), or restore a backup"},
	BusyQueueFull: {Busy, "the queue is full", "retry later"},
	BusyApp:       {Busy, "as many queries of this app wait as may", "try again later, or raise queue in the manifest"},
	BusySlots:     {Busy, "all slots for instances are taken by apps that do not give way", "stop or resize an app, or raise the host's number of slots"},
	BusyDraining:  {Busy, "the host is stopping", "retry when it is up again"},
	BusyPaused:    {Busy, "an operator has paused this", "retry when it is resumed: 'troupe queue list' and 'troupe actor list' say what is paused"},
	BusyChain:     {Busy, "the chain does not answer, or takes nothing more for now", "it is tried again; see what the chain's node says"},
	BusyDisk:      {Busy, "there is not enough free disk space to accept new work", "free some space; the host recovers by itself"},

	CallerInvalid:      {Caller, "the request is not valid", "see the message"},
	CallerConfig:       {Caller, "the configuration is not valid", "see the message"},
	CallerNotFound:     {Caller, "no such thing", "list what exists first"},
	CallerDenied:       {Caller, "not allowed", "use the account that runs the host"},
	CallerStale:        {Caller, "the target has changed since it was looked at", "look again, and decide again"},
	CallerQuery:        {Caller, "the query is not understood", "see 'troupe help query'"},
	CallerReason:       {Caller, "this needs a reason", "say why, with --reason"},
	CallerConflict:     {Caller, "the target changed or is in use", "look again, then retry"},
	CallerQuota:        {Caller, "a quota is used up", "unpin something first"},
	CallerParamsTooBig: {Caller, "the input is larger than the limit", "pass less input"},
	CallerClosed:       {Caller, "the host is closed", "start a host first"},
	CallerUnreachable:  {Caller, "no host answers", "start one with 'troupe serve', or check --data-dir"},
	CallerOutput:       {Caller, "the output cannot be written", "make room where the output goes, or send it elsewhere"},

	CallerManifest:         {Caller, "the manifest cannot be read", "mend what the message names; 'troupe app build' makes manifests of descriptions"},
	CallerManifestVersion:  {Caller, "the manifest has a version that is not known here", "versions 1 and 2 are known"},
	CallerManifestConflict: {Caller, "settings of the manifest exclude each other", "the message names them"},
	CallerManifestLabel:    {Caller, "the label of the manifest is longer than 64 bytes or has control characters", "choose another label"},
	CallerManifestTooLarge: {Caller, "the manifest is larger than 16 KiB", "shorten its arguments, environment or lists"},
	CallerAppExists:        {Caller, "the app is deployed already", "remove it first; another manifest is another app"},
	CallerAppState:         {Caller, "the app cannot do that in its state or by its manifest", "see 'troupe app show'"},
	CallerBlobMissing:      {Caller, "a blob is not here", "put it first: 'troupe blob put'"},
	CallerBlobMismatch:     {Caller, "the bytes have another hash than was said", "compare the file with its source, and send it again"},
	CallerBlobInUse:        {Caller, "an app needs the blob", "remove the app first"},
	CallerBlobTooLarge:     {Caller, "the blob is larger than the limit", "split it, or embed the host with a higher Apps.MaxBlobBytes"},
	CallerNoSession:        {Caller, "there is no worker session", "open one first: 'troupe session open'"},
	CallerTx:               {Caller, "the transaction is none, or not signed by its account for this chain", "sign the bytes again, with the key of the account and the genesis of this chain"},
	CallerTxNonce:          {Caller, "the nonce of the transaction is used or too far ahead", "ask for the account's next nonce and sign again"},
	CallerTxExpired:        {Caller, "the transaction is older than it said it may be", "sign it again with a later block to expire at"},
	CallerTxFailed:         {Caller, "the transaction is in a block, and its call failed", "the error of the ledger says why"},
	CallerTxCall:           {Caller, "the chain has no such call, or the arguments are not its own", "see the names and fields of its calls: 'troupe chain calls'"},
	CallerChainURL:         {Caller, "no chain is reached by this URL", "embedded:, http://, https://, ws://, wss:// and unix:// are known"},
	CallerSession:          {Caller, "the worker session has apps", "remove them first, or resume the session"},
	CallerSignature:        {Caller, "the signature does not fit what came with it", "sign the bytes that the documentation of queries names, with the key that the certificate names"},
	CallerSignatureExpired: {Caller, "the signature or its certificate has expired", "sign anew; compare the clocks"},
	CallerSignatureScope:   {Caller, "the certificate does not cover this app or path", "have one issued for it"},
	CallerSignatureWorker:  {Caller, "the signature is for another worker", "sign for this worker's key"},
	CallerSignatureReplay:  {Caller, "the query was sent before", "sign each query with a nonce of its own"},
	CallerSealed:           {Caller, "the sealed query cannot be opened", "seal it for this worker's key"},
	CanceledCaller:         {Canceled, "the caller left", ""},
	CanceledDeadline:       {Canceled, "the deadline of the request passed", "raise --timeout"},
	CanceledStopped:        {Canceled, "the host stopped before the run ended", "run it again"},
	CanceledRevoked:        {Canceled, "the validity tag of the request was revoked", "ask again with a tag that is valid"},

	BugUnexpected: {Bug, "an unexpected error", "please report it with the log"},
	BugPanic:      {Bug, "a recovered panic", "please report it with the log"},
	BugProtocol:   {Bug, "a broken invariant", "please report it with the log"},
	BugNoAnswer:   {Bug, "a part of the host did not answer", "please report it with the log"},
}

// Describe returns the entry of a code; an unknown code is described as a bug.
func Describe(c Code) Description {
	if d, ok := registry[c]; ok {
		return d
	}
	return Description{Class: Bug, Text: "unregistered error code " + Quote(string(c)), Hint: "please report it"}
}

// Codes returns all registered codes, in no particular order.
func Codes() []Code {
	out := make([]Code, 0, len(registry))
	for c := range registry {
		out = append(out, c)
	}
	return out
}
