package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

// TestRecordsAtTheLimits imports and exports keys and values of the maximum size, in all forms of JSON.
func TestRecordsAtTheLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("megabytes, for a limit")
	}
	t.Parallel()
	p, q := newPlanet(t), newPlanet(t)
	values := []string{"", "x", strings.Repeat("v", api.MaxValueBytes), strings.Repeat("\x01", api.MaxValueBytes), strings.Repeat("\xff", api.MaxValueBytes)}
	var text strings.Builder
	want := map[string]string{}
	for i, fill := range []string{"k", "\x01", "\xfe"} {
		for n, value := range values {
			key := strings.Repeat(fill, api.MaxKeyBytes-1) + fmt.Sprint(n)
			want[key] = value
			if fill == "\xfe" || n == 4 {
				fmt.Fprintf(&text, `{"key_base64":%q,"value_base64":%q}`+"\n", base64.StdEncoding.EncodeToString([]byte(key)), base64.StdEncoding.EncodeToString([]byte(value)))
				continue
			}
			k, v := quoted(t, key, i > 0), quoted(t, value, n > 2)
			fmt.Fprintf(&text, `{"key":%s,"value":%s}`+"\n", k, v)
		}
	}
	file := writeFile(t, "in.jsonl", text.String())
	counts := readCounts(t, p.must(t, "", "import", file, "--verify", "-o", "json"))
	if int(counts.Records) != len(want) || int(*counts.Verified) != len(want) {
		t.Errorf("%+v", counts)
	}
	out := filepath.Join(t.TempDir(), "out.jsonl")
	p.must(t, "", "export", "--output", out)
	q.must(t, "", "import", out, "--verify")
	n := 0
	for line := range strings.Lines(q.must(t, "", "export")) {
		r, err := record.Parse([]byte(line))
		if err != nil || want[string(r.Key)] != string(r.Value) {
			t.Errorf("%.20q is %d bytes, %v", r.Key, len(r.Value), err)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%d of %d came back", n, len(want))
	}
	for _, line := range []string{
		`{"key":"k","value":"` + strings.Repeat("v", api.MaxValueBytes+1) + `"}`,
		`{"key":"` + strings.Repeat("k", api.MaxKeyBytes+1) + `","value":""}`,
	} {
		i := p.on(t, line+"\n"+`{"key":"after","value":"1"}`, "import", "-", "-o", "json")
		if counts := readCounts(t, i.out); i.status != 1 || counts.Failed != 1 || counts.Records != 1 || !strings.Contains(i.err, "-:1: ") || !strings.Contains(i.err, "limit of") {
			t.Errorf("exit %d, %+v, %.200s", i.status, counts, i.err)
		}
	}
}

// quoted returns the text as JSON. If padded, each byte is written as \u00XX, the longest form.
func quoted(t *testing.T, text string, padded bool) string {
	t.Helper()
	if !padded {
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var b strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&b, `\u%04x`, text[i])
	}
	return `"` + b.String() + `"`
}

func TestImportOfNothing(t *testing.T) {
	p := newPlanet(t)
	for text, lines := range map[string]int64{"": 0, "\n": 1, "\n \n\t\n": 3} {
		file := writeFile(t, "in.jsonl", text)
		counts := readCounts(t, p.must(t, "", "import", file, "--verify", "-o", "json"))
		if counts.Lines != lines || counts.Records != 0 || counts.Failed != 0 || exists(file+".progress") {
			t.Errorf("%q: %+v", text, counts)
		}
	}
}

// TestImportOfACutOffFile imports a file that ends within a line, which is reported, and continues with the complete file.
func TestImportOfACutOffFile(t *testing.T) {
	p := newPlanet(t)
	whole := sample(100)
	file := writeFile(t, "in.jsonl", whole[:len(whole)-5])
	i := p.on(t, "", "import", file, "-o", "json")
	if counts := readCounts(t, i.out); i.status != 1 || counts.Records != 99 || counts.Failed != 1 || counts.Lines != 100 ||
		!strings.Contains(i.err, ":100: the file ends within this line") {
		t.Errorf("exit %d, %+v, %s", i.status, counts, i.err)
	}
	if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	counts := readCounts(t, p.must(t, "", "import", file, "--verify", "-o", "json"))
	if counts.SkippedLines != 99 || counts.Records != 1 || *counts.Verified != 100 {
		t.Errorf("%+v", counts)
	}
}

// TestImportManyAtOnce has more records and more bytes than may be in flight, and several records of most keys.
func TestImportManyAtOnce(t *testing.T) {
	p := newPlanet(t)
	var text strings.Builder
	for n := range 4000 {
		size := 10
		if n%40 == 0 {
			size = 512 << 10 // 50 MiB together
		}
		fmt.Fprintf(&text, `{"key":"k%d","value":"%d %s"}`+"\n", n%1500, n, strings.Repeat("v", size))
	}
	file := writeFile(t, "in.jsonl", text.String())
	counts := readCounts(t, p.must(t, "", "import", file, "--verify", "-o", "json"))
	if counts.Records != 4000 || counts.Lines != 4000 || *counts.Different != 0 {
		t.Errorf("%+v", counts)
	}
}
