package webui

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/cmd/internal/webui/webtest"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle"
	"github.com/troupehost/troupe/host/control/bundle/bundletest"
	"github.com/troupehost/troupe/host/control/client"
	"github.com/troupehost/troupe/testdata/hostile"
)

// last waits for a plan to be applied, and returns it.
func (f *fake) last(b *tab) api.Plan {
	b.t.Helper()
	var p api.Plan
	eventually(b.t, "nothing was applied", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.applied) > 0 {
			p = f.applied[len(f.applied)-1]
		}
		return len(f.applied) > 0
	})
	return p
}

// eventually asks until it is so.
func eventually(t *testing.T, never string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	give := time.After(patience)
	for !so() {
		select {
		case <-tick.C:
		case <-give:
			t.Fatal(never)
		}
	}
}

// cursorOn moves down until the row of this text is under the cursor.
func (b *tab) cursorOn(text string) {
	b.t.Helper()
	for range 100 {
		if value[bool](b, fmt.Sprintf(`((document.querySelector('.row.cursor') || {}).innerText || '').includes(%q)`, text)) {
			return
		}
		before := value[string](b, `(document.querySelector('.row.cursor') || {id: ''}).id`)
		b.keys("j")
		b.until(fmt.Sprintf(`(document.querySelector('.row.cursor') || {id: ''}).id !== %q`, before))
	}
	b.t.Fatalf("no row with %q", text)
}

// TestChromiumStories does with the keyboard alone what an operator comes for.
func TestChromiumStories(t *testing.T) {
	browser := chromium(t)
	t.Run("find a guest that spins, see its waterfall, kill its worker", func(t *testing.T) {
		f := world(60)
		b := visit(t, browser, f, 1440, 900)
		b.keys(":")
		b.until(`document.activeElement.id === 'palette'`)
		b.keys("guests", kb.Enter)
		b.says("h1", "Guests")
		b.until(`document.querySelectorAll('.space .row').length === 4`)
		b.keys("/")
		b.until(`document.activeElement.id === 'query'`)
		b.keys("cpu>8")
		b.keys("0%", kb.Enter)
		b.until(`document.querySelectorAll('.space .row').length === 1 && location.hash.includes('q=cpu')`)
		b.says(".row.cursor", "01jqspinner")
		b.keys(kb.Enter)
		b.says("#drawer", "Where its time went")
		b.says(".stagelist", "waited for the preparation of its code")
		b.shoot("story-guest")
		b.keys("t")
		b.says("h1", "Traces")
		b.until(`document.querySelectorAll('.wf').length === 9`)
		b.keys("[")
		b.says("h1", "Guests")
		b.keys(":")
		b.until(`document.activeElement.id === 'palette'`)
		b.keys("actors", kb.Enter)
		b.says("h1", "Actors")
		b.cursorOn("worker-1")
		b.keys("K")
		b.until(`document.activeElement.name === 'reason'`)
		b.keys("it spins", kb.Enter)
		b.until(`document.activeElement.name === 'typed'`)
		b.says("#dialog", "1 job or run")
		if !value[bool](b, `document.getElementById('apply').disabled`) {
			t.Error("what is dangerous needs no number")
		}
		b.shoot("story-kill")
		b.keys("1", kb.Enter)
		p := f.last(b)
		if p.Verb != "actor.kill" || p.Reason != "it spins" || p.Targets[0].ID != "troupe/execute/worker-1" || p.Targets[0].Generation != 3 {
			t.Errorf("applied %+v", p)
		}
		b.says(".toast", "kill: 1 done")
		b.says(".row", "starting")
	})
	t.Run("raise a job that waits", func(t *testing.T) {
		f := world(20)
		b := visit(t, browser, f, 1440, 900)
		b.goTo("#/jobs?q=state%3Dqueued")
		b.until(`document.querySelectorAll('.space .row').length === 6`)
		b.cursorOn("01jqwaiting")
		b.keys("w")
		b.says("#explain", "It waits for a worker")
		b.says("#explain", "worker-1 runs a guest that has used 11.4 s of 12 s CPU")
		b.shoot("story-explain")
		b.keys("u")
		b.until(`document.querySelector('#dialog [name=reason]') === document.activeElement`)
		b.keys(kb.Enter)
		b.until(`document.activeElement.id === 'apply'`)
		b.keys(kb.Enter)
		if p := f.last(b); p.Verb != "job.raise" || p.Targets[0].ID != "01jqwaiting" {
			t.Errorf("applied %+v", p)
		}
		b.says(".row.cursor", "high")
	})
	t.Run("retry a preparation that has failed", func(t *testing.T) {
		f := world(20)
		b := visit(t, browser, f, 1440, 900)
		b.keys("2")
		b.says("h1", "Failures")
		b.until(`document.querySelectorAll('.space .row').length === 4`)
		b.says(".row.cursor", "suspect.worker_died")
		b.keys("r")
		b.until(`document.activeElement.id === 'apply'`)
		b.keys(kb.Enter)
		if p := f.last(b); p.Verb != "artifact.retry" || p.Targets[0].ID != f.arts[2].Key {
			t.Errorf("applied %+v", p)
		}
		b.until(`document.querySelectorAll('.space .row').length === 3`)
	})
	t.Run("mark several and all that match", func(t *testing.T) {
		f := world(60)
		b := visit(t, browser, f, 1440, 900)
		b.goTo("#/actors?q=kind%3Dworker")
		b.until(`document.querySelectorAll('.space .row').length === 8`)
		b.keys(" ", "j", "j")
		b.run(webtest.Press(" ", chromedp.ModifierShift))
		b.says(".chosen", "3 marked")
		b.keys("*", "*")
		b.says(".chosen", "all that match")
		b.keys("R")
		b.until(`document.activeElement.name === 'reason'`)
		b.keys("new limits", kb.Enter)
		b.until(`document.activeElement.id === 'apply'`)
		b.says("#dialog", "Targets")
		b.shoot("story-bulk")
		b.keys(kb.Enter)
		if p := f.last(b); p.Selector != "kind=worker" || p.Count != 8 {
			t.Errorf("applied %+v", p)
		}
	})
	t.Run("a filter that is wrong says where", func(t *testing.T) {
		b := visit(t, browser, world(20), 1440, 900)
		b.expect("400")
		b.goTo("#/actors")
		b.until(`document.getElementById('query')`)
		b.keys("/")
		b.until(`document.activeElement.id === 'query'`)
		b.keys("sta")
		b.says(".suggestions", "state=")
		b.keys("te=idle colour=red", kb.Enter)
		b.says(".querybar .problem", "▸colour=red")
		b.shoot("story-wrong-filter")
	})
	t.Run("who may only look is offered nothing else", func(t *testing.T) {
		f := world(20)
		f.rights = []api.Right{api.View}
		b := visit(t, browser, f, 1440, 900)
		b.goTo("#/actors")
		b.until(`document.querySelectorAll('.space .row').length === 20`)
		b.keys(kb.Enter)
		b.says("#drawer", "Flight recorder")
		b.keys("K", "R", "P", "u", "D", "x")
		if value[bool](b, `!!document.querySelector('.actions, .dialog, .risky')`) {
			t.Error("a caller who may look is offered more")
		}
		b.keys("?")
		b.says(".help", "change nothing")
		b.keys(kb.Escape)
		b.until(`!document.querySelector('.help')`)
	})
	t.Run("a host that goes and comes back as another", func(t *testing.T) {
		f := world(20)
		b := visit(t, browser, f, 1440, 900)
		b.goTo("#/actors")
		b.until(`document.querySelectorAll('.space .row').length === 20`)
		f.mu.Lock()
		f.boot = "another0boot"
		f.mu.Unlock()
		b.says(".banner", "another boot")
		b.keys("f")
		b.says("#pause", "Go on")
		b.until(`document.querySelector('.fresh').innerText.includes('paused')`)
		f.quiet(t)
		b.keys("f")
		b.says("#pause", "Freeze")
		b.until(`document.querySelectorAll('.space .row').length === 20`)
		// The session is closed: nothing more comes, and the page says so.
		b.expect("401")
		b.do(`fetch('/leave', {method: 'POST', headers: {'Troupe-Console': localStorage['troupe.key']}})`)
		b.says(".banner", "the console's server is gone")
		b.expect("ERR_CONNECTION_REFUSED")
		b.expect("ERR_INCOMPLETE_CHUNKED_ENCODING")
		b.expect("net::ERR")
	})
}

// quiet waits until nobody watches.
func (f *fake) quiet(t *testing.T) {
	t.Helper()
	eventually(t, "a display that stands still watches the host", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		n := 0
		for _, k := range f.watching {
			n += k
		}
		return n == 0
	})
}

func TestChromiumManyRows(t *testing.T) {
	browser := chromium(t)
	for _, n := range []int{1000, 10_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			worst, filter := manyRows(t, browser, n, 5)
			t.Logf("%d rows: a scroll takes %.1f ms of CPU; two frames of it %.0f ms, at most %.0f; a filter %v", n, worst.CPU, worst.Median, worst.Worst, filter)
		})
	}
}

// frames says how long frames took in which rows were scrolled, in milliseconds: from the scroll to the begin of the frame after the one
// that shows it, so two frames where nothing is slow.
type frames struct {
	Median, Worst float64
	CPU           float64 // of the page for each scroll, whatever else the machine does
	Blank         int     // frames that came without the rows that they should show
}

// spent is the CPU time that the page has used to draw and for all else, in milliseconds.
func (b *tab) spent() float64 {
	b.t.Helper()
	got, err := chromedp.Call(b.ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range got.Metrics {
		if m.Name == "TaskDuration" {
			return m.Value * 1000
		}
	}
	b.t.Fatal("the browser does not say what a page has used")
	return 0
}

// manyRows scrolls, jumps and filters. filter is the time from the first key of a filter to its rows.
func manyRows(t *testing.T, browser context.Context, n, scrolls int) (worst frames, filter time.Duration) {
	t.Helper()
	b := visit(t, browser, world(n), 1440, 900)
	if _, err := chromedp.Call(b.ctx, performance.Enable, performance.EnableParams{TimeDomain: "threadTicks"}); err != nil {
		t.Fatal(err)
	}
	for _, view := range []string{"actors", "tree"} {
		b.goTo("#/" + view)
		b.until(fmt.Sprintf(`document.querySelector('#grid') && document.querySelector('#grid').ariaRowCount === '%d'`, n+1))
		if rows := value[int](b, `document.querySelectorAll('.space .row').length`); rows > 100 {
			t.Errorf("%d rows of %s are part of the page", rows, view)
		}
		before := b.spent()
		f := later[frames](b, `
		const g = document.getElementById('grid');
		const took = [], scrolls = `+fmt.Sprint(scrolls)+`;
		let blank = 0;
		for (let i = 1; i <= scrolls; i++) {
			await frame();
			const begun = performance.now();
			g.scrollTop = (g.scrollHeight - g.clientHeight) * ((i * 17) % 41) / 40;
			await frame();
			await frame();
			took.push(performance.now() - begun);
			if (!document.getElementById('row-' + Math.floor(g.scrollTop / 32))) blank++;
		}
		took.sort((a, b) => a - b);
		return { Median: took[scrolls / 2], Worst: took[scrolls - 1], Blank: blank };`)
		if f.Blank > 0 {
			t.Errorf("%s: %d of %d scrolls showed nothing", view, f.Blank, scrolls)
		}
		f.CPU = (b.spent() - before) / float64(scrolls)
		worst.Median, worst.Worst, worst.CPU = max(worst.Median, f.Median), max(worst.Worst, f.Worst), max(worst.CPU, f.CPU)
		b.keys("G")
		b.until(fmt.Sprintf(`document.getElementById('row-%d')`, n-1))
		b.keys("g")
		b.until(`document.getElementById('row-0')`)
	}
	b.goTo("#/actors")
	b.until(fmt.Sprintf(`document.querySelector('#grid') && document.querySelector('#grid').ariaRowCount === '%d'`, n+1))
	start := time.Now()
	b.keys("/")
	b.until(`document.activeElement.id === 'query'`)
	b.keys("path~execute", kb.Enter)
	b.until(`(document.querySelector('#grid') || {}).ariaRowCount === '10'`)
	return worst, time.Since(start)
}

// TestChromiumHostileText shows the whole corpus in each place where a guest has a word.
func TestChromiumHostileText(t *testing.T) {
	browser := chromium(t)
	f := world(20)
	now := time.Now()
	for i, c := range hostile.Cases() {
		text := c.Text[:min(len(c.Text), 4000)]
		f.failing = append(f.failing, api.Failing{ID: fmt.Sprintf("x%d", i), Kind: text, Blame: text, Code: text, Message: text, At: now, Retryable: true, Tenant: text})
		f.apps = append(f.apps, inspect.App{Address: hash(c.Name), Label: text, State: text, Reason: text, Tenant: text, Deployed: now})
		f.log = append([]inspect.LogLine{{Seq: uint64(1000 + i), At: now, Level: text, Code: text, Message: text, Fields: map[string]any{text: text}}}, f.log...)
		f.actors = append(f.actors, inspect.Actor{Path: "troupe/apps/" + text, Kind: text, State: text, Handling: text, LastFault: text, At: now, Depth: 3, Cap: 4})
		f.dead = append(f.dead, inspect.Letter{ID: fmt.Sprintf("y%d", i), At: now, Actor: text, Type: text, Lane: text, Code: text, Reason: text})
		f.health = append(f.health, inspect.Health{Code: fmt.Sprintf("%d", i) + text, Level: text, Message: text, Hint: text, Since: now})
		f.workers = append(f.workers, inspect.Worker{ID: fmt.Sprintf("%d", i) + text, Kind: text, State: text, Tenant: text, Job: text, Recycle: text, Sandbox: text, Defences: []inspect.Layer{{Name: text, Why: text, Hint: text}}})
	}
	f.chain.Chain.LastError = f.failing[len(f.failing)-1].Message
	b := visit(t, browser, f, 1280, 800)
	allowed := strings.Fields("a div nav h1 h2 h3 ul li ol header main span b i small button input label p section aside time table thead tbody tr th td dl dt dd svg polyline polygon line text circle path title kbd code figure figcaption strong canvas select option noscript s summary details defs marker em")
	b.do(`window.allowed = new Set(` + fmt.Sprintf("%q", strings.Join(allowed, " ")) + `.split(' '))`)
	b.do(`window.odd = () => {
		const all = [...document.querySelectorAll('body *')];
		const wrong = all.filter((e) => !allowed.has(e.localName)).map((e) => 'element ' + e.localName);
		wrong.push(...all.flatMap((e) => [...e.attributes].map((a) => a.name)).filter((n) => n.startsWith('on') || n === 'src' || n === 'srcdoc').map((n) => 'attribute ' + n));
		if (document.documentElement.scrollWidth > 1280) wrong.push('the page is ' + document.documentElement.scrollWidth + ' wide');
		return [...new Set(wrong)];
	}`)
	for _, v := range []string{"overview", "failures", "health", "tree", "actors", "mailboxes", "dead", "workers", "sandbox", "apps", "log", "chain"} {
		b.goTo("#/" + v)
		b.until(`document.querySelector('.view').innerText.length > 200`)
		wrong := later[[]string](b, `
		const g = document.querySelector('#grid') || document.querySelector('.page');
		const wrong = [];
		for (const at of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
			g.scrollTop = g.scrollHeight * at;
			await frame();
			await frame();
			wrong.push(...odd(), ...[...document.querySelectorAll('.space .row')].filter((r) => r.getBoundingClientRect().height > 40 || r.scrollHeight > 44).map((r) => 'a row that is taller than rows: ' + r.innerText.slice(0, 80)));
			window.shown = (at ? window.shown : []).concat([...document.querySelectorAll('main *, #drawer *')].flatMap((e) => [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.nodeValue).concat(e.title || [])));
		}
		return wrong;`)
		for _, w := range wrong {
			t.Errorf("%s: %s", v, w)
		}
		for _, line := range value[[]string](b, `[...new Set(window.shown.join('\n').split('\n'))]`) {
			if err := hostile.Inert(line, 6000); err != nil {
				t.Errorf("%s: %q: %v", v, line[:min(len(line), 120)], err)
				break
			}
		}
	}
	b.goTo("#/failures")
	b.until(`document.querySelectorAll('.space .row').length > 10`)
	b.keys("G", kb.Enter)
	b.says("#drawer", "All fields")
	b.shoot("hostile")
	b.keys(kb.Escape)

	// A dialog names what it is about, and a toast what became of it.
	b.goTo("#/actors")
	b.until(`document.querySelectorAll('.space .row').length > 10`)
	b.keys("G")
	b.until(`document.querySelector('.row.cursor')`)
	b.keys("R")
	b.until(`document.querySelector('#dialog #apply, #dialog .problem')`)
	inert := func(where, text string, wrong []string) {
		t.Helper()
		for _, w := range wrong {
			t.Errorf("%s: %s", where, w)
		}
		for line := range strings.Lines(text) {
			if err := hostile.Inert(strings.TrimSuffix(line, "\n"), 6000); err != nil {
				t.Errorf("%s: %q: %v", where, line[:min(len(line), 120)], err)
			}
		}
	}
	inert("a dialog", value[string](b, `document.getElementById('dialog').innerText`), value[[]string](b, `odd()`))
	b.shoot("hostile-dialog")
	b.keys(kb.Escape)
	b.until(`!document.querySelector('#dialog')`)
	var texts []string
	for _, c := range hostile.Cases() {
		texts = append(texts, c.Text[:min(len(c.Text), 4000)])
	}
	all, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	type said struct {
		Text string
		Odd  []string
	}
	toasts := later[[]said](b, `
	const store = await import('/js/store.js');
	return `+string(all)+`.map((text) => { store.toast(text); store.show(); return { Text: [...document.querySelectorAll('.toast')].at(-1).innerText, Odd: odd() }; });`)
	if len(toasts) != len(texts) {
		t.Errorf("%d toasts of %d", len(toasts), len(texts))
	}
	for _, x := range toasts {
		inert("a toast", x.Text, x.Odd)
	}
}

// TestChromiumBundle shows what a host showed before, by the server that a live host has: both sides speak of the same things.
func TestChromiumBundle(t *testing.T) {
	listener, dial := control.Pair()
	server := control.New(bundle.Host(bundletest.Rich(60)), control.Options{Version: "v1.0.0", Log: zerolog.Nop()})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	b := visitHost(t, chromium(t), Options{Host: client.Over(dial).Transport(), ReadOnly: true}, 1440, 900)
	b.expect("404") // not all is in a bundle, and the page says so
	for _, v := range allViews {
		b.goTo("#/" + v)
		b.until(`document.querySelector('.view').innerText.length > 20 && !document.querySelector('.view').innerText.includes('Asking')`)
		if wrong := value[string](b, `[...document.querySelectorAll('.problem')].map((e) => e.innerText).join('; ')`); wrong != "" && v != "chain" {
			t.Errorf("%s: %s", v, wrong)
		}
		b.shoot("bundle-" + v)
	}
	if got := value[int](b, `fetch('/api/v1/plans', {method: 'POST', headers: {'Troupe-Console': localStorage['troupe.key'], 'Content-Type': 'application/json'}, body: '{}'}).then((r) => window.got = r.status), 0`); got != 0 {
		t.Fatal(got)
	}
	b.until(`window.got === 404`)
	for _, v := range []string{"actors", "jobs", "artifacts", "apps", "workers?as=table", "queues?as=table", "failures", "dead"} {
		b.goTo("#/" + v)
		b.until(`document.querySelectorAll('.space .row').length > 0`)
		b.keys(kb.Enter)
		b.says("#drawer", "All fields")
		b.until(`!document.querySelector('#drawer').innerText.includes('Asking')`)
		if wrong := value[string](b, `[...document.querySelectorAll('#drawer .problem')].map((e) => e.innerText).join('; ')`); wrong != "" {
			t.Errorf("%s: %s", v, wrong)
		}
		if value[bool](b, `!!document.querySelector('.actions')`) {
			t.Errorf("%s: a bundle is offered to be changed", v)
		}
		b.keys(kb.Escape)
	}
}

// TestChromiumNarrow is for a phone.
func TestChromiumNarrow(t *testing.T) {
	b := visit(t, chromium(t), world(60), 400, 800)
	for _, v := range allViews {
		b.goTo("#/" + v)
		b.until(`document.querySelector('.view').innerText.length > 20`)
		if wide := value[int](b, `document.documentElement.scrollWidth`); wide > 400 {
			t.Errorf("%s is %d wide", v, wide)
		}
		if wide := value[int](b, `(document.querySelector('#grid') || {scrollWidth: 0}).scrollWidth`); wide > 400 {
			t.Errorf("the table of %s is %d wide", v, wide)
		}
		if !value[bool](b, `((r) => r.left > -1 && r.right < 401)(document.querySelector('nav [aria-current]').getBoundingClientRect())`) {
			t.Errorf("%s is not in sight of the rail", v)
		}
		b.shoot("narrow-" + v)
	}
	if over := value[string](b, `[...document.querySelectorAll('.bar-top > *')].map((e) => [e, e.getBoundingClientRect()]).filter(([, r]) => r.width > 0).filter(([e, r], i, all) => i > 0 && (r.left < all[i - 1][1].right - 9 || e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0) || r.right > 401).map(([e]) => e.innerText).join('; ')`); over != "" {
		t.Errorf("the bar at the top does not fit: %s", over)
	}
	b.goTo("#/actors")
	b.until(`document.querySelectorAll('.space .row').length > 3`)
	b.keys(kb.Enter)
	b.says("#drawer", "Flight recorder")
	b.shoot("narrow-drawer")
}
