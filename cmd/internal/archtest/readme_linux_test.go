package archtest

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeCommands types every command of the README, except 'make test', which is what runs this test.
func TestReadmeCommands(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "XDG_DATA_HOME="+t.TempDir())
	ran := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllSubmatch(readme, -1) {
		for _, part := range strings.Split(string(block[1]), "$ ")[1:] {
			line, want, _ := strings.Cut(part, "\n")
			if line == "make test" {
				continue
			}
			ran++
			c := exec.Command("sh", "-c", line)
			c.Dir, c.Env = root(t), env
			var stderr bytes.Buffer
			c.Stderr = &stderr
			out, err := c.Output()
			if err != nil {
				t.Errorf("%s: %v\n%s", line, err, stderr.Bytes())
			}
			if want != "" && string(out) != want {
				t.Errorf("%s prints %q, the README says %q", line, out, want)
			}
			if line == "make run" && !bytes.HasSuffix(out, []byte("69732\n")) {
				t.Errorf("make run prints %q", out)
			}
		}
	}
	if ran < 5 {
		t.Errorf("only %d commands found", ran)
	}
}

// TestReadmeJobs types the commands for jobs, beside the serve that the README has started before.
func TestReadmeJobs(t *testing.T) {
	got, err := besideServe(t, 0)
	if err != nil || !bytes.HasPrefix(got, []byte("69732\n")) || !bytes.Contains(got, []byte("\n1\n")) {
		t.Errorf("the commands print %q, %v", got, err)
	}
}

// TestReadmeApps types those for apps, beside a serve for users.
func TestReadmeApps(t *testing.T) {
	got, err := besideServe(t, 1, "--app-listen", appsListen)
	if err != nil || !bytes.Contains(got, []byte("X-Guest: c-cgi\r\n\r\n")) || !bytes.Contains(got, []byte("PATH_INFO=/some/path\n")) || !bytes.HasSuffix(got, []byte("\nvalid\n")) {
		t.Errorf("the commands print %q, %v", got, err)
	}
}

// TestReadmeChain types those for a paid app, beside a serve that finds it.
func TestReadmeChain(t *testing.T) {
	got, err := besideServe(t, 2, "--block-time", "200ms", "--source", ".bin/hello")
	if err != nil {
		t.Errorf("the commands print %q, %v", got, err)
	}
	for _, want := range []string{"X-Guest: c-cgi", "\n1 report  block ", "\ncloses at block ", "\nproved: block ", " blocks executed again\n", "\nstate  "} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("the commands print %q, without %q", got, want)
		}
	}
}

// TestReadmeSee types those that look into a host.
func TestReadmeSee(t *testing.T) {
	got, err := besideServe(t, 3)
	if err != nil {
		t.Errorf("the commands print %q, %v", got, err)
	}
	for _, want := range []string{"\nWORKER ", "\nACTOR ", "\nSTAGE ", "it spins", "\nactors "} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("the commands print %q, without %q", got, want)
		}
	}
}

// TestReadmeConsoles compares the frame of the README with the one that the console is held to, and looks for its pictures.
func TestReadmeConsoles(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	frame, err := os.ReadFile(filepath.Join(root(t), "cmd/internal/tui/testdata/golden/tree-80x24.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(readme, append(append([]byte("```text\n"), frame...), "```"...)) {
		t.Error("the frame in the README is not that of cmd/internal/tui/testdata/golden/tree-80x24.txt: copy it")
	}
	pictures := regexp.MustCompile(`!\[[^\]]+\]\(([^)]+)\)`).FindAllSubmatch(readme, -1)
	if len(pictures) == 0 {
		t.Error("the README shows no picture of the web console")
	}
	for _, p := range pictures {
		b, err := os.ReadFile(filepath.Join(root(t), string(p[1])))
		if err != nil || !bytes.HasPrefix(b, []byte("\x89PNG")) {
			t.Errorf("%s is no picture: %v", p[1], err)
		}
	}
}

// appsListen is the address that the README names.
const appsListen = "127.0.0.1:8002"

// besideServe types the commands of a block of the README beside a serve, which listens for users at a port that is free.
func besideServe(t *testing.T, block int, args ...string) ([]byte, error) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(blocks) <= block {
		t.Fatal("no commands found")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	_ = l.Close()
	env := append(os.Environ(), "XDG_DATA_HOME="+t.TempDir())
	command := func(name string, args ...string) *exec.Cmd {
		for n := range args {
			args[n] = strings.ReplaceAll(args[n], appsListen, free)
		}
		c := exec.Command(name, args...)
		c.Dir, c.Env, c.Stderr = root(t), env, t.Output()
		return c
	}
	for _, before := range [][]string{{"make", "build"}, {".bin/troupe", "app", "build", "--out", ".bin/hello", "testdata/guests/hello.toml"}} {
		if err := command(before[0], before[1:]...).Run(); err != nil {
			t.Fatal(before, err)
		}
	}
	serve := command(".bin/troupe", append([]string{"serve"}, args...)...)
	out, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = serve.Process.Signal(os.Interrupt)
		if err := serve.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if first, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(first, "ready ") {
		t.Fatalf("serve prints %q, %v", first, err)
	}
	return command("sh", "-e", "-c", string(blocks[block][1])).Output()
}

// TestReadmeExample builds and runs the embedding example, which is the same text here and there.
func TestReadmeExample(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("testdata/embed/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(readme, append(append([]byte("```go\n"), code...), "```"...)) {
		t.Error("the example in the README is not the one that is tested: make testdata/embed/main.go the same")
	}
	dir := t.TempDir()
	exe := filepath.Join(dir, "embed")
	build := exec.Command("go", "build", "-o", exe, "./testdata/embed")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Symlink(filepath.Join(root(t), "testdata"), filepath.Join(dir, "testdata")); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil || string(out) != "ok 69732\n" {
		t.Errorf("the example prints %q, %v", out, err)
	}
}
