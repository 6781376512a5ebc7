package abi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Module names.
const (
	WASI = "wasi_snapshot_preview1"
	Env  = "env"
)

// Names of the allocator functions of the PVF manner.
const (
	Malloc = "ext_allocator_malloc_version_1"
	Free   = "ext_allocator_free_version_1"
)

// Alloc is a function (i32) -> (i32) that a guest may export: it returns where so many bytes of input may go.
const Alloc = "troupe_alloc"

// signature spells parameters and results, one letter each: i is i32, I is i64.
type signature struct{ params, results string }

func (s signature) String() string { return "(" + spell(s.params) + ") -> (" + spell(s.results) + ")" }

func spell(letters string) string {
	out := make([]string, len(letters))
	for i, c := range letters {
		out[i] = "i32"
		if c == 'I' {
			out[i] = "i64"
		}
	}
	return strings.Join(out, ", ")
}

// lookup finds a function of the host.
func lookup(module, name string) (signature, bool) {
	switch module {
	case WASI:
		s, ok := wasi[name]
		return s, ok
	case Env:
		s, ok := env[name]
		return s, ok
	case Troupe:
		for i := range TroupeFunctions {
			if f := &TroupeFunctions[i]; f.Name == name {
				return f.signature(), true
			}
		}
	}
	return signature{}, false
}

// Known reports whether the host offers this function with this signature, spelled "(i32, i32) -> (i32)".
func Known(module, name, typ string) bool {
	s, ok := lookup(module, name)
	return ok && s.String() == typ
}

// WASINames returns the names of the functions of WASI preview 1, in no particular order.
func WASINames() []string {
	out := make([]string, 0, len(wasi))
	for n := range wasi {
		out = append(out, n)
	}
	return out
}

// Digest names the functions of the host and their types: another table has another digest.
func Digest() string {
	var lines []string
	for module, functions := range map[string]map[string]signature{WASI: wasi, Env: env} {
		for name, s := range functions {
			lines = append(lines, module+"."+name+s.String()+"\n")
		}
	}
	for _, f := range TroupeFunctions { // worker and host must agree on what the letters and the numbers say too
		lines = append(lines, fmt.Sprintf("%s.%s%s %s %d\n", Troupe, f.Name, f.signature(), f.Params, f.Op))
	}
	slices.Sort(lines)
	h := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(h[:8])
}

var env = map[string]signature{
	Malloc: {"i", "i"},
	Free:   {"i", ""},
}

// wasi: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
var wasi = map[string]signature{
	"args_get":                {"ii", "i"},
	"args_sizes_get":          {"ii", "i"},
	"clock_res_get":           {"ii", "i"},
	"clock_time_get":          {"iIi", "i"},
	"environ_get":             {"ii", "i"},
	"environ_sizes_get":       {"ii", "i"},
	"fd_advise":               {"iIIi", "i"},
	"fd_allocate":             {"iII", "i"},
	"fd_close":                {"i", "i"},
	"fd_datasync":             {"i", "i"},
	"fd_fdstat_get":           {"ii", "i"},
	"fd_fdstat_set_flags":     {"ii", "i"},
	"fd_fdstat_set_rights":    {"iII", "i"},
	"fd_filestat_get":         {"ii", "i"},
	"fd_filestat_set_size":    {"iI", "i"},
	"fd_filestat_set_times":   {"iIIi", "i"},
	"fd_pread":                {"iiiIi", "i"},
	"fd_prestat_dir_name":     {"iii", "i"},
	"fd_prestat_get":          {"ii", "i"},
	"fd_pwrite":               {"iiiIi", "i"},
	"fd_read":                 {"iiii", "i"},
	"fd_readdir":              {"iiiIi", "i"},
	"fd_renumber":             {"ii", "i"},
	"fd_seek":                 {"iIii", "i"},
	"fd_sync":                 {"i", "i"},
	"fd_tell":                 {"ii", "i"},
	"fd_write":                {"iiii", "i"},
	"path_create_directory":   {"iii", "i"},
	"path_filestat_get":       {"iiiii", "i"},
	"path_filestat_set_times": {"iiiiIIi", "i"},
	"path_link":               {"iiiiiii", "i"},
	"path_open":               {"iiiiiIIii", "i"},
	"path_readlink":           {"iiiiii", "i"},
	"path_remove_directory":   {"iii", "i"},
	"path_rename":             {"iiiiii", "i"},
	"path_symlink":            {"iiiii", "i"},
	"path_unlink_file":        {"iii", "i"},
	"poll_oneoff":             {"iiii", "i"},
	"proc_exit":               {"i", ""},
	"proc_raise":              {"i", "i"},
	"random_get":              {"ii", "i"},
	"sched_yield":             {"", "i"},
	"sock_accept":             {"iii", "i"},
	"sock_recv":               {"iiiiii", "i"},
	"sock_send":               {"iiiii", "i"},
	"sock_shutdown":           {"ii", "i"},
}
