package webui

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

// What could turn text into more than text, or lead elsewhere, is not part of the console.
func TestAssetsAreInert(t *testing.T) {
	never := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|DOMParser|createContextualFragment|setHTMLUnsafe|importScripts|javascript:|https?://|window\.open|style="|<script>|@import|url\(`)
	may := regexp.MustCompile(`http://www\.w3\.org/2000/svg|url\(#`)
	n := 0
	err := fs.WalkDir(assets, "assets", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		n++
		b, err := assets.ReadFile(name)
		if err != nil {
			return err
		}
		lines := strings.Split(string(b), "\n")
		if strings.HasSuffix(name, ".js") && len(lines) > 600 {
			t.Errorf("%s has %d lines: cut it at 600", name, len(lines))
		}
		if assetTypes[path.Ext(name)] == "" {
			t.Errorf("%s is of no type that is served", name)
		}
		for i, line := range lines {
			if m := never.FindString(may.ReplaceAllString(line, "")); m != "" {
				t.Errorf("%s:%d: %s", name, i+1, m)
			}
		}
		return nil
	})
	if err != nil || n < 10 {
		t.Errorf("%d files, %v", n, err)
	}
}

func TestAssetsAreServed(t *testing.T) {
	c := open(t, Options{})
	for path, want := range map[string]string{"/": "text/html; charset=utf-8", "/app.css": "text/css; charset=utf-8", "/js/main.js": "text/javascript; charset=utf-8", "/icon.svg": "image/svg+xml", "/verbs.json": "application/json", "/complete/actors?q=sta": "application/json"} {
		resp := c.do("GET", path, "", nil)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != want {
			t.Errorf("%s: %d, %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		if tag := resp.Header.Get("ETag"); tag != "" {
			if again := c.do("GET", path, "", func(r *http.Request) { r.Header.Set("If-None-Match", tag) }); again.StatusCode != http.StatusNotModified {
				t.Errorf("%s, once more: %d", path, again.StatusCode)
			}
		}
	}
	if got := c.do("GET", "/js/", "", nil).StatusCode; got != http.StatusNotFound {
		t.Errorf("a list of files: %d", got)
	}
}

// FuzzOnward holds that whatever a page asks for reaches the host under /v1/, by itself.
func FuzzOnward(f *testing.F) {
	for _, s := range []string{"/api/v1/me", "/api/v1/actor/a/%2e%2e/b", "/api/v1/actor/%2F%2Fx", "/api//v1", "/api/v1/actor/a%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if !strings.HasPrefix(target, "/api/v1/") || strings.ContainsAny(target, " \r\n") {
			return
		}
		defer func() { _ = recover() }() // NewRequest panics at what no server would have parsed
		out, err := onward(httptest.NewRequest("GET", target, nil))
		if err != nil {
			return
		}
		if !strings.HasPrefix(out.URL.Path, "/v1/") || strings.Contains(out.URL.Path, "/../") || !strings.HasPrefix(out.URL.RequestURI(), "/v1/") || out.URL.Host != "troupe" {
			t.Errorf("%q goes to %q", target, out.URL)
		}
	})
}
