package webui

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files and the pictures of the documentation anew")

// every makes each command line that the page offers to copy: of each view, of one thing of each, and of each verb.
const every = `Promise.all([import('/js/cols.js'), import('/js/plan.js'), fetch('/verbs.json').then((r) => r.json())]).then(([cols, plan, verbs]) => {
	const all = [];
	for (const [, views] of cols.groups) for (const [v] of views) {
		all.push(cols.command(v, {}), cols.command(v, { q: "state!=idle path~\"it's\"", sort: '-state' }), cols.command(v, { cause: 'ab'.repeat(16), actor: '' }), cols.command(v, { actor: 'troupe/execute' }));
		const t = cols.tables[cols.listed(v)];
		for (const kind of t ? [t.kind, t.kindOf ? 'job' : ''] : []) all.push(cols.commandOf(cols.listed(v), kind, 'troupe/a b'));
	}
	const args = { priority: 'high', level: 'debug', for_us: '90000000' };
	const generation = new Set(Object.values(cols.tables).filter((t) => t.generation).map((t) => t.kind));
	for (const v of verbs) {
		const its = Object.fromEntries(v.args.map((a) => a.replace('?', '')).map((a) => [a, args[a]]));
		all.push(plan.cliOf(v, { ids: ['one'] }, {}, '').replace(/ log-level /, ' log-level warn '), plan.cliOf(v, { ids: ['-one', '--yes'] }, its, 'slow'));
		if (generation.has(v.kind)) all.push(plan.cliOf(v, { ids: ['one'], match: { one: 3 } }, its, 'slow'), plan.cliOf(v, { ids: ['one', 'two'], match: { one: 3, two: 4 } }, its, 'slow'));
		all.push(plan.cliOf(v, { ids: ['one'] }, its, ''), plan.cliOf(v, { ids: ['one', "it's"] }, its, 'it\'s slow'));
		if (!['node', 'chain'].includes(v.kind)) all.push(plan.cliOf(v, { ids: [], selector: 'state=busy age>5s' }, its, 'slow', [{ id: 'one' }]));
	}
	window.commands = [...new Set(all)].join('\n') + '\n';
}).catch((e) => { window.commands = String(e); })`

// testCommands holds the command lines that can be copied against a file, each line of which package cli parses.
func testCommands(t *testing.T, b *tab) {
	t.Helper()
	b.do(every)
	b.until(`window.commands`)
	have := value[string](b, `window.commands`)
	file := filepath.Join("testdata", "commands.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(have)) || !strings.HasPrefix(have, "troupe ") {
		t.Errorf("other commands than in %s; pass -update if this is meant:\n%s", file, cmp.Diff(string(want), have))
	}
}
