package webui

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/cmd/internal/webui/webtest"
)

// late has the page drawn long after it asked for a frame, as on a machine that is busy: keys come first.
func (b *tab) late() {
	b.t.Helper()
	b.do(`window.requestAnimationFrame = (f) => setTimeout(() => f(performance.now()), 700)`)
}

func (b *tab) rows(n int) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelectorAll('.space .row').length === %d`, n))
}

// TestChromiumFastTypist has no key wait for what the one before it has brought.
func TestChromiumFastTypist(t *testing.T) {
	browser := chromium(t)
	t.Run("the palette, a filter, a view", func(t *testing.T) {
		b := visit(t, browser, world(60), 1440, 900)
		b.late()
		b.keys(":guests", kb.Enter, "/cpu>80%", kb.Enter)
		b.rows(1)
		b.says(".row.cursor", "01jqspinner")
		b.keys(":actors", kb.Enter, "/kind=worker", kb.Enter)
		b.rows(8)
		if hash := value[string](b, `location.hash`); hash != "#/actors?q=kind%3Dworker" {
			t.Errorf("at %s", hash)
		}
		b.keys(":no such thing", kb.Enter)
		b.says(".palette", "nothing of this name")
		b.keys(kb.Escape, "2")
		b.says("h1", "Failures")
		b.rows(4)
	})
	t.Run("what a key is meant for", func(t *testing.T) {
		f := world(60)
		b := visit(t, browser, f, 1440, 900)
		b.goTo("#/actors?q=kind%3Dworker")
		b.rows(8)
		b.late()
		b.keys("/name that nothing has", kb.Enter, "K") // the rows of before are no longer meant
		b.says(".view", "Nothing matches")
		b.keys("/kind=worker", kb.Enter)
		b.rows(8)
		b.keys("j", "K", "it spins", kb.Enter)
		b.until(`document.activeElement.name === 'typed'`)
		b.keys("1", kb.Enter)
		if p := f.last(b); p.Targets[0].ID != "troupe/execute/worker-2" || p.Reason != "it spins" {
			t.Errorf("applied %+v", p)
		}
	})
	t.Run("what completes", func(t *testing.T) {
		b := visit(t, browser, world(60), 1440, 900)
		b.goTo("#/actors")
		b.until(`document.querySelectorAll('.space .row').length > 20`)
		b.late()
		b.keys("/sta", kb.Tab)
		b.until(`document.getElementById('query').value === 'state='`)
		b.keys("idle sta")
		b.until(`document.querySelector('.suggestions')`)
		b.keys(kb.ArrowDown, "x", kb.Enter) // what was typed last counts, not what was chosen before
		b.until(`location.hash.includes('stax')`)
		b.expect("400")
	})
	t.Run("an input is not written over", func(t *testing.T) {
		f := world(20)
		b := visit(t, browser, f, 1440, 900)
		redraw := func() {
			t.Helper()
			later[bool](b, `const store = await import('/js/store.js'); store.app.banner = 'something else'; store.show(); store.app.banner = ''; store.show(); return true;`)
		}
		b.goTo("#/trace")
		b.until(`document.querySelector('[name=actor]')`)
		b.do(`document.querySelector('[name=actor]').focus()`)
		b.keys("troupe/ex")
		redraw()
		b.keys("ecute", kb.Enter)
		b.until(`location.hash.endsWith('actor=troupe%2Fexecute')`)
		b.goTo("#/actors")
		b.rows(20)
		b.keys("/pa")
		redraw()
		b.keys("th~jobs", kb.Enter)
		b.rows(1)
		b.keys(":log-level", kb.Enter)
		b.until(`document.activeElement.name === 'level'`)
		b.keys("deb")
		redraw()
		b.keys("ug", kb.Tab, "90", kb.Enter)
		b.until(`document.activeElement.id === 'apply'`)
		b.keys(kb.Enter)
		b.says(".toast", "log-level: 1 done")
		f.mu.Lock()
		defer f.mu.Unlock()
		if w := f.wishes[0]; w.Args["level"] != "debug" || w.Args["for_us"] != "90000000" {
			t.Errorf("wished %+v", w)
		}
	})
}

// TestChromiumCursor: a row keeps the cursor and a mark wherever it goes, and what was marked as all is no longer meant once it is unmarked.
func TestChromiumCursor(t *testing.T) {
	browser := chromium(t)
	t.Run("rows that move", func(t *testing.T) {
		f := world(15)
		b := visit(t, browser, f, 1440, 900)
		b.goTo("#/actors?sort=-mailbox")
		b.rows(15)
		b.keys("j", "j", " ")
		b.until(`document.querySelector('#row-2.cursor.marked')`)
		who := value[string](b, `document.querySelector('.row.cursor .cell').innerText`)
		f.mu.Lock()
		for i := range f.actors {
			f.actors[i].Depth = 250 - f.actors[i].Depth
		}
		f.mu.Unlock()
		b.until(`document.querySelector('.row.cursor').id !== 'row-2'`)
		if now := value[string](b, `document.querySelector('.row.cursor .cell').innerText`); now != who {
			t.Errorf("the cursor was on %q and is on %q", who, now)
		}
		if now := value[string](b, `document.querySelector('.row.marked .cell').innerText`); now != who {
			t.Errorf("the mark was on %q and is on %q", who, now)
		}
	})
	t.Run("all that match, and then no more", func(t *testing.T) {
		f := world(60)
		b := visit(t, browser, f, 1440, 900)
		b.goTo("#/actors?q=kind%3Dworker")
		b.rows(8)
		b.keys("*", "*")
		b.says(".chosen", "all that match")
		b.keys(kb.Escape, " ")
		b.says(".chosen", "1 marked")
		b.keys("R")
		b.until(`document.activeElement.id === 'apply'`)
		b.keys(kb.Enter)
		if p := f.last(b); p.Selector != "" || p.Count != 1 {
			t.Errorf("applied %+v", p)
		}
	})
}

// TestChromiumKeyboard: the focus is never lost, Escape leads out of everything, and Tab to everything.
func TestChromiumKeyboard(t *testing.T) {
	browser := chromium(t)
	t.Run("dialogs", func(t *testing.T) {
		f := world(20)
		b := visit(t, browser, f, 1440, 900)
		b.goTo("#/actors?q=kind%3Dworker")
		b.rows(8)
		b.keys("/", kb.Enter)
		b.until(`document.activeElement.id === 'grid'`)
		for key, opened := range map[string]string{":": "document.activeElement.id === 'palette'", "?": "document.activeElement.id === 'close'", "K": "document.activeElement.name === 'reason'"} {
			b.keys(key)
			b.until(opened)
			for range 9 {
				b.keys(kb.Tab)
				if !value[bool](b, `!!document.activeElement.closest('.dialog, .palette')`) {
					t.Fatalf("%q: Tab leads out of the dialog", key)
				}
			}
			b.keys(kb.Escape)
			b.until(`!document.querySelector('.veil') && document.activeElement.id === 'grid'`)
		}
		b.expect("503")
		f.mu.Lock()
		f.refuse = fault.New(fault.BusyQueueFull, "plan", "", nil)
		f.mu.Unlock()
		b.keys("K", "first", kb.Enter)
		b.says("#dialog .problem", "busy.queue_full")
		b.until(`document.activeElement.name === 'reason'`)
		b.keys(" and second", kb.Enter)
		b.until(`document.activeElement.name === 'typed'`)
		b.says("#dialog", "first and second")
		b.keys(kb.Escape)
		b.until(`!document.querySelector('.veil') && document.activeElement.id === 'grid'`)
		// Escape leads out of each thing, one after the other.
		b.keys(" ", kb.Enter)
		b.until(`document.querySelector('#drawer') && document.querySelector('.chosen')`)
		b.keys("/sta", kb.Escape)
		b.until(`document.activeElement.id === 'grid' && document.getElementById('query').value === 'kind=worker'`)
		b.keys(kb.Escape)
		b.until(`!document.querySelector('#drawer') && document.querySelector('.chosen')`)
		b.keys(kb.Escape)
		b.until(`!document.querySelector('.chosen') && location.hash.includes('kind')`)
		b.keys(kb.Escape)
		b.until(`location.hash === '#/actors'`)
	})
	t.Run("a key that is held down confirms nothing", func(t *testing.T) {
		f := world(20)
		b := visit(t, browser, f, 1440, 900)
		b.goTo("#/failures")
		b.rows(4)
		b.keys("r")
		b.until(`document.activeElement.id === 'apply'`)
		b.do(`document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', repeat: true, bubbles: true, cancelable: true})) && document.activeElement.click()`)
		b.says("#dialog", "Targets")
		b.keys(kb.Escape)
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.applied) > 0 {
			t.Errorf("applied %+v", f.applied)
		}
	})
	t.Run("Tab", func(t *testing.T) {
		b := visit(t, browser, world(20), 1440, 900)
		for _, view := range []string{"overview", "queues", "workers", "apps", "trace", "chain", "compare", "actors"} {
			b.goTo("#/" + view)
			b.until(`document.querySelector('.view').innerText.length > 20`)
			if view == "actors" {
				b.rows(20)
				b.do(`document.getElementById('grid').focus()`)
				b.keys(" ", kb.Enter)
				b.until(`document.querySelector('#drawer .flights li') && document.querySelector('#explain')`)
			}
			b.do(`document.querySelector('.brand').focus()`)
			const stops = `[...document.querySelectorAll('#app a[href], #app button, #app input, #app select, #app [tabindex="0"], #app summary')].filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility())`
			n := value[int](b, stops+`.length`)
			b.do(`window.reached = new Set([document.querySelector('.brand')]), window.dull = new Set()`)
			for range n + 5 {
				b.run(webtest.Press(kb.Tab, 0))
				b.do(`((e) => { reached.add(e); const s = getComputedStyle(e); if (e !== document.body && (s.outlineStyle === 'none' || parseFloat(s.outlineWidth) < 1)) dull.add(e.outerHTML.slice(0, 120)); })(document.activeElement)`)
			}
			for _, e := range value[[]string](b, stops+`.filter((e) => !reached.has(e)).map((e) => e.outerHTML.slice(0, 160))`) {
				t.Errorf("%s: Tab does not reach %s", view, e)
			}
			for _, e := range value[[]string](b, `[...dull]`) {
				t.Errorf("%s: the focus cannot be seen on %s", view, e)
			}
		}
	})
	t.Run("what a drawer says is as new as the rest", func(t *testing.T) {
		f := world(20)
		b := visit(t, browser, f, 1440, 900)
		b.goTo("#/jobs?q=state%3Dqueued")
		b.rows(6)
		b.keys("w")
		b.says("#explain", "It waits for a worker")
		f.mu.Lock()
		f.news = "It waits for nothing any more."
		f.mu.Unlock()
		b.says("#explain", "for nothing any more")
	})
	t.Run("the rows of boards are what they are", func(t *testing.T) {
		f := world(20)
		b := visit(t, browser, f, 1440, 900)
		b.goTo("#/mailboxes")
		b.until(`document.querySelector('.heatmap li.cursor')`)
		b.keys(kb.Enter)
		b.says("#drawer", "Flight recorder")
		b.says("#drawer .actions", "restart")
		b.goTo("#/sandbox")
		b.until(`document.querySelector('.matrix .cursor')`)
		b.keys(kb.Enter)
		b.says("#drawer .actions", "recycle")
		b.goTo("#/overview")
		b.until(`document.querySelector('.feed .cursor')`)
		b.keys("r")
		b.until(`document.activeElement.id === 'apply'`)
		b.keys(kb.Enter)
		if p := f.last(b); p.Verb != "artifact.retry" {
			t.Errorf("applied %+v", p)
		}
	})
}

// A session that is over says so in each tab, and a host that is another one keeps its page.
func TestChromiumSession(t *testing.T) {
	browser := chromium(t)
	f := world(20)
	b := visit(t, browser, f, 1440, 900)
	ctx, cancel := chromedp.NewContext(b.ctx)
	t.Cleanup(cancel)
	second := &tab{t: t, ctx: ctx, c: b.c}
	second.run()
	second.run(chromedp.Navigate(b.c.origin() + "/#/jobs"))
	second.until(`document.querySelector('h1') && document.querySelector('h1').innerText === 'Jobs'`)
	second.until(`document.querySelectorAll('.space .row').length > 20`)
	b.goTo("#/actors")
	b.rows(20)
	b.expect("401")
	b.expect("ERR_INCOMPLETE_CHUNKED_ENCODING")
	b.expect("net::ERR")
	// Somebody else comes with the link: the session is closed, and each tab of it says so.
	if got := b.c.enter(b.c.token()); got != http.StatusForbidden {
		t.Errorf("a link that was used: %d", got)
	}
	b.until(`document.querySelector('.fatal')`)
	second.until(`document.querySelector('.fatal')`)
	b.says(".fatal", "troupe web")
}
