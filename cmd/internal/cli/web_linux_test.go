package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/troupehost/troupe/cmd/internal/webui/webtest"
)

// webPage is a page of a real browser that shows a real host.
type webPage struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string
	expected []string
}

// webPatience is for what a loaded machine does late.
const webPatience = 60 * time.Second

// openPage opens a link in a headless Chromium. It is skipped loudly where there is none.
func openPage(t *testing.T, link string) *webPage {
	t.Helper()
	program := webtest.Find()
	if program == "" {
		t.Skip(webtest.Missing)
	}
	ctx, end, err := webtest.Start(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	p := &webPage{t: t, ctx: ctx}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(chromedp.Listen(ctx, p.hear))
	_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	must(err)
	_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	must(err)
	p.run(chromedp.EmulateViewport(1280, 800), chromedp.Navigate(link))
	p.until(`document.querySelector('.shell')`)
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, text := range p.problems {
			if !slices.ContainsFunc(p.expected, func(e string) bool { return strings.Contains(text, e) }) {
				t.Errorf("the page complains: %.500s", text)
			}
		}
	})
	return p
}

// hear keeps what should never be: errors and broken policy.
func (p *webPage) hear(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if ev.Type == "error" || ev.Type == "warning" {
			text, _ := json.Marshal(ev.Args)
			p.problems = append(p.problems, "console: "+string(text))
		}
	case *runtime.EventExceptionThrown:
		text, _ := json.Marshal(ev.ExceptionDetails)
		p.problems = append(p.problems, "exception: "+string(text))
	case *log.EventEntryAdded:
		if ev.Entry.Level == "error" || ev.Entry.Source == "security" {
			p.problems = append(p.problems, "log: "+ev.Entry.Text+" "+ev.Entry.URL)
		}
	}
}

// expect says that complaints with this text are no surprise.
func (p *webPage) expect(texts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, texts...)
}

func (p *webPage) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, webPatience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *webPage) keys(list ...string) {
	p.t.Helper()
	for _, k := range list {
		p.run(webtest.Press(k, 0))
	}
}

func (p *webPage) text(expression string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, webPatience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to be true.
func (p *webPage) until(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, webPatience+time.Second)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("!!("+expression+")", chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(webPatience))); err != nil {
		p.shoot("failed-" + p.t.Name())
		p.t.Fatalf("never: %s\n%v\n%v\n%s", expression, err, p.problems, p.text(`document.body.innerText.slice(0, 2500)`))
	}
}

// says waits for text within an element.
func (p *webPage) says(selector, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`[...document.querySelectorAll(%q)].some((e) => e.innerText.toLowerCase().includes(%q))`, selector, strings.ToLower(text)))
}

func (p *webPage) focus(test string) {
	p.t.Helper()
	p.until(`document.activeElement && (` + test + `)`)
}

// shoot keeps a picture as build output.
func (p *webPage) shoot(name string) {
	dir := filepath.Join("..", "..", "..", ".bin", "screens")
	ctx, cancel := context.WithTimeout(p.ctx, webPatience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Logf("no picture %s: %v", name, err)
	}
}

// goTo shows a view.
func (p *webPage) goTo(hash string) {
	p.t.Helper()
	view, _, _ := strings.Cut(hash, "?")
	p.text(fmt.Sprintf(`location.hash = %q`, hash))
	p.until(fmt.Sprintf(`location.hash === %q && (document.querySelector('nav [aria-current]') || {hash: ''}).hash === %q`, hash, view))
}

// hostProcess is a 'troupe serve' that can end and come back.
type hostProcess struct {
	t         *testing.T
	self, dir string
	serve     *exec.Cmd
}

func (h *hostProcess) start() {
	h.t.Helper()
	h.serve = exec.Command(h.self, "serve", "--data-dir", h.dir)
	logs, err := os.OpenFile(filepath.Join(filepath.Dir(h.dir), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer logs.Close()
	h.serve.Stdout, h.serve.Stderr = logs, logs
	if err := h.serve.Start(); err != nil {
		h.t.Fatal(err)
	}
	if out, err := exec.Command(h.self, "status", "--wait", "60s", "--data-dir", h.dir).CombinedOutput(); err != nil {
		h.t.Fatalf("the host does not come: %v\n%s", err, out)
	}
}

func (h *hostProcess) kill() {
	_ = h.serve.Process.Kill()
	_ = h.serve.Wait()
}

func newHostProcess(t *testing.T) *hostProcess {
	t.Helper()
	self, err := exec.LookPath("troupe") // the test binary, under the name by which it is the program
	if err != nil {
		t.Fatal(err)
	}
	h := &hostProcess{t: t, self: self, dir: filepath.Join(t.TempDir(), "d")}
	h.start()
	t.Cleanup(h.kill)
	return h
}

// webVerbProcess is a 'troupe web' of which the link was read.
type webVerbProcess struct {
	cmd  *exec.Cmd
	link string
	said *bufio.Reader
}

func (h *hostProcess) web(args ...string) *webVerbProcess {
	h.t.Helper()
	w := &webVerbProcess{cmd: exec.Command(h.self, append([]string{"web", "-o", "json", "--data-dir", h.dir}, args...)...)}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
	})
	w.said = bufio.NewReader(out)
	var l link
	if err := json.NewDecoder(w.said).Decode(&l); err != nil {
		h.t.Fatal(err)
	}
	if until := time.Until(l.Ends); until > linkLife+time.Second || until < linkLife/2 {
		h.t.Errorf("the link is good for %v", until)
	}
	w.link = l.URL
	return w
}

// TestWebAtARealHost does in a browser at a real host what an operator comes for.
func TestWebAtARealHost(t *testing.T) {
	if webtest.Find() == "" {
		t.Skip(webtest.Missing)
	}
	h := newHostProcess(t)
	g := guests(t)
	spinning := troupe(t, h.self, h.dir, "submit", "--cpu", "10m", filepath.Join(g, "loop.wasm"))
	web := h.web()
	p := openPage(t, web.link)

	p.goTo("#/guests")
	p.keys("/")
	p.focus(`document.activeElement.id === 'query'`)
	p.keys("stage=running cpu>100ms", kb.Enter)
	p.until(`document.querySelectorAll('.space .row').length === 1`)
	p.says(".row.cursor", "of 10m")
	troupe(t, h.self, h.dir, "queue", "pause", "execute", "--yes", "--reason", "a test")
	waiting := troupe(t, h.self, h.dir, "submit", "--cpu", "10m", filepath.Join(g, "loop.wasm"))
	troupe(t, h.self, h.dir, "artifact", "prepare", filepath.Join(g, "not-wasm.wasm"))
	p.keys("w")
	p.says("#drawer", "Where its time went")
	p.says(".stagelist", "running")
	p.says("#explain", "waits for nothing but its own code")
	p.shoot("live-guest")
	p.keys("t")
	p.says("h1", "Traces")
	p.until(`document.querySelectorAll('.wf').length > 1`)
	p.shoot("live-waterfall")
	p.keys("[")
	p.says("h1", "Guests")
	p.until(`document.querySelectorAll('.space .row').length === 1`)
	p.keys("K")
	p.focus(`document.activeElement.name === 'reason'`)
	p.says("#dialog", spinning[:8])
	p.keys("it spins", kb.Enter)
	p.focus(`document.activeElement.name === 'typed'`)
	p.until(`document.getElementById('apply').disabled`)
	p.shoot("live-cancel")
	p.keys("1", kb.Enter)
	p.says(".toast", "cancel: 1 done")
	p.until(`document.querySelectorAll('.space .row').length === 0`)
	if got := troupe(t, h.self, h.dir, "job", "show", spinning); !strings.Contains(got, "settled") {
		t.Errorf("the guest still spins:\n%s", got)
	}

	p.goTo("#/jobs?q=" + url.QueryEscape("state=queued"))
	p.until(`document.querySelectorAll('.space .row').length === 1`)
	p.keys("w")
	p.says("#explain", "paused")
	p.shoot("live-explain")
	p.keys("u")
	p.focus(`document.activeElement.name === 'reason' || document.activeElement.name === 'priority'`)
	p.keys(kb.Enter)
	p.focus(`document.activeElement.id === 'apply'`)
	p.keys(kb.Enter)
	p.says(".toast", "raise: 1 done")
	p.says(".row.cursor", "high")
	if got := troupe(t, h.self, h.dir, "job", "show", waiting); !strings.Contains(got, "high") {
		t.Errorf("the job was not raised:\n%s", got)
	}

	p.goTo("#/failures?q=" + url.QueryEscape("kind=artifact"))
	p.says(".row.cursor", "guest.not_wasm")
	p.keys("r")
	p.focus(`document.activeElement.id === 'apply'`)
	p.keys(kb.Enter)
	p.says(".toast", "retry:")
	p.goTo("#/audit")
	p.says(".space", "artifact.retry")
	p.says(".space", "it spins")

	p.goTo("#/queues?as=table")
	p.says(".space", "paused")
	// Each view is shown without complaint, and so is what is behind the rows of each.
	for _, v := range []string{"overview", "health", "tree", "actors", "mailboxes", "trace", "flow", "dead", "jobs", "guests", "queues?as=table", "workers?as=table", "sandbox", "artifacts", "apps", "log", "compare"} {
		p.goTo("#/" + v)
		p.until(`document.querySelector('.view').innerText.length > 20 && !document.querySelector('.view').innerText.includes('Asking')`)
		if wrong := p.text(`[...document.querySelectorAll('.view .problem')].map((e) => e.innerText).join('; ')`); wrong != "" {
			t.Errorf("%s: %s", v, wrong)
		}
		p.shoot("live-" + strings.TrimSuffix(v, "?as=table"))
		if p.text(`String(document.querySelectorAll('.space .row').length > 0 && !!document.querySelector('#grid'))`) != "true" {
			continue
		}
		p.keys(kb.Enter)
		p.until(`document.querySelector('#drawer') && !document.querySelector('#drawer').innerText.includes('Asking')`)
		if wrong := p.text(`[...document.querySelectorAll('#drawer .problem')].map((e) => e.innerText).join('; ')`); wrong != "" {
			t.Errorf("%s: behind a row: %s", v, wrong)
		}
		p.keys(kb.Escape)
	}

	// A host that dies and comes back: the last picture stays, dimmed, and then it is another boot.
	p.goTo("#/actors")
	p.until(`document.querySelectorAll('.space .row').length > 3`)
	p.expect("502", "ERR_INCOMPLETE_CHUNKED_ENCODING", "net::ERR")
	h.kill()
	p.until(`document.querySelector('.stale, .lost, .old')`)
	if p.text(`String(document.querySelectorAll('.space .row').length > 3)`) != "true" {
		t.Error("the last picture is gone")
	}
	p.shoot("live-lost")
	h.start()
	p.says(".banner", "another boot")
	p.until(`!document.querySelector('.stale, .lost, .old') && document.querySelectorAll('.space .row').length > 3`)
}

// enter uses the link as a page would, and returns the status.
func (w *webVerbProcess) enter(t *testing.T) int {
	t.Helper()
	base, secret, ok := strings.Cut(w.link, "/#link=")
	if !ok {
		t.Fatal("no link")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/enter", strings.NewReader(`{"link":"`+secret+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", base)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestWebVerb: a link works once, Ctrl-C ends the console, and so does a page that is left alone; a bundle is shown without a host.
func TestWebVerb(t *testing.T) {
	h := newHostProcess(t)
	web := h.web()
	if got := web.enter(t); got != http.StatusOK {
		t.Errorf("the first use: %d", got)
	}
	if got := web.enter(t); got != http.StatusForbidden {
		t.Errorf("the second use: %d", got)
	}

	web = h.web()
	if err := web.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := web.cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}

	web = h.web("--idle", "1s")
	if got := web.enter(t); got != http.StatusOK {
		t.Errorf("the first use: %d", got)
	}
	if err := web.cmd.Wait(); err != nil {
		t.Errorf("left alone: %v", err)
	}

	bundle := filepath.Join(t.TempDir(), "host.bundle")
	troupe(t, h.self, h.dir, "node", "snapshot", "--out", bundle)
	h.kill()
	p := openPage(t, h.web("--bundle", bundle).link)
	p.goTo("#/actors")
	p.until(`document.querySelectorAll('.space .row').length > 3`)
	p.keys("K", "R")
	p.until(`!document.querySelector('.dialog')`)
}
