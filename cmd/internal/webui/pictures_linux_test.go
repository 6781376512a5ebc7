package webui

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const maxPicture = 150 << 10 // bytes: the documentation shows them

// TestPictures holds the pictures of the documentation to a size, and takes them with -update.
func TestPictures(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "testdata", "console")
	if *update {
		b := visit(t, chromium(t), world(60), 1280, 800)
		take := func(name string) {
			t.Helper()
			b.until(`!document.querySelector('.toast')`)
			img, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			if err == nil {
				err = os.MkdirAll(dir, 0o755)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name+".png"), img, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		b.do(`document.documentElement.dataset.theme = 'light'`)
		b.keys("+", "+") // for more samples
		b.until(`[...document.querySelectorAll('.tile polyline')].length === 3 && document.querySelector('.tile polyline').getAttribute('points').split(' ').length > 20`)
		take("web-overview")
		b.do(`document.documentElement.dataset.theme = 'dark'`)
		b.goTo("#/guests")
		b.until(`document.querySelectorAll('.space .row').length === 4`)
		b.cursorOn("01jqspinner")
		b.keys(kb.Enter)
		b.says(".stagelist", "waited for the preparation of its code")
		b.says("#explain", "its own code")
		take("web-story")
	}
	for _, name := range []string{"web-overview", "web-story"} {
		img, err := os.ReadFile(filepath.Join(dir, name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := png.DecodeConfig(bytes.NewReader(img))
		if err != nil || c.Width != 1280 || c.Height != 800 || len(img) > maxPicture {
			t.Errorf("%s: %dx%d, %d bytes, %v", name, c.Width, c.Height, len(img), err)
		}
	}
}
