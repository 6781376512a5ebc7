package run

import (
	"fmt"
	"time"
)

// Stage is where a run or a job stands on its way. Not each has all of them, and a run that is repeated comes to some again.
type Stage uint8

// The stages, in order.
const (
	Received     Stage = 1 + iota // it is being written down, or looked at
	Admitted                      // it is accepted, and waits for what begins it
	ArtifactWait                  // its code is being prepared, or looked up
	Queued                        // it waits for its turn to run
	Assigned                      // it has its turn, and waits for room
	Handshake                     // its worker starts and takes the artifact
	Running                       // a worker has it
	ResultRead                    // the worker has answered
	Judged                        // what the answer means is settled
	Delivered                     // whoever asked has it, or can have it
)

var stageNames = [...]string{"", "received", "admitted", "artifact-wait", "queued", "assigned", "handshake", "running", "result-read", "verdict", "delivered"}

// String returns the name that operators see.
func (s Stage) String() string {
	if s == 0 || int(s) >= len(stageNames) {
		return fmt.Sprintf("stage(%d)", uint8(s))
	}
	return stageNames[s]
}

// Step says when a run came to a stage, and what it waited for there.
type Step struct {
	Stage Stage     `json:"stage"`
	At    time.Time `json:"at"`
	Waits string    `json:"waits,omitempty"` // what for, in words; "": for nothing else
	Owner string    `json:"owner,omitempty"` // id of what it waits for
	Works bool      `json:"works,omitempty"` // its code is prepared or runs: it does not wait
}

// maxTrail bounds a trail. What is more takes the place of the last step, so that its ends stay true.
const maxTrail = 64

// Trail is the steps of a run, oldest first. Times never go back, so the stages add up to the time between its ends.
type Trail []Step

// Add returns the trail with one more step. One that changes nothing is left out.
func (t Trail) Add(s Step) Trail {
	n := len(t)
	if n > 0 {
		last := t[n-1]
		if s.At.Before(last.At) {
			s.At = last.At
		}
		if last.Stage == s.Stage && last.Waits == s.Waits && last.Owner == s.Owner && last.Works == s.Works {
			return t
		}
	}
	if n >= maxTrail {
		t[n-1] = s
		return t
	}
	return append(t, s)
}

// Join returns the trail with the steps of another one behind it.
func (t Trail) Join(more Trail) Trail {
	for _, s := range more {
		t = t.Add(s)
	}
	return t
}
