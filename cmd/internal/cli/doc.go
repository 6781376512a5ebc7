// Package cli is the command line of Troupe.
//
// Purpose: [Main] is all of the troupe program. The verbs stand in one table (verbs.go), from which commands, flags,
// help and completion are made. Every verb but 'artifact check', 'app build' and 'metrics verify', which need none, talks to a
// host through the client of the control API, be it the host of a 'troupe serve' or a private one inside this process.
//
// Lifecycle: Main runs one verb and returns its exit code. This is the only place that reads the environment, installs
// signal handlers and sets process-wide knobs.
//
// Concurrency: one verb, one goroutine, beside those that draw progress and wait for signals.
//
// Failure: errors print as "error:", "code:" and "hint:" lines on stderr; the exit code follows from the fault code, in
// one function. Data goes to stdout, everything else to stderr.
//
// Limits: files are read up to 1 GiB, the most that any host accepts.
package cli
