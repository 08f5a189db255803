package logstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

const (
	newSuffix = ".new" // a copy that is being written
	oldSuffix = ".old" // a log that a copy has replaced
	// copyEntries and copyBytes bound one step of a copy.
	copyEntries = 1024
	copyBytes   = 4 << 20
	// logEvery is how often a copy logs its progress.
	logEvery = time.Second
)

// migration converts the log in a folder to another kind. At every instant a complete log is there under its name: the copy
// is on disk and gets its name before the original loses its own, and nothing is appended while there are two.
type migration struct {
	dir    string
	logger hclog.Logger
	// reached, if not nil, is called after every step that a crash may follow. It is for tests.
	reached func(step string)
}

// settle finishes or undoes an interrupted migration, converts the log to the kind want unless that is "", and returns the
// kind that the folder then has. It returns CodeConflict if the folder has two logs that are not copies of each other.
func (m *migration) settle(want Kind) (Kind, error) {
	if err := m.sweep(); err != nil {
		return "", err
	}
	held, err := presentKinds(m.dir)
	if err != nil {
		return "", err
	}
	switch {
	case len(held) == 0 && want == "":
		return Default, nil
	case len(held) == 0:
		return want, nil
	case len(held) == 2:
		return m.choose(want)
	case want == "" || want == held[0]:
		return held[0], nil
	}
	if err := m.migrate(held[0], want); err != nil {
		return "", &api.Error{Code: api.CodeOf(err), Op: "change the log store", Hint: "nothing of the log is lost; to keep the old log store choose " + string(held[0]), Err: err}
	}
	return want, nil
}

func (m *migration) path(k Kind) string { return filepath.Join(m.dir, logNames[k]) }

// sweep removes incomplete copies and replaced logs.
func (m *migration) sweep() error {
	for _, k := range Kinds() {
		for _, suffix := range []string{newSuffix, oldSuffix} {
			if err := os.RemoveAll(m.path(k) + suffix); err != nil {
				return err
			}
		}
	}
	return syncDir(m.dir)
}

// choose finishes a migration that was interrupted between its two renames: it keeps one of two equal logs.
func (m *migration) choose(want Kind) (Kind, error) {
	if want == "" {
		want = Default
	}
	other := Bolt
	if want == Bolt {
		other = WAL
	}
	if err := m.withBoth(other, m.path(other), want, m.path(want), sameLog); err != nil {
		return "", err
	}
	return want, m.drop(other)
}

func (m *migration) withBoth(a Kind, pathA string, b Kind, pathB string, use func(a, b Disk) error) error {
	logA, err := openLog(a, pathA, m.logger)
	if err != nil {
		return err
	}
	logB, err := openLog(b, pathB, m.logger)
	if err != nil {
		return errors.Join(err, logA.Close())
	}
	return errors.Join(use(logA, logB), logA.Close(), logB.Close())
}

func (m *migration) migrate(from, to Kind) error {
	fresh := m.path(to) + newSuffix
	err := m.withBoth(from, m.path(from), to, fresh, func(src, dst Disk) error {
		if err := m.copyLog(dst, src, from, to); err != nil {
			return err
		}
		m.at("entries copied")
		if err := copyStable(dst, src); err != nil {
			return err
		}
		return sameLog(src, dst)
	})
	if err == nil && to == WAL {
		err = syncDir(fresh)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	m.at("copied")
	if err := os.Rename(fresh, m.path(to)); err != nil {
		return err
	}
	m.at("named")
	if err := syncDir(m.dir); err != nil {
		return err
	}
	if err := m.drop(from); err != nil {
		return err
	}
	m.logger.Info("the log store is changed", "from", from, "to", to, "folder", m.dir)
	return nil
}

// drop removes a log. It renames the log first, so that a half-removed one is not taken for a log.
func (m *migration) drop(k Kind) error {
	if err := os.Rename(m.path(k), m.path(k)+oldSuffix); err != nil {
		return err
	}
	m.at("old one unnamed")
	if err := syncDir(m.dir); err != nil {
		return err
	}
	if err := os.RemoveAll(m.path(k) + oldSuffix); err != nil {
		return err
	}
	m.at("old one removed")
	return syncDir(m.dir)
}

func (m *migration) at(step string) {
	if m.reached != nil {
		m.reached(step)
	}
}

// copyLog appends all entries of src to the empty dst.
func (m *migration) copyLog(dst, src raft.LogStore, from, to Kind) error {
	first, last, err := Bounds(src)
	if err != nil || first == 0 {
		return err
	}
	total := last - first + 1
	m.logger.Info("changing the log store", "from", from, "to", to, "entries", total, "folder", m.dir)
	logged := time.Now()
	var batch []*raft.Log
	size := 0
	for i := first; i <= last; i++ {
		l := new(raft.Log)
		if err := src.GetLog(i, l); err != nil {
			return err
		}
		batch, size = append(batch, l), size+cost(l)
		if len(batch) < copyEntries && size < copyBytes && i < last {
			continue
		}
		if err := dst.StoreLogs(batch); err != nil {
			return err
		}
		m.at("some entries copied")
		if batch, size = nil, 0; time.Since(logged) > logEvery {
			logged = time.Now()
			m.logger.Info("changing the log store", "entries", i-first+1, "of", total, "folder", m.dir)
		}
	}
	return nil
}

// stable is the content of a stable store. Each kind of store has its own encoding of numbers and texts.
type stable struct {
	term, voteTerm      uint64
	candidate, identity string
}

// readStable returns zero values for absent keys.
func readStable(s raft.StableStore) (v stable, err error) {
	number := func(key []byte) (n uint64) {
		n, e := s.GetUint64(key)
		err = errors.Join(err, ignoreNotFound(e))
		return n
	}
	text := func(key []byte) string {
		b, e := s.Get(key)
		err = errors.Join(err, ignoreNotFound(e))
		return string(b)
	}
	v = stable{number(keyTerm), number(keyVoteTerm), text(keyCandidate), text(keyIdentity)}
	return v, err
}

// copyStable writes no key that is absent in src.
func copyStable(dst, src raft.StableStore) error {
	v, err := readStable(src)
	if err != nil {
		return err
	}
	number := func(key []byte, n uint64) error {
		if n == 0 {
			return nil
		}
		return dst.SetUint64(key, n)
	}
	text := func(key []byte, s string) error {
		if s == "" {
			return nil
		}
		return dst.Set(key, []byte(s))
	}
	return errors.Join(number(keyTerm, v.term), number(keyVoteTerm, v.voteTerm), text(keyCandidate, v.candidate), text(keyIdentity, v.identity))
}

// sameLog returns CodeConflict if two logs are not copies of each other. It compares their bounds, their newest entries and
// their stable stores.
func sameLog(a, b Disk) error {
	firstA, lastA, errA := Bounds(a)
	firstB, lastB, errB := Bounds(b)
	stableA, errC := readStable(a)
	stableB, errD := readStable(b)
	if err := errors.Join(errA, errB, errC, errD); err != nil {
		return err
	}
	same := firstA == firstB && lastA == lastB && stableA == stableB
	if same && lastA > 0 {
		var x, y raft.Log
		if err := errors.Join(a.GetLog(lastA, &x), b.GetLog(lastA, &y)); err != nil {
			return err
		}
		same = x.Term == y.Term && x.Type == y.Type && bytes.Equal(x.Data, y.Data)
	}
	if !same {
		return api.Errorf(api.CodeConflict,
			"there are two logs that differ, one of entries %d to %d and one of %d to %d: remove the one that is not this replica's", firstA, lastA, firstB, lastB)
	}
	return nil
}
