package cli

import "slices"

// Exit codes that whole families of verbs share.
var (
	exitsText  = []int{exitOK, exitOther, exitUsage, exitCanceled}
	exitsHost  = []int{exitOK, exitOther, exitUsage, exitUnreachable, exitDenied, exitCanceled, exitBusy, exitHost, exitBug}
	exitsCode  = append([]int{exitNotFound, exitInvalid, exitTrap, exitLimit, exitSuspect}, exitsHost...)
	exitsList  = append([]int{exitNotFound}, exitsHost...)
	exitsOnKey = append([]int{exitNotFound, exitConflict, exitSome}, exitsHost...)
)

// table is the whole command line.
func (a *app) table() verb {
	return verb{
		use: "troupe COMMAND", short: "Run untrusted WebAssembly in confined worker processes",
		examples: []string{
			"troupe run hello.wasm", "run a WASI command with a private host",
			"troupe serve", "keep a host running; 'run' then goes through it",
			"troupe submit app.wasm", "hand it a job that survives a crash; see 'troupe job'",
			"troupe artifact check app.wasm", "judge code without running it",
			"troupe app deploy app.app", "hand the host an app that lives on; see 'troupe app'",
		},
		exits: allExits(),
		verbs: []verb{
			a.runVerb(), a.submitVerb(), a.serveVerb(), a.devVerb(), a.statusVerb(), a.topVerb(), a.bundleVerb(), a.replayVerb(), a.jobVerb(), a.queueVerb(), a.artifactVerb(),
			a.appVerb(), a.blobVerb(), a.sessionVerb(), a.reportsVerb(), a.keyVerb(),
			a.chainVerb(), a.ticketVerb(), a.marketVerb(), a.requestVerb(), a.ipVerb(), a.minerVerb(), a.demoVerb(),
			a.configVerb(), a.contextVerb(), a.tokenVerb(),
			a.nodeVerb(), a.workerVerb(), a.webVerb(), a.versionVerb(), a.completionVerb(),
			a.actorVerb(), a.deadVerb(), a.failuresVerb(), a.explainVerb(), a.docsVerb(),
		},
	}
}

func (a *app) artifactVerb() verb {
	key := func(name, short, long string, f onKey) verb {
		return a.planned(verb{
			use: name + " [flags] KEY...", short: short, long: long, exits: exitsOnKey,
			examples: []string{"troupe artifact " + name + exampleReason("artifact."+name) + " 3f9a2c", "a unique beginning of a key is enough"},
			args:     atLeast(1, "one or more artifact keys"), complete: a.completeKeys,
			run: a.onKeys(name, f),
		}, deed{name: "artifact." + name, what: "artifact", view: "artifacts", far: directory, resolve: resolve})
	}
	up := newRaise()
	return verb{
		use: "artifact COMMAND", short: "Judge code and look after compiled code",
		examples: []string{
			"troupe artifact check app.wasm", "imports, exports, sizes and the verdict",
			"troupe artifact list", "what is compiled, and when it was last needed",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{
			a.checkVerb(), a.prepareVerb(), a.listVerb(), a.showVerb(),
			key("verify", "Check the stored bytes of artifacts", "A damaged artifact is dropped; it is prepared again when it is needed.", verifyKey),
			key("pin", "Keep artifacts from being pruned", "", pinKey),
			key("unpin", "Take back pins", "", unpinKey),
			key("evict", "Drop artifacts", "What is in use or pinned is not dropped.", evictKey),
			a.actVerb(deed{name: "artifact.retry", what: "artifact", view: "artifacts", example: "3f9a2c", offer: a.completeKeys, resolve: resolve}, "Prepare artifacts again whose preparation has failed"),
			a.actVerb(deed{
				name: "artifact.raise", what: "artifact", view: "artifacts", example: "3f9a2c", offer: a.completeKeys, resolve: resolve, flags: up.add, args: up.args,
			}, "Raise the priority of preparations"),
			a.pruneVerb(), a.warmVerb(), a.coolVerb(),
		},
	}
}

func (a *app) completionVerb() verb {
	shells := []string{"bash", "zsh", "fish"}
	return verb{
		use: "completion bash|zsh|fish", short: "Print a completion script for a shell",
		examples: []string{`source <(troupe completion bash)`, "complete in this shell"},
		exits:    exitsText,
		args:     exactly(1, "one of bash, zsh, fish"),
		complete: func([]string) []string { return shells },
		settle:   settleEnv,
		run:      a.completion(shells),
	}
}

func with(codes []int, more ...int) []int { return append(slices.Clone(codes), more...) }
