package webtest

import (
	"context"
	"os"
	"os/exec"
	"time"

	"github.com/chromedp/chromedp"
)

// Missing is what a test says that is skipped where Find finds nothing.
const Missing = "THERE IS NO CHROMIUM IN PATH: the web console is not tested in a browser"

// Find returns the program of a Chromium, "" if there is none.
func Find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	return ""
}

// parting is for a browser to end, and for its helpers to write no more.
const parting = 20 * time.Second

// Start starts a browser without a window. All that it writes is in one directory, and end leaves nothing of it.
func Start(program string) (browser context.Context, end func(), err error) {
	dir, err := os.MkdirTemp("", "webtest")
	if err != nil {
		return nil, nil, err
	}
	ctx, kill := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(program), chromedp.Env("TMPDIR="+dir), chromedp.UserDataDir(dir+"/profile"),
		chromedp.Flag("headless", "new"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("disable-default-apps", true),
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-backgrounding-occluded-windows", true), chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.WSURLReadTimeout(time.Minute))
	ctx, stop := chromedp.NewContext(ctx)
	end = func() {
		within, cancel := context.WithTimeout(ctx, parting)
		defer cancel()
		_ = chromedp.Cancel(within) // it closes what it has open, and takes away most of its files
		stop()
		kill()
		tick := time.NewTicker(20 * time.Millisecond) // its helpers end a little later
		defer tick.Stop()
		for late := time.After(parting); os.RemoveAll(dir) != nil; {
			select {
			case <-tick.C:
			case <-late:
				return
			}
		}
	}
	if err := chromedp.Do(ctx); err != nil {
		end()
		return nil, nil, err
	}
	return ctx, end, nil
}
