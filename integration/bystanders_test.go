package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/integration/history"
)

// bystanders are the clients of a planet under faults beside those of its workload: they watch it, keep keys with times to live, and
// take a lock in turn.
type bystanders struct {
	watching *watchers
	dying    *mortals
	locking  *contenders
}

// beside starts the bystanders of a planet. instant is the clock of the workload's history.
func beside(p *planet, seed uint64, instant func() time.Duration) *bystanders {
	return &bystanders{watchAll(p, seed, instant), liveAndDie(p, seed), contend(p, seed)}
}

// rest ends those that write.
func (b *bystanders) rest() {
	b.dying.stop()
	b.locking.stop()
}

// judge judges what the bystanders saw, of which seen is what the watchers were told.
func (b *bystanders) judge(t *testing.T, seen []*history.Watch, acked []history.Op) (sum witnessed) {
	sum.told, sum.streams = b.watching.judge(t, seen, acked)
	sum.ended = b.dying.judge(t)
	sum.passed, sum.died = b.locking.judge(t)
	return sum
}

// witnessed is what there was to judge.
type witnessed struct {
	told, streams int // events of watches, and the streams that told them
	ended         int // keys whose time to live was over
	passed, died  int // how often a lock passed from one client to another, and the holders that died
}

func (a *witnessed) add(b witnessed) {
	a.told += b.told
	a.streams += b.streams
	a.ended += b.ended
	a.passed += b.passed
	a.died += b.died
}

// enough reports whether planets judged as much as these operations let them.
func (a *witnessed) enough(planets, operations int) bool {
	return a.told >= operations/20 && a.streams >= 4*planets && a.ended >= operations/300 && a.passed >= operations/400 && a.died >= planets
}

func (a *witnessed) String() string {
	return fmt.Sprintf("%d events of watches over %d streams, %d keys ended by their time to live, a lock was passed on %d times, %d of its holders died",
		a.told, a.streams, a.ended, a.passed, a.died)
}
