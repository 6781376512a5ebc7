package manifest_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/troupehost/troupe/artifacts/manifest"
)

// A description in TOML becomes a manifest, its blobs and its address; the same files give the same bytes anywhere.
func ExampleBuild() {
	dir, err := os.MkdirTemp("", "app")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{"app.wasm": "\x00asm\x01\x00\x00\x00", "words.txt": "hello world"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	description, err := manifest.ParseDescription([]byte(`
		wasm_code = "app.wasm"
		args = ["sha256-of-file:words.txt"]
		on_demand = true
		max_query_size = 65536
		label = "words"

		[terms]
		entry = "handler"
		query_timeout = "2s"
		limits = { memory_bytes = 16777216 }
		grants = { http = true, egress = ["*.example.org:443"] }
	`), true)
	if err != nil {
		log.Fatal(err)
	}
	built, err := manifest.Build(description, func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, path)) })
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("address ", built.Manifest.Address())
	fmt.Println("manifest", built.CID)
	for _, b := range built.Blobs {
		fmt.Println("blob    ", b.CID, b.Hash[:14])
	}
	// Output:
	// address  931737a33132ad26f23a5514bf5157fec2e7a3f1647b504aeb6d4c2452866479
	// manifest QmQwcgkxCdDqZiMZmZjARtaa9gNP5nrhqD4pWiXJXgVo5B
	// blob     QmbG6yVwujNGjWsvPEvmW6jJRBKxBEEm3tqKSSXUc6fvVJ sha256:93a44bb
	// blob     Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD sha256:b94d27b
}
