package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/chain/follow"
	"github.com/troupehost/troupe/actors/fault"
)

// Config is where the agent is.
type Config struct {
	// URL is the base of its paths. Default http://127.0.0.1:3030.
	URL string
	// Dir is where configurations for guests are put, which the agent reads. No default: without it such requests are refused.
	Dir string
	// StartTimeout and Timeout bound an answer. Default 100 s to start a machine, 10 s for all else.
	StartTimeout, Timeout time.Duration
}

const (
	defaultURL = "http://127.0.0.1:3030"
	maxAnswer  = 64 << 10
	maxJob     = 128
)

// Agent asks the program.
type Agent struct {
	cfg    Config
	base   *url.URL
	client *http.Client

	mu    sync.Mutex
	files map[string]string // configurations by job
}

var _ follow.Agent = (*Agent)(nil)

// New makes an Agent.
//
// # Errors
//
// caller.invalid_config.
func New(cfg Config) (*Agent, error) {
	if cfg.URL == "" {
		cfg.URL = defaultURL
	}
	if cfg.StartTimeout <= 0 {
		cfg.StartTimeout = 100 * time.Second
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	base, err := url.Parse(cfg.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fault.New(fault.CallerConfig, "agent", fault.Quote(cfg.URL), err).WithHint("the agent has an http:// or https:// URL")
	}
	return &Agent{
		cfg: cfg, base: base, files: map[string]string{},
		client: &http.Client{
			Transport:     &http.Transport{MaxConnsPerHost: 64, MaxResponseHeaderBytes: maxAnswer, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// start is what start-vm is told.
type start struct {
	Memory    string `json:"memory"`
	VCPUs     uint32 `json:"vcpus"`
	Disk      string `json:"disk_size"`
	SEV       bool   `json:"is_sev_enabled"`
	Inbound   uint64 `json:"inbound_bandwidth"`
	Outbound  uint64 `json:"outbound_bandwidth"`
	GPU       bool   `json:"gpu"`
	GPUType   string `json:"gpu_type"`
	ImageURL  string `json:"image_url"`
	OSVariant string `json:"os_variant"`
	IP        string `json:"assigned_ip"`
	Request   string `json:"substrate_request_id"`
	Owner     string `json:"end_user_account"`
	CloudInit string `json:"cloud_init_path,omitempty"`
}

// Create has a machine started.
func (a *Agent) Create(ctx context.Context, p follow.Placement) (string, error) {
	body := start{
		Memory: fmt.Sprintf("%dM", uint64(p.RAMGB)*1024), VCPUs: p.CPUCores, Disk: fmt.Sprintf("%dGi", p.StorageGB), SEV: p.SEV, Inbound: p.Inbound,
		Outbound: p.Outbound, GPU: p.GPU, GPUType: p.GPUType, ImageURL: p.ImageURL, OSVariant: p.ImageName, IP: p.IP, Request: p.Request, Owner: p.Owner,
	}
	if p.WithCloudInit {
		var err error
		if body.CloudInit, err = a.write(p); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return "", failed("start-vm", err)
	}
	var out struct {
		Job string `json:"job_id"`
	}
	err = a.ask(ctx, a.cfg.StartTimeout, http.MethodPost, []string{"start-vm"}, text, http.StatusAccepted, &out)
	if err == nil && (out.Job == "" || len(out.Job) > maxJob) {
		err = fmt.Errorf("%w: %w", follow.ErrUnknown, failed("start-vm", errors.New("the answer has no job_id")))
	}
	if err != nil {
		if body.CloudInit != "" && !errors.Is(err, follow.ErrUnknown) {
			_ = os.Remove(body.CloudInit)
		}
		return "", err
	}
	if body.CloudInit != "" {
		a.mu.Lock()
		a.files[out.Job] = body.CloudInit
		a.mu.Unlock()
	}
	return out.Job, nil
}

// write puts the configuration of a guest where the agent reads it.
func (a *Agent) write(p follow.Placement) (string, error) {
	if a.cfg.Dir == "" {
		return "", fault.New(fault.CallerConfig, "agent", "", nil).WithHint("say in which directory the agent reads configurations for guests")
	}
	if p.Request == "" || strings.Trim(p.Request, "0123456789") != "" {
		return "", fault.New(fault.CallerInvalid, "agent", fault.Quote(p.Request), nil)
	}
	path, err := filepath.Abs(filepath.Join(a.cfg.Dir, "cloud-init-"+p.Request+".yaml"))
	if err == nil {
		err = os.WriteFile(path, p.CloudInit, 0o600)
	}
	if err != nil {
		return "", fault.New(fault.HostDiskIO, "agent", a.cfg.Dir, err)
	}
	return path, nil
}

// forget removes the configuration of a job that has read it.
func (a *Agent) forget(job string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if path, ok := a.files[job]; ok {
		delete(a.files, job)
		_ = os.Remove(path)
	}
}

// Find cannot tell: the program is not asked by the number of a request.
func (a *Agent) Find(context.Context, string) (string, error) {
	return "", fmt.Errorf("%w: %w", follow.ErrUnknown, failed("find", errors.New("it is not asked by requests")))
}

// Status tells how far a job is.
func (a *Agent) Status(ctx context.Context, job string) (follow.Progress, error) {
	var out struct {
		Status string `json:"status"`
		Error  string `json:"error"`
	}
	if err := a.get(ctx, &out, "vm-status", job); err != nil {
		return follow.Progress{}, err
	}
	p := follow.Progress{Error: out.Error}
	switch out.Status {
	case "Completed":
		p.State = follow.JobCompleted
	case "InProgress":
		p.State = follow.JobInProgress
	case "Pending":
		p.State = follow.JobPending
	case "Failed":
		p.State = follow.JobFailed
	}
	if p.State == follow.JobCompleted || p.State == follow.JobFailed {
		a.forget(job)
	}
	return p, nil
}

// VNC tells where a machine is seen.
func (a *Agent) VNC(ctx context.Context, job string) (follow.VNC, error) {
	var out struct {
		Name string `json:"vm_name"`
		Port uint64 `json:"vnc_port"`
	}
	err := a.get(ctx, &out, "vm-vnc-port", job)
	return follow.VNC{VMName: out.Name, Port: out.Port}, err
}

// Stop stops a machine.
func (a *Agent) Stop(ctx context.Context, job string) error { return a.get(ctx, nil, "stop-vm", job) }

// Boot starts one that was stopped.
func (a *Agent) Boot(ctx context.Context, job string) error { return a.get(ctx, nil, "boot-vm", job) }

// Reboot stops and starts one.
func (a *Agent) Reboot(ctx context.Context, job string) error {
	return a.get(ctx, nil, "reboot-vm", job)
}

// Resize is nothing that the program can be asked for.
func (a *Agent) Resize(context.Context, string, uint32) error {
	return failed("resize", errors.New("it has no path to resize a machine"))
}

// Delete ends a machine for good.
func (a *Agent) Delete(ctx context.Context, job string) error {
	if err := a.get(ctx, nil, "delete-vm", job); err != nil {
		return err
	}
	a.forget(job)
	return nil
}

func (a *Agent) get(ctx context.Context, out any, path ...string) error {
	return a.ask(ctx, a.cfg.Timeout, http.MethodGet, path, nil, http.StatusOK, out)
}

// ask sends a request. An error that comes after the connection was made leaves open what a POST did.
func (a *Agent) ask(ctx context.Context, limit time.Duration, method string, path []string, body []byte, want int, out any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i, p := range path {
		path[i] = url.PathEscape(p)
		if p == "" || p == "." || p == ".." {
			return failed(path[0], errors.New("a job has a name"))
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, a.base.JoinPath(path...).String(), bytes.NewReader(body))
	if err != nil {
		return failed(path[0], err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	unknown := func(err error) error {
		if method == http.MethodPost {
			return fmt.Errorf("%w: %w", follow.ErrUnknown, failed(path[0], err))
		}
		return failed(path[0], err)
	}
	answer, err := a.client.Do(r)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return failed(path[0], err)
		}
		return unknown(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if answer.StatusCode != want {
		return failed(path[0], fmt.Errorf("it answers %d: %s", answer.StatusCode, fault.Quote(string(text))))
	}
	switch {
	case err != nil:
		return unknown(err)
	case len(text) > maxAnswer:
		return unknown(errors.New("its answer is too long"))
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return unknown(fmt.Errorf("its answer cannot be read: %s", fault.Quote(err.Error())))
	}
	return nil
}

func failed(what string, err error) error { return fault.New(fault.HostAgent, "agent", what, err) }
