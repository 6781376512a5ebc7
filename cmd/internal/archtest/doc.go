// Package archtest holds the rules of the repository as tests: which package may import which, who is the only importer
// of a library, where comments stand, how long files may be, and that what a table promises exists.
//
// Purpose: a rule that nobody checks is a wish. Lifecycle, Concurrency: tests only. Failure: each broken rule is one
// failed line with its reason. Limits: it sees what the go command and git list.
package archtest
