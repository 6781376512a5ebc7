package webui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"path"

	"github.com/troupehost/troupe/host/control/api"
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

// assetFiles returns the files of the console by their pattern. One that is read only has no verbs.
func assetFiles(readOnly bool) map[string]asset {
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
		pattern := name[len("assets"):]
		if pattern == "/index.html" {
			pattern = "/{$}"
		}
		found[pattern] = newAsset(kind, body)
		return nil
	})
	found["/verbs.json"] = verbs(readOnly)
	return found
}

// verbs is the table of what can be done, as the page needs it.
func verbs(readOnly bool) asset {
	type verb struct {
		Name   string    `json:"name"`
		Kind   string    `json:"kind"`
		Action string    `json:"action"`
		Right  api.Right `json:"right"`
		Key    string    `json:"key"`
		Danger bool      `json:"danger"`
		Effect string    `json:"effect"`
		Args   []string  `json:"args"`
	}
	list := []verb{}
	for _, v := range api.Verbs {
		if readOnly {
			break
		}
		list = append(list, verb{v.Name, v.Kind, v.Action, v.Right, v.Key, v.Danger, v.Effect, append([]string{}, v.Args...)})
	}
	body, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings and booleans
	}
	return newAsset(api.TypeJSON, body)
}

func newAsset(kind string, body []byte) asset {
	sum := sha256.Sum256(body)
	return asset{kind: kind, tag: `"` + hex.EncodeToString(sum[:8]) + `"`, body: body}
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
