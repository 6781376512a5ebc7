package webui

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
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

	"github.com/troupehost/troupe/cmd/internal/webui/webtest"
)

// shared is the one browser of all tests. It ends with the process.
var shared struct {
	once sync.Once
	ctx  context.Context
	end  func()
	err  error
}

// TestMain ends the browser after the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if shared.end != nil {
		shared.end()
	}
	os.Exit(code)
}

// chromium returns the browser in which each visit has a context of its own.
func chromium(t *testing.T) context.Context {
	t.Helper()
	program := webtest.Find()
	if program == "" {
		t.Skip(webtest.Missing)
	}
	shared.once.Do(func() { shared.ctx, shared.end, shared.err = webtest.Start(program) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.ctx
}

// tab is one page that shows the console of a fake.
type tab struct {
	t   *testing.T
	ctx context.Context
	c   *console

	mu       sync.Mutex
	problems []string
	strays   []string // requests to elsewhere
}

// patience is for a machine that does other things: nothing takes as long unless it never comes.
const patience = time.Minute

func visit(t *testing.T, browser context.Context, f *fake, width, height int64) *tab {
	t.Helper()
	return visitHost(t, browser, Options{Host: f.serve(t)}, width, height)
}

func visitHost(t *testing.T, browser context.Context, opts Options, width, height int64) *tab {
	t.Helper()
	c := open(t, opts)
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, c: c}
	b.run()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(chromedp.Listen(ctx, b.hear))
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	must(err)
	_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	must(err)
	b.run(chromedp.EmulateViewport(width, height), chromedp.Navigate(c.base))
	b.until(`document.querySelector('.shell')`)
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, p := range b.problems {
			t.Errorf("the page complains: %.500s", p)
		}
		for _, u := range b.strays {
			t.Errorf("a request to elsewhere: %.200s", u)
		}
		for _, n := range c.notices {
			if n.Kind == NoticePolicy {
				t.Errorf("the page broke its policy")
			}
		}
	})
	return b
}

// hear keeps what should never be: complaints, and requests to elsewhere.
func (b *tab) hear(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if ev.Type == "error" || ev.Type == "warning" {
			text, _ := json.Marshal(ev.Args)
			b.problems = append(b.problems, "console: "+string(text))
		}
	case *runtime.EventExceptionThrown:
		text, _ := json.Marshal(ev.ExceptionDetails)
		b.problems = append(b.problems, "exception: "+string(text))
	case *log.EventEntryAdded:
		if ev.Entry.Level == "error" || ev.Entry.Source == "security" {
			b.problems = append(b.problems, "log: "+ev.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		if u := ev.Request.URL; !strings.HasPrefix(u, b.c.origin()) && !strings.HasPrefix(u, "blob:"+b.c.origin()) {
			b.strays = append(b.strays, u)
		}
	}
}

// expect says that a complaint with this text is no surprise.
func (b *tab) expect(text string) {
	b.t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = slices.DeleteFunc(b.problems, func(p string) bool { return strings.Contains(p, text) })
	})
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.ctx, context.CancelFunc(func() {})
	if len(actions) > 0 { // the first call begins the tab, which would end with a shorter context
		ctx, cancel = context.WithTimeout(b.ctx, patience)
	}
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// keys types into the page, as a person would.
func (b *tab) keys(list ...string) {
	b.t.Helper()
	for _, k := range list {
		b.run(webtest.Press(k, 0))
	}
}

// do evaluates an expression.
func (b *tab) do(expression string) {
	b.t.Helper()
	value[any](b, expression+", 0")
}

func value[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// later evaluates a promise: the body of an asynchronous function, which has a way to wait for what there is in the end.
func later[T any](b *tab, body string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 3*patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](`(async () => {
	const frame = () => new Promise(requestAnimationFrame);
	const until = async (what, f) => { for (const end = performance.now() + 60000; !f(); await new Promise((r) => setTimeout(r, 5))) if (performance.now() > end) throw new Error('never: ' + what); };
	`+body+` })()`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", body, err)
	}
	return v
}

// until waits for an expression to be true.
func (b *tab) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience+time.Second)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool]("!!("+expression+")", chromedp.WithPollingInterval(30*time.Millisecond), chromedp.WithPollingTimeout(patience)))
	if err != nil {
		b.picture("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
		text := value[string](b, `document.body.innerText.slice(0, 1500)`)
		b.t.Fatalf("never: %s\n%v\n%v\n%s", expression, err, b.problems, text)
	}
}

// says waits for text within an element.
func (b *tab) says(selector, text string) {
	b.t.Helper()
	s, _ := json.Marshal(selector)
	x, _ := json.Marshal(text)
	b.until(fmt.Sprintf(`[...document.querySelectorAll(%s)].some((e) => e.innerText.toLowerCase().includes(%s.toLowerCase()))`, s, x))
}

// goTo shows a view.
func (b *tab) goTo(hash string) {
	b.t.Helper()
	h, _ := json.Marshal(hash)
	b.do(fmt.Sprintf(`location.hash = %s`, h))
	view, _, _ := strings.Cut(hash, "?")
	b.until(fmt.Sprintf(`location.hash === %s && (document.querySelector('nav [aria-current]') || {hash: ''}).hash === %q`, h, view))
}

// screens has pictures kept of all that is shown, which takes half of the time of the tests.
var screens = flag.Bool("screens", false, "keep pictures of each view in .bin/screens, in both themes")

// shoot keeps a picture as build output, on demand.
func (b *tab) shoot(name string) {
	if *screens {
		b.picture(name)
	}
}

func (b *tab) picture(name string) {
	dir := filepath.Join("..", "..", "..", ".bin", "screens")
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Logf("no picture %s: %v", name, err)
	}
}

var allViews = []string{"overview", "failures", "health", "tree", "actors", "mailboxes", "trace", "flow", "dead", "jobs", "guests", "queues", "workers", "sandbox", "artifacts", "apps", "chain", "log", "audit", "compare"}

// darkViews are looked at in the dark, too: each way in which words stand on something is in one of them.
var darkViews = []string{"overview", "failures", "actors", "trace", "jobs", "queues", "workers", "sandbox", "artifacts", "chain"}

func TestChromiumEveryView(t *testing.T) {
	browser := chromium(t)
	f := world(120)
	n := 0
	f.moves = func() {
		n++
		for i := range f.actors {
			if i%5 == 3 {
				f.actors[i].Depth = (n*7 + i*3) % 250
			}
		}
		f.queues[1].Parked["normal"] = 20 + n%30
	}
	b := visit(t, browser, f, 1440, 900)
	for _, theme := range []string{"light", "dark"} {
		b.do(fmt.Sprintf(`document.documentElement.dataset.theme = %q`, theme))
		for _, v := range allViews {
			if theme == "dark" && !*screens && !slices.Contains(darkViews, v) {
				continue
			}
			hash := "#/" + v
			if v == "trace" {
				hash += "?cause=" + cause
			}
			b.goTo(hash)
			b.until(`document.querySelector('.view').innerText.length > 20 && !document.querySelector('.view').innerText.includes('Asking')`)
			if v == "flow" && theme == "light" {
				b.do(`document.querySelector('.bar-row .primary').click()`)
				b.until(`document.querySelector('.graph')`)
			}
			if v == "mailboxes" && theme == "light" {
				b.until(`document.querySelector('canvas.heat')`)
			}
			b.shoot(v + "-" + theme)
			b.readable(v + ", " + theme)
		}
	}
	testCommands(t, b)
	// Each column can be sorted by: the server knows its name.
	for _, wrong := range later[[]string](b, `
	const heads = () => [...document.querySelectorAll('.head .sort')];
	const wrong = [];
	for (const v of ['actors', 'jobs', 'guests', 'failures', 'dead', 'artifacts', 'apps', 'health', 'log', 'audit', 'queues', 'workers']) {
		location.hash = '#/' + v + '?as=table';
		await until(v, () => document.querySelector('nav [aria-current]').hash === '#/' + v && heads().length > 3);
		for (let i = 0; i < heads().length; i++) {
			heads()[i].click();
			await until(v + ', column ' + i, () => heads()[i].parentElement.ariaSort === 'descending' && document.querySelector('.space .row, .problem, .empty'));
			for (const e of document.querySelectorAll('.problem')) wrong.push(v + ', column ' + i + ': ' + e.innerText);
		}
	}
	return wrong;`) {
		t.Error(wrong)
	}
}
