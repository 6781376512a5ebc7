//go:build race

package pool

// raceDetector: its shadow memory counts as data of the process, so no worker of such a build lives under RLIMIT_DATA.
const raceDetector = true
