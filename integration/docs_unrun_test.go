package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unrun are the pages with blocks of commands or programs that TestDocs does not run: the test that runs them, or one like them, or why none
// does. A page ends with a slash if all pages of its folder are meant.
var unrun = map[string]string{
	"docs/js.md":     "TestJSReadme",
	"docs/python.md": "TestPythonReadme",

	"docs/fronts/kvconnect.md":  "TestKVConnect runs programs like these, with tokens",
	"docs/fronts/oauth.md":      "writes the picture of the page anew; TestOAuth runs without that",
	"docs/fronts/resp.md":       "TestRESPCommandLine runs commands like these; the last needs TLS and a token",
	"docs/fronts/workers-kv.md": "TestWorkersKVBinding runs a program like this, in workerd",
	"examples/README.md":        "need a runtime, workerd or one for WebAssembly, and ports of their own",

	"docs/http.md":                     "begin where the reader is: a planet, and a build",
	"docs/start.md":                    "begin where the reader is: a planet, and a build",
	"docs/operations/start.md":         "needs Docker; TestComposeFile and TestCompose have docker-compose.yml",
	"docs/operations/install.md":       "writes to /usr/local, or needs Docker",
	"docs/operations/systemd.md":       "needs root and systemd; TestUnitFile and TestUnitFileVerified have the unit",
	"docs/operations/doctor.md":        "is of one machine and its data; the commands below it on the page run",
	"docs/operations/top.md":           "draws a terminal; the command below it on the page runs",
	"docs/operations/import-export.md": "reads the package index of Debian; make real-input does that",
	"docs/operations/traces.md":        "needs Docker; TestTraces has a collector",

	"docs/benchmarks/": "measure, for minutes",
	"docs/decisions/":  "measured once, for minutes",
}

// reasonFor returns the row of unrun that a page has.
func reasonFor(page string) string {
	if _, ok := unrun[page]; ok {
		return page
	}
	if folder := filepath.Dir(page) + "/"; unrun[folder] != "" {
		return folder
	}
	return ""
}

var (
	makeTarget = regexp.MustCompile(`\bmake ([a-z][a-z-]*)`)
	goPackage  = regexp.MustCompile(`\bgo (?:test|run) (\./[a-z/-]+)`)
	benchmarks = regexp.MustCompile(`-bench '?([A-Za-z|]+)`)
)

// TestDocsUnrun holds that each block of commands or programs that TestDocs does not run has a reason, and that what it names is there:
// targets of make, packages and benchmarks.
func TestDocsUnrun(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var functions strings.Builder
	sources(t, true, func(text string) {
		for _, f := range testFunc.FindAllStringSubmatch(text, -1) {
			functions.WriteString(f[1] + "\n")
		}
	})
	for page, reason := range unrun {
		for _, test := range testNamed.FindAllString(reason, -1) {
			if !strings.Contains(functions.String(), test+"\n") {
				t.Errorf("unrun names %s for %s: there is no such test", test, page)
			}
		}
	}
	used := map[string]bool{}
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if b.language != "sh" && b.language != "js" && b.language != "python" {
				continue
			}
			row := reasonFor(b.page)
			if used[row] = true; row == "" {
				t.Errorf("%s:%d: nothing runs this block of %s, and nothing says why: mark it console, or add its page to unrun", b.page, b.line, b.language)
			}
			text := strings.Join(b.lines, "\n")
			for _, m := range makeTarget.FindAllStringSubmatch(text, -1) {
				if !strings.Contains("\n"+string(makefile), "\n"+m[1]+":") {
					t.Errorf("%s:%d: there is no target %s of make", b.page, b.line, m[1])
				}
			}
			for _, m := range goPackage.FindAllStringSubmatch(text, -1) {
				if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
					t.Errorf("%s:%d: there is no package %s", b.page, b.line, m[1])
				}
			}
			for _, m := range benchmarks.FindAllStringSubmatch(text, -1) {
				for name := range strings.SplitSeq(m[1], "|") {
					if !regexp.MustCompile(`(?m)^Benchmark.*` + strings.TrimPrefix(name, "Benchmark")).MatchString(functions.String()) {
						t.Errorf("%s:%d: there is no benchmark %s", b.page, b.line, name)
					}
				}
			}
		}
	}
	for page := range unrun {
		if !used[page] {
			t.Errorf("unrun has %s, which has no block that it is needed for", page)
		}
	}
}
