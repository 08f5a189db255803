package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// migrations are all pairs of kinds.
var migrations = [][2]Kind{{Bolt, WAL}, {WAL, Bolt}}

// filled returns a new folder with a log of that kind, with the entries first to last.
func filled(t *testing.T, kind Kind, first, last uint64) string {
	t.Helper()
	dir := t.TempDir()
	log := openSmall(t, kind, filepath.Join(dir, logNames[kind]))
	if last > 0 {
		if err := log.StoreLogs(entriesFrom(first, int(last-first+1), 200)); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(Claim(log, "g", "n"), log.SetUint64(keyTerm, 7), log.SetUint64(keyVoteTerm, 6), log.Set(keyCandidate, []byte("n")))
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, log)
	return dir
}

// settled settles the folder and checks what it then has: the kind, the entries, term and vote, and nothing else.
func settled(t *testing.T, dir string, want, kind Kind, first, last uint64) {
	t.Helper()
	m := &migration{dir: dir, logger: hclog.NewNullLogger()}
	got, err := m.settle(want)
	if err != nil || kind != "" && got != kind {
		t.Fatalf("the log is of kind %q, %v", got, err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 || names[0].Name() != logNames[got] {
		t.Errorf("the folder holds %v, %v", names, err)
	}
	log := openSmall(t, got, m.path(got))
	defer closeLog(t, log)
	if f, l, err := Bounds(log); f != first || l != last || err != nil {
		t.Fatalf("the log is %d-%d, %v", f, l, err)
	}
	for i := first; i <= last && i > 0; i++ {
		var l raft.Log
		want := entriesFrom(i, 1, 200)[0]
		if err := log.GetLog(i, &l); err != nil || l.Term != want.Term || l.Type != want.Type || !bytes.Equal(l.Data, want.Data) || !l.AppendedAt.Equal(want.AppendedAt) {
			t.Fatalf("entry %d is %+v, %v", i, l, err)
		}
	}
	if v, err := readStable(log); v != (stable{term: 7, voteTerm: 6, candidate: "n", identity: "g\x00n"}) || err != nil {
		t.Errorf("the stable store holds %+v, %v", v, err)
	}
	if err := Claim(log, "g", "n"); err != nil {
		t.Error(err)
	}
	if err := log.StoreLogs(entriesFrom(max(last+1, 1), 1, 200)); err != nil {
		t.Error(err)
	}
}

// TestMigrateCrash crashes at each step of a migration, and starts again with either kind or none.
func TestMigrateCrash(t *testing.T) {
	for _, kinds := range migrations {
		from, to := kinds[0], kinds[1]
		t.Run(string(from)+"-"+string(to), func(t *testing.T) {
			dir := filled(t, from, 100, 1300)
			steps := map[string]int{}
			m := &migration{dir: dir, logger: hclog.NewNullLogger()}
			m.reached = func(step string) {
				steps[step]++
				for _, want := range []Kind{"", from, to} {
					kind := want
					if steps[step] > 1 && want == "" {
						continue // one is enough
					}
					settled(t, copyFolder(t, dir), want, kind, 100, 1300)
				}
			}
			if kind, err := m.settle(to); kind != to || err != nil {
				t.Fatalf("%q, %v", kind, err)
			}
			for _, step := range []string{"some entries copied", "entries copied", "copied", "named", "old one unnamed", "old one removed"} {
				if steps[step] == 0 {
					t.Errorf("no step %q in %v", step, steps)
				}
			}
			m.reached = nil
			settled(t, dir, "", to, 100, 1300)
		})
	}
}

// TestMigrateEmpty migrates a log without entries, term or vote.
func TestMigrateEmpty(t *testing.T) {
	for _, kinds := range migrations {
		dir := t.TempDir()
		closeLog(t, openSmall(t, kinds[0], filepath.Join(dir, logNames[kinds[0]])))
		m := &migration{dir: dir, logger: hclog.NewNullLogger()}
		if kind, err := m.settle(kinds[1]); kind != kinds[1] || err != nil {
			t.Fatalf("%q, %v", kind, err)
		}
		log := openSmall(t, kinds[1], m.path(kinds[1]))
		if v, err := readStable(log); v != (stable{}) || err != nil {
			t.Errorf("the stable store holds %+v, %v", v, err)
		}
		closeLog(t, log)
	}
}

// TestMigrateReports: a migration logs what it does.
func TestMigrateReports(t *testing.T) {
	var out bytes.Buffer
	m := &migration{dir: filled(t, Bolt, 1, 50), logger: hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Info})}
	if _, err := m.settle(WAL); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"changing the log store: from=bolt to=wal entries=50", "the log store is changed: from=bolt to=wal"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, out.String())
		}
	}
}

// TestKindIsKept: a folder keeps its kind unless another is asked for; a new one has the default.
func TestKindIsKept(t *testing.T) {
	settle := func(dir string, want Kind) Kind {
		t.Helper()
		kind, err := (&migration{dir: dir, logger: hclog.NewNullLogger()}).settle(want)
		if err != nil {
			t.Fatal(err)
		}
		return kind
	}
	for _, kind := range Kinds() {
		if got := settle(filled(t, kind, 1, 3), ""); got != kind {
			t.Errorf("%s became %s", kind, got)
		}
		if got := settle(t.TempDir(), kind); got != kind {
			t.Errorf("%s was asked for, and it is %s", kind, got)
		}
	}
	if got := settle(t.TempDir(), ""); got != Default {
		t.Errorf("a new folder has %s", got)
	}
}

// TestTwoLogs: a folder with two different logs is refused, and neither is changed.
func TestTwoLogs(t *testing.T) {
	for what, change := range map[string]func(l Disk) error{
		"shorter": func(l Disk) error { return l.DeleteRange(50, 50) },
		"cut":     func(l Disk) error { return l.DeleteRange(1, 1) },
		"entry": func(l Disk) error {
			return errors.Join(l.DeleteRange(50, 50), l.StoreLog(&raft.Log{Index: 50, Term: 9}))
		},
		"term":     func(l Disk) error { return l.SetUint64(keyTerm, 8) },
		"vote":     func(l Disk) error { return l.Set(keyCandidate, []byte("another")) },
		"identity": func(l Disk) error { return l.Set(keyIdentity, []byte("another")) },
	} {
		t.Run(what, func(t *testing.T) {
			dir := filled(t, Bolt, 1, 50)
			other := filled(t, WAL, 1, 50)
			l := openSmall(t, WAL, filepath.Join(other, logNames[WAL]))
			if err := change(l); err != nil {
				t.Fatal(err)
			}
			closeLog(t, l)
			if err := os.Rename(filepath.Join(other, logNames[WAL]), filepath.Join(dir, logNames[WAL])); err != nil {
				t.Fatal(err)
			}
			for _, want := range []Kind{"", Bolt, WAL} {
				_, err := (&migration{dir: dir, logger: hclog.NewNullLogger()}).settle(want)
				wantCode(t, err, api.CodeConflict)
			}
			if held, err := presentKinds(dir); len(held) != 2 || err != nil {
				t.Errorf("left are %v, %v", held, err)
			}
		})
	}
}

// TestMigrateFails: a migration that fails leaves the log as it was, and its error names the next step.
func TestMigrateFails(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("writes 250 MB")
	}
	dir := filled(t, Bolt, 1, 3)
	log := openSmall(t, Bolt, filepath.Join(dir, logNames[Bolt]))
	if err := log.StoreLog(&raft.Log{Index: 4, Term: 1, Data: make([]byte, 65<<20)}); err != nil { // more than the other takes
		t.Fatal(err)
	}
	closeLog(t, log)
	_, err := (&migration{dir: dir, logger: hclog.NewNullLogger()}).settle(WAL)
	wantCode(t, err, api.CodeTooLarge)
	if !strings.Contains(fmt.Sprint(err), "choose bolt") {
		t.Errorf("the error is %v", err)
	}
	log = openSmall(t, Bolt, filepath.Join(dir, logNames[Bolt]))
	if _, last, err := Bounds(log); last != 4 || err != nil {
		t.Errorf("the log ends at %d, %v", last, err)
	}
	closeLog(t, log)
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("left are %v, %v", names, err)
	}
}
