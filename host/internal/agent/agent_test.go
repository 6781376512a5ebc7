package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/chain/follow"
	"github.com/troupehost/troupe/actors/fault"
)

// mock is an agent that answers as it is told, and remembers what it was asked.
type mock struct {
	*httptest.Server
	code  int
	body  string
	asked []string
	posts []string
}

func newMock(t *testing.T) *mock {
	t.Helper()
	m := &mock{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		m.asked = append(m.asked, r.Method+" "+r.URL.EscapedPath())
		m.posts = append(m.posts, string(b))
		w.WriteHeader(m.code)
		_, _ = io.WriteString(w, m.body)
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *mock) agent(t *testing.T, dir string) *Agent {
	t.Helper()
	a, err := New(Config{URL: m.URL, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var placement = follow.Placement{
	Request: "17", Owner: "5Gowner", CPUCores: 2, RAMGB: 4, StorageGB: 50, Inbound: 100, Outbound: 200, GPU: true, GPUType: "a100", SEV: true,
	ImageName: "ubuntu", ImageURL: "https://images/x.img", IP: "10.0.0.7",
}

func TestS76Create(t *testing.T) {
	m := newMock(t)
	m.code, m.body = http.StatusAccepted, `{"job_id":"ab-cd","name":"vm-ab","status":"Pending"}`
	dir := t.TempDir()
	a := m.agent(t, dir)
	want := map[string]any{
		"memory": "4096M", "vcpus": 2.0, "disk_size": "50Gi", "is_sev_enabled": true, "inbound_bandwidth": 100.0, "outbound_bandwidth": 200.0, "gpu": true,
		"gpu_type": "a100", "image_url": "https://images/x.img", "os_variant": "ubuntu", "assigned_ip": "10.0.0.7", "substrate_request_id": "17",
		"end_user_account": "5Gowner",
	}
	if len(want) != 13 {
		t.Fatal("13 keys are due")
	}
	check := func(p follow.Placement) {
		t.Helper()
		job, err := a.Create(t.Context(), p)
		if err != nil || job != "ab-cd" {
			t.Fatalf("got %q, %v", job, err)
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(m.posts[len(m.posts)-1]), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	check(placement)
	with := placement
	with.WithCloudInit, with.CloudInit = true, []byte("#cloud-config")
	path := filepath.Join(dir, "cloud-init-17.yaml")
	want["cloud_init_path"] = path
	check(with)
	if b, err := os.ReadFile(path); err != nil || string(b) != "#cloud-config" {
		t.Errorf("the configuration: %q, %v", b, err)
	}
	m.code, m.body = http.StatusOK, `{"status":"Completed"}`
	if _, err := a.Status(t.Context(), "ab-cd"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the configuration stays when the machine runs: %v", err)
	}
	if diff := cmp.Diff([]string{"POST /start-vm", "POST /start-vm", "GET /vm-status/ab-cd"}, m.asked); diff != "" {
		t.Error(diff)
	}
}

func TestS76Paths(t *testing.T) {
	m := newMock(t)
	a := m.agent(t, "")
	ctx := t.Context()
	m.code, m.body = http.StatusOK, `{"vm_name":"vm-ab","vnc_port":5901}`
	vnc, err := a.VNC(ctx, "ab/../c d")
	if diff := cmp.Diff(follow.VNC{VMName: "vm-ab", Port: 5901}, vnc); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, err := range []error{a.Stop(ctx, "j"), a.Boot(ctx, "j"), a.Reboot(ctx, "j"), a.Delete(ctx, "j")} {
		if err != nil {
			t.Error(err)
		}
	}
	want := []string{"GET /vm-vnc-port/ab%2F..%2Fc%20d", "GET /stop-vm/j", "GET /boot-vm/j", "GET /reboot-vm/j", "GET /delete-vm/j"}
	if diff := cmp.Diff(want, m.asked); diff != "" {
		t.Error(diff)
	}
	for status, want := range map[string]follow.JobState{
		"Completed": follow.JobCompleted, "InProgress": follow.JobInProgress, "Pending": follow.JobPending, "Failed": follow.JobFailed, "Strange": follow.JobUnknown,
	} {
		m.body = fmt.Sprintf(`{"status":%q,"error":"why"}`, status)
		if p, err := a.Status(ctx, "j"); err != nil || p.State != want || p.Error != "why" {
			t.Errorf("%s: %+v, %v", status, p, err)
		}
	}
	if err := a.Resize(ctx, "j", 5); fault.CodeOf(err) != fault.HostAgent {
		t.Error(err)
	}
	if _, err := a.Find(ctx, "1"); !errors.Is(err, follow.ErrUnknown) {
		t.Error(err)
	}
}

// Any code but the expected one is a failure that says nothing of a job, so that nothing is told to the chain.
func TestS76OtherCodes(t *testing.T) {
	m := newMock(t)
	a := m.agent(t, t.TempDir())
	ctx := t.Context()
	m.body = `{"job_id":"x","status":"Completed","vm_name":"n","vnc_port":1}`
	for _, m.code = range []int{200, 201, 204, 302, 400, 404, 409, 500, 503} {
		if _, err := a.Create(ctx, placement); fault.CodeOf(err) != fault.HostAgent || errors.Is(err, follow.ErrUnknown) {
			t.Errorf("create, %d: %v", m.code, err)
		}
	}
	for _, m.code = range []int{201, 202, 204, 302, 400, 404, 500} {
		_, status := a.Status(ctx, "j")
		_, vnc := a.VNC(ctx, "j")
		for _, err := range []error{status, vnc, a.Stop(ctx, "j"), a.Boot(ctx, "j"), a.Reboot(ctx, "j"), a.Delete(ctx, "j")} {
			if fault.CodeOf(err) != fault.HostAgent {
				t.Errorf("%d: %v", m.code, err)
			}
		}
	}
}

// What the agent may have done although its answer did not come is not known; what it never heard of was not done.
func TestS77Unreachable(t *testing.T) {
	m := newMock(t)
	a := m.agent(t, "")
	m.Close()
	if _, err := a.Create(t.Context(), placement); fault.CodeOf(err) != fault.HostAgent || errors.Is(err, follow.ErrUnknown) {
		t.Errorf("nobody listens: %v", err)
	}
	left := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-left }))
	defer silent.Close()
	defer close(left)
	slow, err := New(Config{URL: silent.URL, StartTimeout: 50 * time.Millisecond, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Create(t.Context(), placement); !errors.Is(err, follow.ErrUnknown) {
		t.Errorf("no answer: %v", err)
	}
	if err := slow.Stop(t.Context(), "j"); fault.CodeOf(err) != fault.HostAgent {
		t.Errorf("no answer: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	m := newMock(t)
	a := m.agent(t, "")
	for _, m.body = range []string{"", "no json", `{"job_id":5}`, `{}`, `{"job_id":"` + strings.Repeat("x", 200) + `"}`, `{"job_id":"x","y":"` + strings.Repeat("x", maxAnswer) + `"}`} {
		m.code = http.StatusAccepted
		if _, err := a.Create(t.Context(), placement); !errors.Is(err, follow.ErrUnknown) {
			t.Errorf("%.30q: %v", m.body, err)
		}
	}
	with := placement
	with.WithCloudInit = true
	if _, err := a.Create(t.Context(), with); fault.CodeOf(err) != fault.CallerConfig {
		t.Errorf("no directory: %v", err)
	}
	with.Request = "../x"
	if _, err := m.agent(t, t.TempDir()).Create(t.Context(), with); fault.CodeOf(err) != fault.CallerInvalid {
		t.Errorf("a number that is none: %v", err)
	}
	for _, job := range []string{"", ".", ".."} {
		if err := a.Stop(t.Context(), job); err == nil {
			t.Errorf("%q is a job", job)
		}
	}
	for _, u := range []string{"x", "ftp://x", "http://", "://"} {
		if _, err := New(Config{URL: u}); fault.CodeOf(err) != fault.CallerConfig {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(`{"job_id":"x"}`, 202)
	f.Add(`{"status":"Completed"}`, 200)
	var code int
	var text string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}))
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, body string, status int) {
		if text, code = body, status; status < 200 || status > 599 {
			code = 200
		}
		a, err := New(Config{URL: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		job, err := a.Create(t.Context(), placement)
		if err == nil && (job == "" || code != 202) {
			t.Errorf("%d %q: a job without a name, or by another code", code, body)
		}
		_, _ = a.Status(t.Context(), "j")
		_, _ = a.VNC(t.Context(), "j")
	})
}
