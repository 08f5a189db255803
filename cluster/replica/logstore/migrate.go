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
	newSuffix = ".new" // a copy under way
	oldSuffix = ".old" // a log that a copy has replaced
	// copyEntries and copyBytes bound what is copied at once.
	copyEntries = 1024
	copyBytes   = 4 << 20
	// tellEvery is how often a copy tells how far it is.
	tellEvery = time.Second
)

// migration makes the log in a folder one of another kind. At every instant one of the two is whole, and has its name:
// the copy gets its name, all on disk, before the other loses it, and nothing is appended while there are two.
type migration struct {
	dir    string
	logger hclog.Logger
	// reached, where set, hears of every step that a crash may follow (tests).
	reached func(step string)
}

// settle returns the kind of log that the folder has, once it has the wanted one ("" is any), and finishes or forgets what
// an interrupted migration left. CodeConflict where there are two logs that are no copies of each other.
func (m *migration) settle(want Kind) (Kind, error) {
	if err := m.sweep(); err != nil {
		return "", err
	}
	held, err := heldKinds(m.dir)
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
		return "", &api.Error{Code: api.CodeOf(err), Op: "change the log store", Hint: "nothing of the log is lost; to go on as before choose " + string(held[0]), Err: err}
	}
	return want, nil
}

func (m *migration) path(k Kind) string { return filepath.Join(m.dir, logNames[k]) }

// sweep removes what never became a log, or is one no more.
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

// choose ends a migration between its two renames: it keeps one of two logs that are the same.
func (m *migration) choose(want Kind) (Kind, error) {
	if want == "" {
		want = Default
	}
	for _, k := range Kinds() {
		if k == want {
			continue
		}
		if err := m.withBoth(k, m.path(k), want, m.path(want), sameLog); err != nil {
			return "", err
		}
		return want, m.drop(k)
	}
	return want, nil
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

// drop removes a log; one half removed has its name no more.
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

// copyLog appends all entries of src to dst, which is empty.
func (m *migration) copyLog(dst, src raft.LogStore, from, to Kind) error {
	first, last, err := Bounds(src)
	if err != nil || first == 0 {
		return err
	}
	total := last - first + 1
	m.logger.Info("changing the log store", "from", from, "to", to, "entries", total, "folder", m.dir)
	told := time.Now()
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
		if batch, size = nil, 0; time.Since(told) > tellEvery {
			told = time.Now()
			m.logger.Info("changing the log store", "entries", i-first+1, "of", total, "folder", m.dir)
		}
	}
	return nil
}

// What Raft and the replica keep in the stable store. Numbers and texts are encoded by each store as it likes.
var (
	stableNumbers = [][]byte{[]byte("CurrentTerm"), []byte("LastVoteTerm")}
	stableTexts   = [][]byte{[]byte("LastVoteCand"), keyIdentity}
)

// copyStable leaves absent what is absent.
func copyStable(dst, src raft.StableStore) error {
	for _, k := range stableNumbers {
		n, err := numberOf(src, k)
		if err == nil && n > 0 {
			err = dst.SetUint64(k, n)
		}
		if err != nil {
			return err
		}
	}
	for _, k := range stableTexts {
		v, err := textOf(src, k)
		if err == nil && len(v) > 0 {
			err = dst.Set(k, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func numberOf(s raft.StableStore, key []byte) (uint64, error) {
	n, err := s.GetUint64(key)
	if err != nil && isNotFound(err) {
		return 0, nil
	}
	return n, err
}

func textOf(s raft.StableStore, key []byte) ([]byte, error) {
	v, err := s.Get(key)
	if err != nil && isNotFound(err) {
		return nil, nil
	}
	return v, err
}

// sameLog refuses, as CodeConflict, two logs that are not copies of each other, by where they begin and end, the newest
// entry, and the stable store.
func sameLog(a, b Disk) error {
	firstA, lastA, err := Bounds(a)
	if err != nil {
		return err
	}
	firstB, lastB, err := Bounds(b)
	if err != nil {
		return err
	}
	same := firstA == firstB && lastA == lastB
	if same && lastA > 0 {
		var x, y raft.Log
		if err := errors.Join(a.GetLog(lastA, &x), b.GetLog(lastA, &y)); err != nil {
			return err
		}
		same = x.Term == y.Term && x.Type == y.Type && bytes.Equal(x.Data, y.Data)
	}
	for _, k := range stableNumbers {
		x, errA := numberOf(a, k)
		y, errB := numberOf(b, k)
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		same = same && x == y
	}
	for _, k := range stableTexts {
		x, errA := textOf(a, k)
		y, errB := textOf(b, k)
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		same = same && bytes.Equal(x, y)
	}
	if !same {
		return api.Errorf(api.CodeConflict,
			"there are two logs that differ, one of entries %d to %d and one of %d to %d: remove the one that is not this replica's", firstA, lastA, firstB, lastB)
	}
	return nil
}

func Bounds(l raft.LogStore) (first, last uint64, err error) {
	if first, err = l.FirstIndex(); err != nil {
		return 0, 0, err
	}
	last, err = l.LastIndex()
	return first, last, err
}
