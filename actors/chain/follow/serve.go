package follow

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
)

// What may be asked of a job.
const (
	kindStop   = "stop"
	kindBoot   = "boot"
	kindReboot = "reboot"
	kindResize = "resize"
	kindDelete = "delete"
)

const (
	maxVMs         = 4096
	maxImageTries  = 6   // then the request is given back
	maxReasonBytes = 200 // on chain
)

// requests are the compute requests of this node.
type requests struct {
	vms     map[string]*vm
	vmOrder []*vm // in order of their numbers
	pool    []text
	poolSeq uint64 // of the read
}

// vm is a compute request, and the job that it became.
type vm struct {
	id       string
	plan     string
	miner    *minerView           // nil: it is not among those of this node
	sides    map[string]*sideView // open ones by kind
	asked    string               // all that is open, as wishes has it
	deletion *sideView
	req      *requestView
	absent   uint64 // height at which it was not on chain any more
	fresh    bool   // it was read since the last call

	kept    Placed
	hasKept bool
	found   bool // what is kept was compared with what the agent has

	image    *Image
	config   []byte
	ip       string
	giveBack string // reason to tell the chain
	redo     bool   // the job is to be deleted and made again
	done     bool   // the job runs
	deleted  bool
	did      map[string]bool // side requests that the agent has done
	attempts map[string]int  // of calls that failed
	calling  string          // what the chain was told last
	told     string          // and what of it is final
	lost     bool            // it ran, and the agent does not have it any more
	vnc      *VNC
	polls    int
	lookAt   time.Time // when the agent is asked whether it still runs

	busy   uint64
	tries  int
	next   time.Time
	state  string
	reason string
	since  time.Time
}

func (s *State) vmOf(id string) *vm {
	v := s.vms[id]
	if v == nil {
		v = &vm{id: id, since: s.now, did: map[string]bool{}, attempts: map[string]int{}}
		s.vms[id] = v
		s.sortVMs()
	}
	return v
}

func (s *State) sortVMs() {
	s.vmOrder = s.vmOrder[:0]
	for _, id := range sorted(s.vms) {
		s.vmOrder = append(s.vmOrder, s.vms[id])
	}
	slices.SortStableFunc(s.vmOrder, func(a, b *vm) int { return cmp.Compare(len(a.id), len(b.id)) })
}

func (v *vm) say(now time.Time, state, reason string) {
	if v.state != state {
		v.state, v.since = state, now
	}
	v.reason = reason
}

// setRequests takes in what was assigned to this node.
func (s *State) setRequests(r requestsView, _ uint64) {
	for _, v := range s.vmOrder {
		v.miner, v.deletion, v.sides, v.fresh = nil, nil, nil, true
		if v.tries == 0 {
			v.next = time.Time{} // it may be wanted to do something else
		}
	}
	of := func(id number) *vm {
		if id == "" || s.vms[string(id)] == nil && len(s.vms) >= maxVMs {
			return nil
		}
		v := s.vmOf(string(id))
		v.fresh = true
		return v
	}
	for i := range r.Compute {
		m := &r.Compute[i]
		// A request may have come back after a failure: the record that is open counts.
		if v := of(m.RequestID); v != nil && (v.miner == nil || v.miner.FailReason != nil) {
			v.miner, v.plan = m, string(m.PlanID)
		}
	}
	for kind, list := range map[string][]sideView{kindStop: r.Stop, kindBoot: r.Boot, kindReboot: r.Reboot, kindResize: r.Resize, kindDelete: r.Deletion} {
		for i := range list {
			if list[i].Fulfilled {
				continue
			}
			v := of(list[i].RequestID)
			switch {
			case v == nil:
			case kind == kindDelete:
				v.deletion = &list[i]
			default:
				if v.sides == nil {
					v.sides = map[string]*sideView{}
				}
				v.sides[kind] = &list[i]
			}
		}
	}
	for _, v := range slices.Clone(s.vmOrder) {
		switch {
		case v.miner != nil || v.deletion != nil:
			v.absent = 0
		case v.absent == 0:
			v.absent = max(s.newest, 1)
		}
		if asked := v.wishes(); asked != v.asked { // what is new does not wait for what is tried again, or looked at, later
			v.asked, v.next, v.tries = asked, time.Time{}, 0
		}
	}
}

// wishes tells apart what is asked of a request at two times.
func (v *vm) wishes() (all string) {
	if v.deletion != nil {
		return kindDelete
	}
	for _, kind := range []string{kindStop, kindBoot, kindReboot, kindResize} {
		if o := v.sides[kind]; o != nil {
			all += kind + string(o.CreatedAt) + " "
		}
	}
	return all
}

// serve brings what the agent has nearer to what the chain demands. What fails for one request is no other's business.
func (s *State) serve() {
	if !s.ready {
		return
	}
	for _, v := range slices.Clone(s.vmOrder) {
		if v.busy == 0 && !v.next.After(s.now) {
			v.next = time.Time{}
			s.step(v)
		}
	}
}

// job is the name that the agent has for it.
func (v *vm) job() string {
	switch {
	case v.kept.Job != "":
		return v.kept.Job
	case v.miner != nil && v.miner.JobID != nil:
		return string(*v.miner.JobID)
	case v.deletion != nil && v.deletion.JobID != nil:
		return string(*v.deletion.JobID)
	}
	return ""
}

func set(t *text) bool { return t != nil && *t != "" }

// step does the next thing for a request.
func (s *State) step(v *vm) {
	switch {
	case !s.whole: // a deletion may be behind what was read
		v.say(s.now, "waiting", "what the chain demands is still being read")
	case v.hasKept && v.kept.Job == "" && !v.found: // before anything else: what it made would run on for nobody
		v.say(s.now, "placing", "the agent was asked before; it is asked what came of it")
		s.do(v, FindJob{v.kept})
	case v.deletion != nil:
		s.erase(v)
	case v.miner == nil:
		s.vanish(v)
	case set(v.miner.FailReason):
		v.say(s.now, "failed", fault.Quote(string(*v.miner.FailReason)))
		v.giveBack, v.image, v.config = "", nil, nil
		s.clear(v)
	case v.redo:
		if s.clear(v) {
			v.redo, v.ip, v.found = false, "", false
			s.step(v)
		}
	case v.giveBack != "":
		v.say(s.now, "refused", v.giveBack)
		s.call(v, "handle_miner_compute_request_failure", v.kept.Job, map[string]any{"fail_reason": v.giveBack})
	case !v.miner.Fulfilled && !set(v.miner.JobID), v.lost:
		s.create(v)
	case !v.miner.Fulfilled:
		s.fulfil(v)
	default:
		s.attend(v)
	}
}

// do begins an action for a request, when there is room.
func (s *State) do(v *vm, what Action) {
	if counts(what) && s.actsVMs >= maxActs {
		v.next = s.now.Add(time.Second)
		return
	}
	v.busy = s.start(act{vm: v, action: what})
}

// call tells the chain something, once: the key is the same after a restart. about sets apart what may be told several times.
func (s *State) call(v *vm, name, about string, args map[string]any) {
	if !v.fresh {
		s.mark(Read{Kind: ReadRequests}) // what it told before is not seen yet
		v.next = s.now.Add(time.Second)
		return
	}
	args["node_id"], args["request_id"] = s.cfg.NodeID, v.id
	b, err := json.Marshal(args)
	if err != nil {
		v.reason, v.next = words(err), s.now.Add(s.cfg.RetryMax)
		return
	}
	if v.miner != nil {
		about += "@" + string(v.miner.CreatedAt) // a request that came back is told of anew
	}
	v.calling = name + "/" + about
	if v.told == v.calling {
		// It is in a block, and the chain does not show it: that block is gone, or something else undid it. It is told again, later.
		v.told = ""
		v.attempts[v.calling]++
		v.tries++
		v.next = s.now.Add(backoff(v.tries, s.cfg.RetryMin, s.cfg.RetryMax))
		return
	}
	key := fmt.Sprintf("compute/%s/%s/%s/%d", s.genesis.String()[:16], v.id, v.calling, v.attempts[v.calling])
	s.do(v, Submit{Key: key, Call: chain.Call{Pallet: "Compute", Name: name, Args: b}})
}

// clear ends the job of a request and forgets it. It says whether nothing is left.
func (s *State) clear(v *vm) bool {
	switch job := v.kept.Job; {
	case job != "" && !v.deleted:
		s.do(v, JobDo{Job: job, Kind: kindDelete})
	case v.hasKept:
		s.do(v, ForgetPlaced{v.kept.Request})
	default:
		return true
	}
	return false
}

// erase deletes a job as the chain wants.
func (s *State) erase(v *vm) {
	v.say(s.now, "deleting", "")
	switch job := v.job(); {
	case s.final < v.deletionAt(), !s.sure():
		v.reason = "it is to be deleted, which is not final yet"
		v.next = s.now.Add(time.Second)
	case job != "" && !v.deleted:
		s.do(v, JobDo{Job: job, Kind: kindDelete})
	default:
		s.call(v, "submit_compute_deletion_request", string(v.deletion.CreatedAt), map[string]any{"vm_name": vmName(v.kept.VMName, v.deletion.JobID)})
	}
}

// vmName is a name that the chain takes for the instance of a job: the job itself, or vm- and what the job has before its first dash.
func vmName(have string, job *text) string {
	if !set(job) {
		return ""
	}
	if first, _, _ := strings.Cut(string(*job), "-"); have == "vm-"+first {
		return have
	}
	return string(*job)
}

// deletionAt is the height at which a deletion was asked for, as far as that is known.
func (v *vm) deletionAt() uint64 {
	n, _ := strconv.ParseUint(string(v.deletion.CreatedAt), 10, 64)
	return n
}

// vanish cleans up after a request that is not on chain any more.
func (s *State) vanish(v *vm) {
	if !v.hasKept {
		delete(s.vms, v.id)
		s.sortVMs()
		return
	}
	if !s.sure() || v.absent == 0 || s.final < v.absent {
		v.say(s.now, "deleting", "the request is gone from the chain, which is not final yet")
		v.next = s.now.Add(time.Second)
		return
	}
	v.say(s.now, "deleting", "the request is gone from the chain")
	s.clear(v)
}

// create has the agent make the job, and tells the chain.
func (s *State) create(v *vm) {
	if v.kept.Job != "" {
		if v.lost {
			v.lost = false
			return
		}
		v.say(s.now, "placed", "the chain is told of its job")
		s.call(v, "update_miner_compute_request", v.kept.Job, map[string]any{"job_id": v.kept.Job, "ip": v.kept.IP})
		return
	}
	if s.orphans() {
		v.say(s.now, "waiting", "what was made for the chain before is deleted first")
		v.next = s.now.Add(time.Second)
		return
	}
	if v.req == nil {
		v.say(s.now, "reading", "what it wants")
		s.mark(Read{Kind: ReadRequest, Name: v.id})
		v.next = s.now.Add(time.Second)
		return
	}
	t, err := readTerms(string(v.req.Description))
	if err != nil {
		s.refuseVM(v, err.Error())
		return
	}
	why := t.cannot()
	switch {
	case s.cfg.Images && why != "":
		s.refuseVM(v, why)
	case s.cfg.Images && v.image == nil:
		v.say(s.now, "fetching", "its image")
		s.do(v, FetchImage{clip(string(v.req.Image.URL))})
	case set(v.req.CloudInit) && v.config == nil:
		v.say(s.now, "fetching", "its configuration")
		s.do(v, FetchConfig{clip(string(*v.req.CloudInit))})
	case !s.address(v):
		v.say(s.now, "waiting", "no address is free")
	default:
		p := Placement{
			Request: v.id, PlanID: v.plan, Owner: v.req.Owner, CPUCores: t.cores, RAMGB: t.ram, StorageGB: t.storage, Inbound: t.inbound, Outbound: t.outbound,
			GPU: t.gpu, GPUType: t.gpuType, SEV: t.sev, ImageName: clip(string(v.req.Image.Name)), ImageURL: clip(string(v.req.Image.URL)),
			CloudInit: v.config, IP: v.ip, NodeID: s.cfg.NodeID,
		}
		if set(v.req.CloudInit) {
			p.CloudInitCID, p.WithCloudInit = clip(string(*v.req.CloudInit)), true
		}
		if s.cfg.Images {
			m, err := t.build(v.id, *v.image)
			if err != nil {
				s.refuseVM(v, words(err))
				return
			}
			p.Manifest = m.Encode()
		}
		v.say(s.now, "placing", "")
		s.do(v, Place{Placed{Request: v.id, Genesis: s.genesis, IP: v.ip}, p})
	}
}

// orphans says whether there are jobs of another chain, whose requests may have had the same numbers.
func (s *State) orphans() bool {
	return slices.ContainsFunc(s.vmOrder, func(v *vm) bool { return strings.Contains(v.id, "/") })
}

// refuseVM gives a request back, for another miner.
func (s *State) refuseVM(v *vm, why string) {
	if len(why) > maxReasonBytes {
		why = strings.ToValidUTF8(why[:maxReasonBytes], "")
	}
	v.giveBack = why
	s.step(v)
}

// address chooses the IP of an instance: the one that the chain has reserved, or a free one that no other request was offered.
func (s *State) address(v *vm) bool {
	if v.ip != "" {
		return true
	}
	for _, t := range []*text{v.miner.IP, v.miner.ReservedIP, v.req.ReservedIP} {
		if set(t) {
			v.ip = clip(string(*t))
			return true
		}
	}
	if s.pool != nil {
		for i := len(s.pool) - 1; i >= 0; i-- {
			ip := clip(string(s.pool[i]))
			if ip != "" && !slices.ContainsFunc(s.vmOrder, func(o *vm) bool { return o.ip == ip || o.kept.IP == ip }) {
				v.ip = ip
				return true
			}
		}
	}
	s.mark(Read{Kind: ReadIPs})
	v.next = s.now.Add(backoff(v.tries, time.Second, s.cfg.RetryMax))
	v.tries++
	return false
}

// fulfil waits for a job to run, and tells the chain.
func (s *State) fulfil(v *vm) {
	if v.done {
		v.say(s.now, "starting", "the chain is told that it runs")
		s.call(v, "mark_compute_request_fulfilled", v.job(), map[string]any{})
		return
	}
	v.say(s.now, "starting", "")
	s.do(v, JobStatus{v.job()})
}

// attend does what is asked of a job that runs.
func (s *State) attend(v *vm) {
	var kind string
	for _, k := range []string{kindStop, kindBoot, kindReboot, kindResize} { // of those that are open, the oldest
		if o := v.sides[k]; o != nil && (kind == "" || o.CreatedAt.less(v.sides[kind].CreatedAt)) {
			kind = k
		}
	}
	if kind != "" {
		side := v.sides[kind]
		about := string(side.CreatedAt)
		if !v.did[kind+about] {
			v.say(s.now, kind, "")
			s.do(v, JobDo{Job: v.job(), Kind: kind, GB: side.GB})
			return
		}
		v.say(s.now, kind, "the chain is told that it is done")
		name := map[string]string{
			kindStop: "mark_miner_compute_stop_request_fulfilled", kindBoot: "submit_compute_boot_request_fulfillment",
			kindReboot: "submit_compute_reboot_request_fulfillment", kindResize: "submit_compute_resize_request_fulfillment",
		}[kind]
		// The account signs the transaction; the argument beside it is of the original's form, and empty.
		s.call(v, name, about, map[string]any{"signature": nil})
		return
	}
	switch {
	case !set(v.miner.HypervisorIP):
		ip := s.cfg.HypervisorIP
		if ip == "" && set(v.miner.IP) {
			ip = string(*v.miner.IP)
		}
		if ip == "" {
			ip = v.kept.IP
		}
		if ip == "" {
			s.idleVM(v)
			return
		}
		v.say(s.now, "running", "the chain is told where it answers")
		s.call(v, "update_miner_compute_request_hypervisor_ip", ip, map[string]any{"hypervisor_ip": ip})
	case v.miner.VNCPort == nil && v.vnc == nil:
		v.say(s.now, "running", "the agent is asked where it answers")
		s.do(v, JobVNC{v.job()})
	case v.miner.VNCPort == nil && v.vnc.Port > 0:
		v.say(s.now, "running", "the chain is told where it answers")
		s.call(v, "update_miner_compute_request_vnc", strconv.FormatUint(v.vnc.Port, 10), map[string]any{"vnc_port": v.vnc.Port, "vm_name": vmName(v.vnc.VMName, v.miner.JobID)})
	default:
		s.idleVM(v)
	}
}

// idleVM looks now and then whether a job is still there that the follower made itself.
func (s *State) idleVM(v *vm) {
	v.tries = 0
	if v.hasKept && v.kept.Job != "" && s.cfg.Images && !v.lookAt.After(s.now) {
		v.lookAt = s.now.Add(maxPoll)
		s.do(v, JobStatus{v.kept.Job})
		return
	}
	v.say(s.now, "running", "")
	if v.hasKept && s.cfg.Images {
		v.next = v.lookAt
	}
}

// less compares two numbers of digits.
func (n number) less(o number) bool {
	return len(n) < len(o) || len(n) == len(o) && n < o
}
