package ui

import (
	"regexp"
	"strings"
	"testing"
)

// TestSize: the page stays small.
func TestSize(t *testing.T) {
	sum := 0
	for name, f := range files {
		if name != "" {
			sum += len(f.Body)
		}
		if f.Type == "" || len(f.Body) == 0 {
			t.Errorf("%q has no media type or no body", name)
		}
	}
	if sum > 150<<10 {
		t.Errorf("the page has %d bytes, more than 150 KiB", sum)
	}
	t.Logf("%d files, %d bytes", len(files)-1, sum)
}

// TestNothingFromElsewhere: no file names another origin, has inline code, or makes markup of text.
func TestNothingFromElsewhere(t *testing.T) {
	bad := regexp.MustCompile(`(?i)https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\son[a-z]+="|style="|<style|localStorage|sessionStorage|indexedDB|document\.cookie`)
	for name, f := range files {
		text := strings.ReplaceAll(string(f.Body), "http://www.w3.org/2000/svg", "")
		if at := bad.FindString(text); at != "" {
			t.Errorf("%s has %q", name, at)
		}
	}
}

var imports = regexp.MustCompile(`(?m)from '\./([a-z]+\.js)'`)

// TestImports: each module imports files that there are, and each file is used.
func TestImports(t *testing.T) {
	used := map[string]bool{"": true, "index.html": true}
	for name, f := range files {
		for _, m := range imports.FindAllStringSubmatch(string(f.Body), -1) {
			if _, ok := Find(m[1]); !ok {
				t.Errorf("%s imports %s, which there is not", name, m[1])
			}
			used[m[1]] = true
		}
		if name == "index.html" {
			for _, m := range regexp.MustCompile(`(?:href|src)="([a-z]+\.[a-z]+)"`).FindAllStringSubmatch(string(f.Body), -1) {
				if _, ok := Find(m[1]); !ok {
					t.Errorf("the page names %s, which there is not", m[1])
				}
				used[m[1]] = true
			}
		}
	}
	for name := range files {
		if !used[name] {
			t.Errorf("nothing uses %s", name)
		}
	}
}
