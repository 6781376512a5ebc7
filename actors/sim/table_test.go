package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTableIsPrintedIntoTheDocumentation(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.go")
	text := "// Package x.\n//\n//\tLamp  old\n//\told row\n//\n// After.\npackage x\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	lamp := NewTable("Lamp")
	lamp.Saw("on", "press", "off", "Dim", "Click")
	lamp.Saw("-", "build", "off")
	lamp.Saw("on", "press", "off", "Click")
	if err := lamp.CompareDoc(file, false); err == nil {
		t.Fatal("another table passed")
	}
	if err := lamp.CompareDoc(file, true); err != nil {
		t.Fatal(err)
	}
	if err := lamp.CompareDoc(file, false); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const want = "//\tLamp  Event  Next  Effects\n//\t-     build  off   -\n//\ton    press  off   Click Dim\n//\n// After."
	if !strings.Contains(string(b), want) {
		t.Fatalf("the file is\n%s\nwant in it\n%s", b, want)
	}
	if err := NewTable("Door").CompareDoc(file, true); err == nil {
		t.Fatal("a table without a place passed")
	}
}
