package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
)

// The pallet of compute requests.
const compute = "Compute"

func (a *app) requestVerb() verb {
	return verb{
		use: "request COMMAND", short: "Ask the chain for a machine that runs an image: compute requests",
		long: `A request buys a plan, and is assigned to a miner that has room for it. Its number names it from then on. A plan is paid with credits,
which 'troupe request credit' makes of an account's balance, hour by hour. Plans and images are made by the owner of the chain.`,
		examples: []string{
			"troupe request plans", "what there is to buy, and 'troupe request images' what can run",
			"troupe request create 9f2c… --image puzzle", "prints the number of the request",
			"troupe request show 0", "its status, its miner, and where it answers",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{
			a.requestPlansVerb(), a.requestPlanAddVerb(), a.requestImagesVerb(), a.requestImageAddVerb(), a.requestCreditVerb(),
			a.requestCreateVerb(), a.requestListVerb(), a.requestShowVerb(), a.requestCancelVerb(),
			a.requestChangeVerb("stop", "request_compute_stop", "Stop what a request runs"),
			a.requestChangeVerb("boot", "request_compute_boot", "Start what a request runs again"),
			a.requestChangeVerb("reboot", "request_compute_reboot", "Stop what a request runs, and start it again"),
			a.requestResizeVerb(),
			a.requestChangeVerb("delete", "request_compute_delete", "End a request for good; what it kept is lost"),
		},
	}
}

// shownRequest is what the verbs need to know of a request.
type shownRequest struct {
	PlanID string `json:"plan_id"`
	Status string `json:"status"`
}

func askedRequest(text string) asked {
	return asked{"request " + text, "'troupe request list' shows the requests"}
}

// requestOf returns the plan of a request, by which its owner's calls name it.
func (a *app) requestOf(ctx context.Context, f *chainFlags, text string) (id uint64, r shownRequest, err error) {
	if id, err = parseID("request", text); err != nil {
		return id, r, err
	}
	err = a.onChain(ctx, f, func(ctx context.Context, c chainClient) error {
		err := c.Query(ctx, compute+"/request", map[string]any{"request_id": strconv.FormatUint(id, 10)}, &r)
		return askedRequest(text).orMissing(err)
	})
	return id, r, err
}

func (a *app) requestCreateVerb() verb {
	var (
		f                       chainFlags
		image, cloudInit, miner string
	)
	return verb{
		use: "create [flags] PLAN", short: "Buy a plan, and have a miner run an image",
		examples: []string{"troupe request create 9f2c… --image puzzle", "the 64 hex digits of a plan in 'troupe request plans'"},
		exits:    exitsSend, args: exactly(1, "a plan"),
		flags: func(fs *pflag.FlagSet) {
			f.addSigner(fs)
			fs.Var(word{&image, "IMAGE"}, "image", "name of an image in 'troupe request images'")
			fs.Var(word{&cloudInit, "CID"}, "cloud-init", "configuration for the guest")
			fs.Var(word{&miner, "NODE"}, "miner", "this miner only (default: any)")
		},
		run: func(ctx context.Context, given []string) error {
			if image == "" {
				return usage("no --image", "name an image; 'troupe request images' lists them")
			}
			var plan chain.Hash
			if err := plan.UnmarshalText([]byte(strings.TrimPrefix(given[0], "0x"))); err != nil {
				return usage("plan "+fault.Quote(given[0]), "write its 64 hex digits; 'troupe request plans' lists them")
			}
			body := map[string]any{"plan_id": plan, "location_id": nil, "selected_image_name": image, "cloud_init_cid": nil, "pay_for": nil, "miner_id": nil}
			if cloudInit != "" {
				body["cloud_init_cid"] = cloudInit
			}
			if miner != "" {
				body["miner_id"] = miner
			}
			return a.transact(ctx, &f, chain.Call{Pallet: "Marketplace", Name: "purchase_plan", Args: args(body)}, func(s sent) {
				fmt.Fprintf(a.out, "%s\n", oneLine(s.field(compute, "ComputeRequestCreated", "request_id")))
			})
		},
	}
}

var requestColumns = []column{
	{"REQUEST", "request_id"}, {"STATUS", "status"}, {"PLAN", "plan_id"}, {"IMAGE", "selected_image.name"}, {"MINER", "miner_node_id"}, {"SINCE", "created_at"}, {"OWNER", "owner"},
}

func (a *app) requestListVerb() verb {
	var (
		f             chainFlags
		owner, status string
	)
	return verb{
		use: "list [flags]", short: "List compute requests",
		rows:     true,
		examples: []string{"troupe request list --status Pending", "those that wait for a miner"},
		exits:    exitsChain,
		flags: func(fs *pflag.FlagSet) {
			f.addURL(fs)
			fs.Var(word{&owner, "ACCOUNT"}, "owner", "those of this account only")
			fs.Var(word{&status, "STATUS"}, "status", "those of this status only: Pending, InProgress, Running, Stopped, Failed, Cancelled")
		},
		run: func(ctx context.Context, _ []string) error {
			params := map[string]any{}
			if owner != "" {
				p, err := a.parsePublic(owner)
				if err != nil {
					return err
				}
				params["owner"] = chain.Hash(p)
			}
			if status != "" {
				params["status"] = status
			}
			return a.listView(ctx, &f, compute+"/requests", params, requestColumns)
		},
	}
}

func (a *app) requestShowVerb() verb {
	var f chainFlags
	return verb{
		use: "show REQUEST", short: "Show a compute request",
		examples: []string{"troupe request show 0", "what it asks for, its miner, and where it answers"},
		exits:    exitsChain, args: exactly(1, "the number of a request"), flags: f.addURL,
		run: func(ctx context.Context, given []string) error {
			id, err := parseID("request", given[0])
			if err != nil {
				return err
			}
			return a.onChain(ctx, &f, func(ctx context.Context, c chainClient) error {
				shown, err := requestAndVM(ctx, c, id)
				if err != nil {
					return askedRequest(given[0]).orMissing(err)
				}
				a.printFields(shown)
				return nil
			})
		},
	}
}

// requestAndVM returns a request, with what its miner says of what it runs.
func requestAndVM(ctx context.Context, c chainClient, id uint64) (json.RawMessage, error) {
	var (
		answer json.RawMessage
		owner  struct {
			Owner string `json:"owner"`
		}
		vms []struct {
			RequestID string          `json:"request_id"`
			JobID     json.RawMessage `json:"job_id"`
			IP        json.RawMessage `json:"ip_assigned"`
			Server    json.RawMessage `json:"hypervisor_ip"`
			Port      json.RawMessage `json:"vnc_port"`
		}
	)
	text := strconv.FormatUint(id, 10)
	if err := c.Query(ctx, compute+"/request", map[string]any{"request_id": text}, &answer); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(answer, &owner); err != nil {
		return nil, fault.New(fault.BugProtocol, "request", text, err)
	}
	if err := c.Query(ctx, compute+"/get_user_vms", map[string]any{"account": owner.Owner}, &vms); err != nil {
		return nil, err
	}
	for _, vm := range vms {
		if vm.RequestID != text || len(answer) < 2 {
			continue
		}
		more, err := json.Marshal(map[string]json.RawMessage{"job_id": vm.JobID, "ip_assigned": vm.IP, "hypervisor_ip": vm.Server, "vnc_port": vm.Port})
		if err != nil {
			return nil, fault.New(fault.BugProtocol, "request", text, err)
		}
		return append(append(bytes.TrimSuffix(answer, []byte("}")), ','), more[1:]...), nil
	}
	return answer, nil
}

func (a *app) requestCancelVerb() verb {
	var f chainFlags
	return verb{
		use: "cancel REQUEST", short: "Take back a compute request that waits for a miner",
		examples: []string{"troupe request cancel 0", "one that runs is ended by 'troupe request delete'"},
		exits:    exitsSend, args: exactly(1, "the number of a request"), flags: f.addSigner,
		run: func(ctx context.Context, given []string) error {
			id, err := parseID("request", given[0])
			if err != nil {
				return err
			}
			return a.transact(ctx, &f, chain.Call{Pallet: compute, Name: "cancel_compute_request", Args: args(map[string]any{"request_id": strconv.FormatUint(id, 10)})}, nil)
		},
	}
}

// requestChangeVerb asks the miner of a request for something.
func (a *app) requestChangeVerb(name, call, short string) verb {
	var f chainFlags
	return verb{
		use: name + " REQUEST", short: short,
		examples: []string{"troupe request " + name + " 0", "returns when the chain has the wish; 'troupe request show' tells what the miner made of it"},
		exits:    exitsSend, args: exactly(1, "the number of a request"), flags: f.addSigner,
		run: func(ctx context.Context, given []string) error {
			_, r, err := a.requestOf(ctx, &f, given[0])
			if err != nil {
				return err
			}
			return a.transact(ctx, &f, chain.Call{Pallet: compute, Name: call, Args: args(map[string]any{"plan_id": r.PlanID})}, nil)
		},
	}
}

func (a *app) requestResizeVerb() verb {
	var f chainFlags
	return verb{
		use: "resize REQUEST GB", short: "Change how much what a request runs may store",
		examples: []string{"troupe request resize 0 20", "20 GB from then on"},
		exits:    exitsSend, args: exactly(2, "the number of a request and a number of GB"), flags: f.addSigner,
		run: func(ctx context.Context, given []string) error {
			gb, err := strconv.ParseUint(given[1], 10, 32)
			if err != nil {
				return usage("size "+fault.Quote(given[1]), "write a number of GB")
			}
			_, r, err := a.requestOf(ctx, &f, given[0])
			if err != nil {
				return err
			}
			return a.transact(ctx, &f, chain.Call{Pallet: compute, Name: "request_compute_resize", Args: args(map[string]any{"plan_id": r.PlanID, "resize_to_gbs": gb})}, nil)
		},
	}
}
