package fsm

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestLevel1Logs replays logs that a program wrote which knew level 1 alone: each command gives the result that it gave
// there, and the state is what it was there, byte for byte. The files are never written anew. Lines:
//
//	entry INDEX TERM COMMAND...     one entry of the log; commands in hexadecimal
//	> RESULT                        of each of its commands
//	hash SHA-256                    of the state at that place
func TestLevel1Logs(t *testing.T) {
	files, err := filepath.Glob("testdata/level-1/*.log")
	if err != nil || len(files) == 0 {
		t.Fatal("no logs", err)
	}
	kinds := map[byte]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".log"), func(t *testing.T) {
			log, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := newMachine(t)
			replayLevel1(t, m, string(log), kinds)
			goOn(t, m)
		})
	}
	if len(kinds) != int(kindSetLevel)-1 {
		t.Errorf("the logs hold %d kinds of command, want the %d that there were", len(kinds), kindSetLevel-1)
	}
}

// goOn raises the machine to the newest level, and has it write there.
func goOn(t *testing.T, m *Machine) {
	t.Helper()
	if m.Level() != Level1 {
		t.Fatalf("an old log ends at level %d", m.Level())
	}
	index, term := m.Applied(), m.Meta().LastTerm+1
	for _, c := range [][]byte{
		Encode(TermStart{"n"}, Level1), Encode(SetLevel{term, NewestLevel}, Level1), encode(AdvanceDedupEpoch{term}),
		encode(SessionOpen{Node: "n", T: time.Second}),
	} {
		index++
		if r := one(m.Apply(index, term, [][]byte{c})); r.Err != nil {
			t.Errorf("at level %d: %v", m.Level(), r.Err)
		}
	}
	if m.Level() != NewestLevel {
		t.Errorf("the log went on at level %d", m.Level())
	}
	if err := m.CheckInvariants(); err != nil {
		t.Error(err)
	}
	again := newMachine(t)
	if err := again.Restore(bytes.NewReader(stream(t, m))); err != nil {
		t.Fatal(err)
	}
	same(t, m, again)
}

// replayLevel1 applies the log to the machine, and compares.
func replayLevel1(t *testing.T, m *Machine, log string, kinds map[byte]bool) {
	t.Helper()
	var want, got []string
	check := func(at int) {
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("before line %d the results are\n%s\nwant\n%s", at, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		got, want = nil, nil
	}
	for i, line := range strings.Split(log, "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] == "#":
		case f[0] == ">":
			want = append(want, line)
		case f[0] == "entry":
			check(i + 1)
			got = applyLine(t, m, f[1:], kinds)
		case f[0] == "hash":
			check(i + 1)
			if sum, err := m.Hash(); err != nil || hex.EncodeToString(sum[:]) != f[1] {
				t.Fatalf("line %d: the state's hash is %x (%v), want %s", i+1, sum, err, f[1])
			}
		default:
			t.Fatalf("line %d: %q", i+1, line)
		}
	}
	check(0)
}

func applyLine(t *testing.T, m *Machine, f []string, kinds map[byte]bool) (results []string) {
	t.Helper()
	var index, term uint64
	if _, err := fmt.Sscan(f[0]+" "+f[1], &index, &term); err != nil {
		t.Fatal(err)
	}
	var commands [][]byte
	for _, x := range f[2:] {
		b, err := hex.DecodeString(x)
		if err != nil {
			t.Fatal(err)
		}
		commands, kinds[b[1]] = append(commands, b), true
	}
	for _, r := range all(m.Apply(index, api.Term(term), commands)) {
		results = append(results, "> "+plain(reflect.ValueOf(asThen(r))))
	}
	return results
}

// asThen is the result as the program of then printed it: the leases of a grant stood in its entries, and no result said that a range
// was taken over.
func asThen(r Result) any {
	r.Took = false
	if r.Entries == nil {
		return r
	}
	type entry struct {
		Key       api.Key
		Value     []byte
		Version   api.Version
		Exists    bool
		Lease     ident.LeaseID
		Unchanged bool
	}
	grant := struct {
		Index   uint64
		Entries []entry
	}{Index: r.Index}
	for i, e := range r.Entries {
		grant.Entries = append(grant.Entries, entry{e.Key, e.Value, e.Version, e.Exists, r.Leases[i], e.Unchanged})
	}
	return grant
}

// plain prints what is set in a value, except texts for people and details of an error or a replay for clients.
func plain(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return plain(v.Elem())
	case reflect.Struct:
		var fields []string
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if !v.Field(i).IsZero() && name != "Hint" && name != "Unknown" && name != "Elided" && name != "Swept" {
				fields = append(fields, name+":"+plain(v.Field(i)))
			}
		}
		return "{" + strings.Join(fields, " ") + "}"
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fmt.Sprintf("%q", v.Bytes())
		}
		var elements []string
		for i := range v.Len() {
			elements = append(elements, plain(v.Index(i)))
		}
		return "[" + strings.Join(elements, " ") + "]"
	case reflect.Array:
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		return strings.TrimRight(hex.EncodeToString(b), "0")
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v)
}
