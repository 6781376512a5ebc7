package webui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
)

//go:embed assets
var assets embed.FS

// assetTypes are the types of the files of the console; there are no others.
var assetTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

type asset struct {
	kind, tag string
	body      []byte
}

// assetFiles returns the files of the console by their pattern.
func assetFiles() map[string]asset {
	found := map[string]asset{}
	_ = fs.WalkDir(assets, "assets", func(name string, e fs.DirEntry, err error) error {
		kind, known := assetTypes[path.Ext(name)]
		if err != nil || e.IsDir() || !known {
			return err
		}
		body, err := assets.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		pattern := name[len("assets"):]
		if pattern == "/index.html" {
			pattern = "/{$}"
		}
		found[pattern] = asset{kind: kind, tag: `"` + hex.EncodeToString(sum[:8]) + `"`, body: body}
		return nil
	})
	return found
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache") // asked for each time, sent only if it is another one
	h.Set("ETag", a.tag)
	if r.Header.Get("If-None-Match") == a.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.kind)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(a.body)
}
