package integration

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const attacksPage = "../docs/attacks.md"

var (
	attackRow   = regexp.MustCompile(`(?m)^- \*\*(\d+a?)\*\* `)
	attackNamed = regexp.MustCompile(`\bAttacks? (\d+a?(?:(?:, | and |, and )\d+a?)*)`)
	attackNum   = regexp.MustCompile(`\d+a?`)
	testWithDoc = regexp.MustCompile(`(?m)((?:^//.*\n)+)func (Test\w+)\(`)
	commentMark = regexp.MustCompile(`\n//\s*`)
)

// TestAttacks holds docs/attacks.md to the tests: each test whose doc comment names an attack stands in the row of that attack, and
// each test of a row names it.
func TestAttacks(t *testing.T) {
	shown := map[string][]string{} // attack to tests
	sources(t, true, func(text string) {
		for _, f := range testWithDoc.FindAllStringSubmatch(text, -1) {
			for _, named := range attackNamed.FindAllStringSubmatch(commentMark.ReplaceAllString(f[1], " "), -1) {
				for _, n := range attackNum.FindAllString(named[1], -1) {
					shown[n] = append(shown[n], f[2])
				}
			}
		}
	})
	page, err := os.ReadFile(attacksPage)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for i, row := range attackRow.FindAllSubmatchIndex(page, -1) {
		number, rest := string(page)[row[2]:row[3]], string(page)[row[1]:]
		if next := attackRow.FindStringIndex(rest); next != nil {
			rest = rest[:next[0]]
		}
		if rows[number] != nil {
			t.Errorf("row %d: the attack %s has two rows", i, number)
		}
		rows[number] = testNamed.FindAllString(rest, -1)
	}
	if len(rows) < 20 {
		t.Errorf("only %d attacks are on the page", len(rows))
	}
	for number, tests := range shown {
		for _, test := range tests {
			if !slices.Contains(rows[number], test) {
				t.Errorf("%s shows attack %s: docs/attacks.md does not say so", test, number)
			}
		}
	}
	for _, number := range slices.Sorted(maps.Keys(rows)) {
		for _, test := range rows[number] {
			if !slices.Contains(shown[number], test) {
				t.Errorf("docs/attacks.md says that %s shows attack %s: its comment does not", test, number)
			}
		}
		if len(rows[number]) == 0 {
			t.Errorf("no test shows attack %s", strings.TrimSpace(number))
		}
	}
}
