package meta

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// rollAt is a roll with one policy a revision.
func rollAt(revision uint64) *placement.Roll {
	r := &placement.Roll{Revision: revision}
	for i := range revision {
		r.Policies = append(r.Policies, placement.Policy{Name: "p" + string(rune('a'+i)), Admin: true, Revision: i + 1})
	}
	return r
}

func encodedRoll(r *placement.Roll) []byte { return placement.EncodeRollChange(r.Since("c", 0)) }

// TestRollFollows: a mirror takes the roll, knows how old it may be, and keeps it over a restart, after which its age is unknown
// until a node has answered.
func TestRollFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, files := newSource(version(t, 5)), Files{Map: &memoryFile{}, Roll: &memoryFile{}}
		m := openMirrorIn(t, MirrorConfig{Source: s}, files, version(t, 5))
		for revision := uint64(1); revision < 5; revision++ {
			s.setRoll(rollAt(revision), 0)
			if _, roll, err := m.Wait(t.Context(), Seen{Map: 5, Roll: revision - 1}); err != nil || !bytes.Equal(encodedRoll(roll), encodedRoll(rollAt(revision))) {
				t.Errorf("revision %d came as %+v, %v", revision, roll, err)
			}
		}
		time.Sleep(time.Minute)
		if age, known := m.RollAge(); !known || age > 6*time.Second {
			t.Errorf("while nodes answer, the roll may be %v old, %v", age, known)
		}
		for _, id := range []string{"a1", "b1", "z1"} {
			s.fail(id, true)
		}
		time.Sleep(time.Minute)
		if age, known := m.RollAge(); !known || age < 55*time.Second || age > 66*time.Second {
			t.Errorf("a minute after the last answer the roll may be %v old, %v", age, known)
		}
		m.Close()

		m = openMirrorIn(t, MirrorConfig{Source: s}, files, nil)
		defer m.Close()
		if _, known := m.RollAge(); known || m.Roll().Revision != 4 {
			t.Errorf("after a restart: revision %d, age known %v", m.Roll().Revision, known)
		}
		s.fail("b1", false)
		s.setRoll(rollAt(4), time.Hour) // b1 itself has heard no leader for an hour
		time.Sleep(10 * time.Second)
		if age, known := m.RollAge(); !known || age < time.Hour || age > time.Hour+11*time.Second {
			t.Errorf("by way of a node that is cut off the roll may be %v old, %v", age, known)
		}
		s.setRoll(rollAt(4), -1) // it does not know
		time.Sleep(time.Minute)
		if age, _ := m.RollAge(); age < time.Hour+time.Minute {
			t.Errorf("a node that does not know has made the roll %v old", age)
		}
	})
}

// TestRollRefuses: the roll of another cluster, one that does not fit, and one before there is a map are not taken.
func TestRollRefuses(t *testing.T) {
	v, err := OpenView(Files{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := v.UpdateRoll(rollAt(1).Since("c", 0), now); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("before there is a map: %v", err)
	}
	if err := v.Update(version(t, 5)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*placement.RollChange{
		"of another cluster": rollAt(1).Since("other", 0), "without its base": rollAt(3).Since("c", 2),
		"broken": {ClusterID: "c", Roll: placement.Roll{Revision: 1, Policies: []placement.Policy{{Name: "../x"}}}},
	} {
		if err := v.UpdateRoll(c, now); err == nil || v.Roll().Revision != 0 {
			t.Errorf("%s: %v", name, err)
		}
		if _, known := v.RollAge(); known {
			t.Errorf("%s: its age was believed", name)
		}
	}
	if err := v.UpdateRoll(rollAt(3).Since("c", 0), now); err != nil {
		t.Error(err)
	}
	if err := v.UpdateRoll(rollAt(2).Since("c", 0), now.Add(-time.Hour)); err != nil || v.Roll().Revision != 3 {
		t.Errorf("an older one: %v", err)
	}
	if age, _ := v.RollAge(); age > time.Minute {
		t.Errorf("an older answer has made the roll %v old", age)
	}
}

// TestFilesAreSecret: others than the owner cannot read what a node keeps.
func TestFilesAreSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roll")
	if err := OSFile(path).Write(encodedRoll(rollAt(1))); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
}
