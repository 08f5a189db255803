package fronts

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// firstProgram returns the first block of a page that is marked with the language, and the text block that shows what it prints; "" if
// there is none.
func firstProgram(t *testing.T, page, language string) (program, prints string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+language+"\n")
	if !found {
		t.Fatalf("%s has no block marked %s", page, language)
	}
	program, rest, _ = strings.Cut(rest, "```\n")
	_, rest, _ = strings.Cut(rest, "```text\n")
	prints, _, _ = strings.Cut(rest, "```")
	return program, prints
}

var localURL = regexp.MustCompile(`http://127\.0\.0\.1:74\d\d`)

// atNode returns the program with the URL in the place of those of `edgehold dev`.
func atNode(program, url string) string { return localURL.ReplaceAllLiteralString(program, url) }
