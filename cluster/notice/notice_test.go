package notice

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestSay: a state is written when it begins, when it changes, and then seldom, with a count of what was left out.
func TestSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Book
		say := func(subject, state string, write bool, omitted int) {
			t.Helper()
			if w, o := b.Say(subject, state); w != write || o != omitted {
				t.Errorf("%s is %s: %v with %d left out, want %v with %d", subject, state, w, o, write, omitted)
			}
		}
		say("s1", "down", true, 0)
		say("s1", "down", false, 0)
		say("s2", "down", true, 0)
		say("s1", "down", false, 0)
		say("s1", "another cluster", true, 2)
		time.Sleep(Every - time.Second)
		say("s1", "another cluster", false, 0)
		time.Sleep(time.Second)
		say("s1", "another cluster", true, 1)
		say("s1", "another cluster", false, 0)
		if was, omitted := b.Clear("s1"); !was || omitted != 1 {
			t.Errorf("cleared: %v, %d", was, omitted)
		}
		if was, _ := b.Clear("s1"); was {
			t.Error("cleared twice")
		}
		say("s1", "another cluster", true, 0)
	})
}

// TestManySubjects: however many subjects there are, the newest are remembered, and no more than the limit.
func TestManySubjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Book
		for i := range 3 * maxSubjects {
			if w, _ := b.Say(fmt.Sprint(i), "down"); !w {
				t.Fatalf("subject %d is new and was left out", i)
			}
			time.Sleep(time.Millisecond)
		}
		if len(b.subjects) != maxSubjects {
			t.Errorf("%d subjects are remembered", len(b.subjects))
		}
		if w, _ := b.Say(fmt.Sprint(3*maxSubjects-1), "down"); w {
			t.Error("the newest subject was forgotten")
		}
	})
}
