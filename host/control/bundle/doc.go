// Package bundle keeps what a host showed at one moment in one file, and shows it again without the host.
//
// Purpose: [Collect] asks a host for all that its views show, [Write] and [Read] are the file, [Host] answers the questions of
// a control server from what was read, so that the command line and both consoles open a bundle with the screens of a live host.
//
// The file is a tar archive, compressed with zstd. Its first entry is "troupe-bundle", a JSON object with the version of the format;
// then one JSON file per part, and what the cores were given in "recording/NNNNNNNN", one after another; its last entry
// is "manifest.json" with the SHA-256 of each entry before it. A reader that knows a later version may leave out entries that it does
// not know; they are checked all the same.
//
// Lifecycle: nothing starts here. A bundle does not change; what would change it is answered with caller.denied.
//
// Concurrency: Write and Read work on the caller's goroutine; Collect asks in goroutines of its own. A [Offline] is read only, and safe from any goroutine.
//
// Failure: Collect leaves out what a host did not answer in its share of the time, and says so in Bundle.Missing: half a bundle of a host
// in trouble is better than none. A file that was cut, damaged, or written by somebody hostile is refused whole, with caller.invalid_request.
//
// Limits: [MaxPartBytes], [MaxObjects], [MaxRecordingBytes] and the number of entries bound what a file can make a reader hold; the
// constants of collect.go bound what Collect takes.
package bundle
