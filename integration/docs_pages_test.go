package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxColumns     = 120 // of a line of Markdown
	maxPageLines   = 200
	maxReadmeLines = 130
)

// markdown lists every Markdown file of the repository, relative to this package.
func markdown(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "dist" || d.Name() == "node_modules" || d.Name() == "venv"):
			return filepath.SkipDir
		case !d.IsDir() && filepath.Ext(path) == ".md":
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 30 {
		t.Fatalf("only %d Markdown files were found", len(files))
	}
	return files
}

// lines returns the lines of a file.
func lines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// TestDocsFit holds Markdown to lines of 120 columns and to pages of 200 lines, and the README to 130 lines.
func TestDocsFit(t *testing.T) {
	for _, file := range markdown(t) {
		name, text := strings.TrimPrefix(file, "../"), lines(t, file)
		for i, line := range text {
			if n := utf8.RuneCountInString(line); n > maxColumns {
				t.Errorf("%s:%d: %d columns, of %d at most", name, i+1, n, maxColumns)
			}
		}
		limit := maxPageLines
		switch name {
		case "CHANGELOG.md":
			continue // grows with each release
		case "README.md":
			limit = maxReadmeLines
		}
		if len(text) > limit {
			t.Errorf("%s: %d lines, of %d at most", name, len(text), limit)
		}
	}
}

var (
	codeBlock = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	codeSpan  = regexp.MustCompile("`[^`\n]*`")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
)

// anchors returns the anchors that a page's headings have.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	text := codeBlock.ReplaceAllString(strings.Join(lines(t, page), "\n"), "")
	all := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		slug := notInSlug.ReplaceAllString(strings.ToLower(h[1]), "")
		all[strings.ReplaceAll(slug, " ", "-")] = true
	}
	return all
}

// TestDocsLinks follows each relative link of the Markdown files, to a file and to a heading in it.
func TestDocsLinks(t *testing.T) {
	followed := 0
	for _, file := range markdown(t) {
		name := strings.TrimPrefix(file, "../")
		text := codeBlock.ReplaceAllString(strings.Join(lines(t, file), "\n"), "")
		for _, l := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(text, ""), -1) {
			if strings.Contains(l[1], "://") || strings.HasPrefix(l[1], "mailto:") {
				continue
			}
			followed++
			path, anchor, _ := strings.Cut(l[1], "#")
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere", name, l[1])
				continue
			}
			if anchor != "" && !anchors(t, target)[anchor] {
				t.Errorf("%s: the link %s names no heading of its page", name, l[1])
			}
		}
	}
	if followed < 40 {
		t.Errorf("only %d relative links were found", followed)
	}
}

// TestDocsIndexes holds that the index of a folder of docs links each page of the folder.
func TestDocsIndexes(t *testing.T) {
	found := 0
	for _, file := range markdown(t) {
		folder := filepath.Dir(file)
		index := filepath.Join(folder, "README.md")
		if !strings.HasPrefix(folder, "../docs") || file == index {
			continue
		}
		found++
		if page := filepath.Base(file); !strings.Contains(strings.Join(lines(t, index), "\n"), "]("+page+")") {
			t.Errorf("%s does not link %s", strings.TrimPrefix(index, "../"), page)
		}
	}
	if found < 30 {
		t.Errorf("only %d pages were found", found)
	}
}

var (
	recordName   = regexp.MustCompile(`^\d{4}-[a-z0-9-]+\.md$`)
	recordTitle  = regexp.MustCompile(`^# (\d{4}): \S`)
	recordStatus = regexp.MustCompile(`^Date: 20\d\d-[01]\d-[0-3]\d\. Status: (accepted|superseded)\b`)
)

// TestDecisionRecords holds each decision record to one form: a title with its number, and under it its date and status.
func TestDecisionRecords(t *testing.T) {
	records, err := filepath.Glob("../docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	byNumber := map[string]string{}
	for _, record := range records {
		name := filepath.Base(record)
		if name == "README.md" {
			continue
		}
		if !recordName.MatchString(name) {
			t.Errorf("%s: a record is named NNNN-what-it-says.md", name)
			continue
		}
		number := name[:4]
		if other := byNumber[number]; other != "" {
			t.Errorf("%s and %s have one number", other, name)
		}
		byNumber[number] = name
		text := lines(t, record)
		if title := recordTitle.FindStringSubmatch(text[0]); title == nil || title[1] != number {
			t.Errorf("%s: begins with %q, not with \"# %s: what it decides\"", name, text[0], number)
		}
		if len(text) < 4 || text[1] != "" || !recordStatus.MatchString(text[2]) {
			t.Errorf("%s: no line \"Date: 2026-11-30. Status: accepted.\" (or superseded) directly under the title", name)
		}
	}
	if len(byNumber) < 27 {
		t.Errorf("only %d records were found", len(byNumber))
	}
}

var roomRow = regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|")

// TestArrowsHaveRooms holds that ARCHITECTURE.md has a row for each package of the table of arrows, and no other.
func TestArrowsHaveRooms(t *testing.T) {
	rows := map[string]bool{}
	for _, row := range roomRow.FindAllStringSubmatch(strings.Join(lines(t, "../ARCHITECTURE.md"), "\n"), -1) {
		rows[row[1]] = true
		if _, err := os.Stat(filepath.Join("..", row[1])); err != nil {
			t.Errorf("ARCHITECTURE.md has a row for %s: there is no such package", row[1])
		}
	}
	for name := range house {
		if strings.HasPrefix(name, "examples/") || strings.HasPrefix(name, "integration/") {
			continue
		}
		if !rows[name] {
			t.Errorf("ARCHITECTURE.md has no row for %s", name)
		}
	}
}

var (
	testNamed  = regexp.MustCompile(`\b(?:Test|Benchmark)[A-Z]\w*`)
	testFunc   = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)[A-Z]\w*)\(`)
	mutantRow  = regexp.MustCompile("mutants? ((?:`[a-z-]+`(?:, )?(?: and )?)+)")
	mutantName = regexp.MustCompile("`([a-z-]+)`")

	metricNamed   = regexp.MustCompile(`\bedgehold_[a-z_]+`)
	metricLiteral = regexp.MustCompile(`"(edgehold_[a-z_]+)"`)
)

// sources calls do for each Go file of the repository: test files, or the others.
func sources(t *testing.T, tests bool, do func(text string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") != tests {
			return err
		}
		text, err := os.ReadFile(path)
		do(string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDocsNameMetrics holds that each metric that the documentation names is there.
func TestDocsNameMetrics(t *testing.T) {
	there := map[string]bool{}
	sources(t, false, func(text string) {
		for _, m := range metricLiteral.FindAllStringSubmatch(text, -1) {
			there[m[1]] = true
		}
	})
	named := 0
	for _, file := range markdown(t) {
		name := strings.TrimPrefix(file, "../")
		if strings.HasPrefix(name, "docs/decisions/") {
			continue
		}
		for _, m := range metricNamed.FindAllString(strings.Join(lines(t, file), "\n"), -1) {
			if named++; !there[m] && !there[strings.TrimSuffix(m, "_bucket")] { // which a histogram has
				t.Errorf("%s names the metric %s: there is none", name, m)
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d metrics are named", named)
	}
}

// TestDocsNameTests holds that each test, benchmark and mutant that the documentation names is there. Decision records are
// exempt: what they name may have gone since.
func TestDocsNameTests(t *testing.T) {
	there := map[string]bool{}
	sources(t, true, func(text string) {
		for _, f := range testFunc.FindAllStringSubmatch(text, -1) {
			there[f[1]] = true
		}
	})
	list, err := os.ReadFile("mutants/main.go")
	if err != nil {
		t.Fatal(err)
	}
	tests, mutants := 0, 0
	for _, file := range markdown(t) {
		name, text := strings.TrimPrefix(file, "../"), strings.Join(lines(t, file), "\n")
		if strings.HasPrefix(name, "docs/decisions/") {
			continue // of their time
		}
		for _, test := range testNamed.FindAllString(text, -1) {
			if tests++; !there[test] {
				t.Errorf("%s names %s: there is no such test", name, test)
			}
		}
		for _, row := range mutantRow.FindAllStringSubmatch(strings.ReplaceAll(text, "\n", " "), -1) {
			for _, m := range mutantName.FindAllStringSubmatch(row[1], -1) {
				if mutants++; !strings.Contains(string(list), `"`+m[1]+`"`) {
					t.Errorf("%s names the mutant %s: there is none", name, m[1])
				}
			}
		}
	}
	if tests < 100 || mutants < 10 {
		t.Errorf("only %d tests and %d mutants are named", tests, mutants)
	}
}
