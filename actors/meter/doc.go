// Package meter counts what apps use and makes signed reports of it.
//
// Purpose: [Metrics.Add] adds what something used to the totals of an app. [SignReport] and [OpenReport] turn totals into what a
// chain or a customer can verify, byte for byte as the original workers do, and so do the other messages that a worker signs:
// of its session, its endpoints, its prices, its registration and its benchmark score. [Key] is the worker's key, sr25519.
//
// Lifecycle: nothing is kept and nothing is opened. Who has totals writes them down; who has a key seals it.
//
// Concurrency: a Key may be used from any goroutine. Totals belong to who adds to them.
//
// Failure: caller.invalid_request for bytes that are no message, or for what exceeds the bounds of one; caller.signature_invalid
// for a message that is not its signer's. [Verify] says no to whatever is not a signature.
//
// Limits: a report has at most MaxApps apps, so who has more makes several, each with a token of its own. The bounds of the
// other messages stand at their types.
//
// Totals never go down: a negative or overflowing use counts as none or as the most there is. What makes no whole unit yet is kept
// beside them, so that a thousand short runs are billed as one long run is. Storage and memory are integrated over time, in
// byte-milliseconds; see [ByteTime].
package meter
