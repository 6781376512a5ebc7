package follow

import (
	"errors"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// vmActed takes in the end of an action for a request.
func (s *State) vmActed(c *act, m acted) {
	v := c.vm
	v.busy = 0
	if m.err != nil {
		s.vmFailed(v, c.action, m.err)
		return
	}
	v.tries, v.next = 0, time.Time{}
	switch a := c.action.(type) {
	case FetchImage:
		image, _ := m.value.(Image)
		v.image = &image
	case FetchConfig:
		v.config, _ = m.value.([]byte)
		if v.config == nil {
			v.config = []byte{}
		}
	case Place:
		v.kept, v.hasKept, v.found = a.Placed, true, true
		v.kept.Job, _ = m.value.(string)
	case FindJob:
		v.found = true
		v.kept.Job, _ = m.value.(string)
		s.do(v, SavePlaced{v.kept})
	case JobStatus:
		p, _ := m.value.(Progress)
		s.progress(v, p)
	case JobVNC:
		vnc, _ := m.value.(VNC)
		v.vnc = &vnc
		if vnc.VMName != "" && v.hasKept && v.kept.VMName != vnc.VMName {
			v.kept.VMName = clip(vnc.VMName)
			s.do(v, SavePlaced{v.kept})
		}
	case JobDo:
		if a.Kind == kindDelete {
			v.deleted = true
		} else if side := v.sides[a.Kind]; side != nil {
			clear(v.did) // of what is told already nothing is asked again
			v.did[a.Kind+string(side.CreatedAt)] = true
		}
	case ForgetPlaced:
		v.kept, v.hasKept, v.done = Placed{}, false, false
		v.deleted = v.deletion != nil
	case Submit:
		v.fresh, v.told = false, v.calling
		s.mark(Read{Kind: ReadRequests})
		if a.Call.Name == "submit_compute_deletion_request" && v.hasKept {
			s.do(v, ForgetPlaced{v.id})
		}
	}
}

func (s *State) progress(v *vm, p Progress) {
	if v.miner == nil || v.miner.Fulfilled {
		return
	}
	switch p.State {
	case JobCompleted:
		v.done = true
	case JobFailed:
		s.giveBackLater(v, "the agent: "+fault.Quote(p.Error))
	case JobUnknown:
		s.giveBackLater(v, "the agent does not say how its job is")
	default:
		v.say(s.now, "starting", "its job is under way")
		v.next = s.now.Add(backoff(v.polls, s.cfg.Poll, maxPoll))
		v.polls++
	}
}

func (s *State) giveBackLater(v *vm, why string) {
	if len(why) > maxReasonBytes {
		why = strings.ToValidUTF8(why[:maxReasonBytes], "")
	}
	v.giveBack = why
}

func (s *State) vmFailed(v *vm, what Action, err error) {
	f := fault.From(err)
	notFound := f.Code == fault.CallerNotFound
	v.reason = words(err)
	v.next = s.now.Add(backoff(v.tries, s.cfg.RetryMin, s.cfg.RetryMax))
	v.tries++
	switch a := what.(type) {
	case FetchImage, FetchConfig:
		if f.Class == fault.Guest || isManifest(f.Code) || f.Code == fault.CallerInvalid || v.tries >= maxImageTries {
			s.giveBackLater(v, words(err))
			v.next = time.Time{}
		}
	case Place:
		switch {
		case errors.Is(err, ErrUnknown):
			v.kept, v.hasKept, v.found = a.Placed, true, false // the agent is asked what came of it
		case f.Class == fault.Guest || isManifest(f.Code) || hopeless(f.Code):
			s.giveBackLater(v, words(err))
			v.next = time.Time{}
		case f.Code == fault.CallerBlobMissing:
			v.image = nil // it is fetched again
		}
	case FindJob:
		switch {
		case errors.Is(err, ErrUnknown):
			v.found, v.next = true, time.Time{}
			s.giveBackLater(v, "whether the agent made it is not known")
		case notFound:
			v.found, v.next = true, time.Time{}
			s.do(v, ForgetPlaced{v.id})
		}
	case JobStatus:
		switch {
		case notFound && v.miner != nil && v.miner.Fulfilled && s.cfg.Images:
			v.lost, v.kept.Job, v.next = true, "", time.Time{} // it is made again
		case notFound:
			s.giveBackLater(v, "its job is not there")
			v.next = time.Time{}
		}
	case JobVNC:
		if notFound {
			v.vnc = &VNC{}
		}
	case JobDo:
		if notFound && a.Kind == kindDelete {
			v.deleted, v.next = true, time.Time{}
		}
	case Submit:
		if f.Code == fault.CallerTxFailed {
			v.attempts[v.calling]++
			if a.Call.Name == "update_miner_compute_request" && (strings.Contains(err.Error(), "NoAvailableIp") || strings.Contains(err.Error(), "VmAlreadyHasIp")) {
				v.redo = true // another address
			}
		}
		v.fresh = false
		s.mark(Read{Kind: ReadRequests})
	}
}

// hopeless says that an agent will never do what it refused to do so.
func hopeless(c fault.Code) bool {
	return c == fault.CallerInvalid || c == fault.CallerConfig || c == fault.CallerQuota
}
