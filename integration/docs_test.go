package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The languages of code blocks in the README and in docs. TestDocs runs those marked console, TestDocsShowTheExamples
// compares those marked go with the programs in examples, and the others are not run.
var languages = map[string]bool{"console": true, "go": true, "sh": true, "text": true, "json": true, "js": true, "python": true}

// block is a code block of a page.
type block struct {
	page     string
	line     int // of its first line, from 1
	language string
	lines    []string
}

// pages are the files with blocks, by their names from the root of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	all := []string{"../README.md", "../examples/README.md"}
	for _, folder := range []string{"../docs/*.md", "../docs/*/*.md"} {
		docs, err := filepath.Glob(folder)
		if err != nil || len(docs) == 0 {
			t.Fatalf("no pages in %s: %v", folder, err)
		}
		all = append(all, docs...)
	}
	return all
}

// blocks reads the code blocks of a page.
func blocks(t *testing.T, page string) (all []block) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	name, inside := strings.TrimPrefix(page, "../"), false
	for i, line := range strings.Split(string(text), "\n") {
		switch language, fence := strings.CutPrefix(line, "```"); {
		case !fence && inside:
			b := &all[len(all)-1]
			b.lines = append(b.lines, line)
		case fence && inside:
			inside = false
		case fence:
			if !languages[language] {
				t.Errorf("%s:%d: a block is marked %q, not with one of %v", name, i+1, language, languages)
			}
			inside, all = true, append(all, block{page: name, line: i + 2, language: language})
		}
	}
	if inside {
		t.Errorf("%s: the last block has no end", name)
	}
	return all
}

// step is one command of a page and what the page says that it prints.
type step struct {
	at      string // page:line
	block   int    // of the page
	command string // perhaps of several lines
	prints  []string
}

// steps are the commands of a block: a line that begins with "$ " and those that go on with "> ", then what is printed.
func (b *block) steps(t *testing.T, block int) (all []step) {
	t.Helper()
	for i, line := range b.lines {
		command, begins := strings.CutPrefix(line, "$ ")
		more, goesOn := strings.CutPrefix(line, "> ")
		switch at := fmt.Sprintf("%s:%d", b.page, b.line+i); {
		case begins:
			all = append(all, step{at: at, block: block, command: command})
		case len(all) == 0:
			t.Errorf("%s: a console block begins with a command after $", at)
		case goesOn && len(all[len(all)-1].prints) == 0:
			all[len(all)-1].command += "\n" + more
		default:
			s := &all[len(all)-1]
			s.prints = append(s.prints, line)
		}
	}
	return all
}

// TestDocs runs every console block of the README and of docs, page by page, and compares what each command prints with
// what the page says. The commands of a page share a shell and a folder. A command that ends in & runs until the page ends, or
// until a later block starts nodes; the next command waits until it has printed what the page says. A page that
// starts no nodes has the planet of `edgehold dev`.
func TestDocs(t *testing.T) {
	skipUnderRace(t, "starts processes")
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("the commands of the README need curl: install it, as with apt-get install curl")
	}
	ran := 0
	for _, page := range pages(t) {
		var run []step
		for i, b := range blocks(t, page) {
			if b.language == "console" {
				run = append(run, b.steps(t, i)...)
			}
		}
		if len(run) == 0 {
			continue
		}
		ran += len(run)
		t.Run(strings.TrimPrefix(page, "../"), func(t *testing.T) {
			t.Parallel()
			runPage(t, run)
		})
	}
	if ran < 20 {
		t.Errorf("only %d commands were found", ran)
	}
}

func runPage(t *testing.T, run []step) {
	s := newShell(t)
	nodesOf := -1 // the block that has started the nodes that run
	if !run[0].inBackground() {
		s.start(t, step{at: "the planet of this page", command: "edgehold dev &", prints: []string{"...", "Ready...", "..."}})
	}
	for _, st := range run {
		switch {
		case !st.inBackground():
			s.run(t, st)
		case st.block != nodesOf:
			s.endNodes()
			nodesOf = st.block
			fallthrough
		default:
			s.start(t, st)
		}
		if t.Failed() {
			return // what follows builds on it
		}
	}
}

func (s *step) inBackground() bool { return strings.HasSuffix(s.command, " &") }

// printed reports whether out is what the step prints. With open, more may follow.
func (s *step) printed(out string, open bool) bool {
	var want strings.Builder
	want.WriteString(`\A`)
	for _, line := range s.prints {
		if line == "..." {
			want.WriteString(`(?:.*\n)*?`)
			continue
		}
		parts := strings.Split(strings.TrimRight(normal(line), " "), "...")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		want.WriteString(strings.Join(parts, ".*") + `\n`)
	}
	if !open {
		want.WriteString(`\z`)
	}
	if out != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	return regexp.MustCompile(want.String()).MatchString(normal(out))
}

// varies is what differs between one run and the next.
var varies = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*Z?`), "TIME"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ?(ns|us|µs|ms|s)\b`), "DURATION"},
	{regexp.MustCompile(`\b\d+\.\d+\b`), "VERSION"},
	{regexp.MustCompile(`[ \t\r]+\n`), "\n"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// normal is text with a name in the place of each time, duration and version, and single spaces.
func normal(text string) string {
	for _, v := range varies {
		text = v.what.ReplaceAllString(text, v.as)
	}
	return text
}

// TestPrinted holds the comparison of TestDocs to what it promises.
func TestPrinted(t *testing.T) {
	for _, c := range []struct {
		says, out string
		is        bool
	}{
		{"", "", true}, {"", "x\n", false}, {"x", "", false}, {"again", "again", true}, {"again", "against\n", false}, {"x", "x\ny\n", false},
		{`{"key":"a","version":"1.15"}`, `{"key":"a","version":"1.2344"}` + "\n", true},
		{`{"key":"a","version":"1.15"}`, `{"key":"b","version":"1.15"}` + "\n", false},
		{"us-east/a  1.21  hello", "us-east/a\t1.3\thello\n", true},
		{"2 records in 0.2 s", "3 records in 0.2 s\n", false}, {"done in 0.2 s", "done in 12 ms\n", true},
		{"a\n...\nb", "a\nb\n", true}, {"a\n...\nb", "a\n1\n2\nb\n", true}, {"a\n...\nb", "a\n1\n", false},
		{"{...,\"status\":412,...}", "{\"title\":\"x\",\"status\":412,\"detail\":\"y\"}\n", true}, {"{...,\"status\":412,...}", "{\"status\":404,\"a\":1}\n", false},
	} {
		s := step{}
		if c.says != "" {
			s.prints = strings.Split(c.says, "\n")
		}
		if is := s.printed(c.out, false); is != c.is {
			t.Errorf("the page says %q, the command prints %q: %t", c.says, c.out, is)
		}
	}
}

// TestDocsShowTheExamples holds that the Go of the README and of docs is that of programs that are compiled.
func TestDocsShowTheExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var programs []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, bare(string(text)))
	}
	shown := 0
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if b.language != "go" {
				continue
			}
			shown++
			if code := bare(strings.Join(b.lines, "\n")); !strings.Contains(strings.Join(programs, "\n"), code) {
				t.Errorf("%s:%d: this Go stands in no program of examples:\n%s", b.page, b.line, code)
			}
		}
	}
	if shown == 0 {
		t.Error("the README shows no Go")
	}
}

// bare is code without indentation and empty lines.
func bare(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
