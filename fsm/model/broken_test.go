package model

import "testing"

// Every rule that a model relies on can be broken, and the search must notice it: a checker that has never found its bug proves
// nothing. go test -v shows a shortest trace for each.

func TestBrokenLeaseRules(t *testing.T) {
	plain := leaseBounds{keys: 1, grants: 1, terms: 2, keepAlives: 1, behind: 3}
	again := leaseBounds{keys: 1, grants: 1, terms: 3, keepAlives: 1, behind: 3, held: true}
	suspects := leaseBounds{keys: 1, grants: 1, terms: 2, keepAlives: 1, behind: 3, held: true, suspects: true, resets: true}
	var met leaseRules
	for _, c := range []struct {
		name string
		rule leaseRules
		leaseBounds
	}{
		{"keep-alives answered without a confirm", confirmRule, plain},
		{"refusals looked at when the keep-alive arrives", recheckRule, plain},
		{"grants installed behind their revocation", fenceRule, plain},
		{"expiry clears one lease and not the session", killRule, plain},
		{"renewed after it was judged expired", refuseRule, plain},
		{"value read before the grant", applyRule, plain},
		{"a new leader does not wait", waitRule, plain},
		{"the holder counts from the answer", sendRule, plain},
		{"the machine lets writes pass leases", checkRule, plain},
		{"the machine takes judgements of another term", termRule, again},
		{"a leader uses what it knew in an older term", freshRule, again},
		{"SUSPECT sessions are renewed", suspectRule, suspects},
		{"renewed until the Suspect has applied", earlyRule, suspects},
		{"Unsuspect does not erase the count", eraseRule, suspects},
		{"a count goes on behind a snapshot", anewRule, suspects},
	} {
		met |= c.rule
		t.Run(c.name, func(t *testing.T) {
			if c.rule&(eraseRule|anewRule) != 0 {
				skipUnless(t, fully)
			}
			breaks(t, &leaseSystem{leaseBounds: c.leaseBounds, broken: c.rule}, "NoStale")
		})
	}
	if met != anewRule<<1-1 {
		t.Errorf("not every rule is broken once: %b", met)
	}
}

func TestBrokenCommitRules(t *testing.T) {
	var met commitRules
	for _, c := range []struct {
		name      string
		rule      commitRules
		invariant string
	}{
		{"leases revoked at the commit", revokeRule, "NoStale"},
		{"grants under a lock", grantRule, "NoStale"},
		{"reads of what is locked", readRule, "NoStale"},
		{"writes of what is locked", lockRule, "VersionsRise"},
		{"a participant aborts by itself", pushRule, "Decide1"},
		{"a later decision replaces the first", firstRule, "Decide1"},
		{"abort records forgotten", recordRule, "Decide1"},
		{"commit records forgotten too early", resolvedRule, "Decide1"},
		{"prepares of the FINISHED", finishedRule, "Once"},
		{"prepares of the FINISHED and forgotten", belowRule, "Once"},
		{"refused below the watermark is answered as aborted", unknownRule, "Decide1"},
	} {
		met |= c.rule
		t.Run(c.name, func(t *testing.T) { breaks(t, &commitSystem{broken: c.rule, grants: 2}, c.invariant) })
	}
	if met != unknownRule<<1-1 {
		t.Errorf("not every rule is broken once: %b", met)
	}
}

// TestHalfIsSeen shows what happens if leases are revoked at the commit and the client has no answer yet: an edge serves half of
// the transaction.
func TestHalfIsSeen(t *testing.T) {
	breaks(t, &halfSeen{commitSystem{broken: revokeRule, grants: 2}}, "NoHalf")
}

// halfSeen is the commit whose answer is lost.
type halfSeen struct{ commitSystem }

var _ system[commitState] = (*halfSeen)(nil)

func (h *halfSeen) steps(s commitState, to func(act, commitState)) {
	h.commitSystem.steps(s, func(a act, t commitState) {
		if t.reply == none {
			to(a, t)
		}
	})
}

func TestBrokenSkewRules(t *testing.T) {
	leased, mixed, plain := [2]bool{true, true}, [2]bool{true, false}, [2]bool{}
	var met skewRules
	for _, c := range []struct {
		name   string
		rule   skewRules
		leased [2]bool
	}{
		{"leased reads validated before the locks", afterRule, leased},
		{"leased reads validated before the locks, one locked", afterRule, mixed},
		{"validated by any lease", sameRule, leased},
		{"reads not locked", sharedRule, plain},
		{"reads not locked, one leased", sharedRule, mixed},
		{"versions not checked under the lock", versionRule, plain},
		{"prepares that wait for no lease", clearRule, leased},
		{"grants under a lock", underRule, leased},
	} {
		met |= c.rule
		t.Run(c.name, func(t *testing.T) {
			breaks(t, &skewSystem{broken: c.rule, leased: c.leased, grants: 2}, "LockPoint")
		})
	}
	if met != underRule<<1-1 {
		t.Errorf("not every rule is broken once: %b", met)
	}
}

func TestBrokenLastRules(t *testing.T) {
	var met lastRules
	for _, c := range []struct {
		name      string
		rule      lastRules
		invariant string
	}{
		{"CommitLast does not look for an abort record", abortRule, "Atomic"},
		{"CommitLast rerouted", namedRule, "Once"},
		{"CommitLast below the watermark", belowLastRule, "Decide1"},
		{"the local group aborts by itself", pushLastRule, "Atomic"},
		{"remote reads not checked", remoteRule, "LockPoint"},
		{"local reads not locked", localRule, "LockPoint"},
		{"a read validated by a lease", noLeaseRule, "LockPoint"},
		{"CommitLast carried out again", onceRule, "Once"},
	} {
		met |= c.rule
		t.Run(c.name, func(t *testing.T) { breaks(t, &lastSystem{broken: c.rule}, c.invariant) })
	}
	if met != onceRule<<1-1 {
		t.Errorf("not every rule is broken once: %b", met)
	}
}

func TestBrokenRetryRules(t *testing.T) {
	var met retryRules
	for _, c := range []struct {
		name string
		rule retryRules
	}{
		{"attempts not recorded", anchorRule},
		{"attempts recorded after they began", beforeRule},
		{"an attempt begins before the last one is finalised", finalRule},
	} {
		met |= c.rule
		t.Run(c.name, func(t *testing.T) { breaks(t, &retrySystem{broken: c.rule}, "Once") })
	}
	if met != finalRule<<1-1 {
		t.Errorf("not every rule is broken once: %b", met)
	}
}

func TestBrokenDeciderRules(t *testing.T) {
	var met deciderRules
	for _, c := range []struct {
		name      string
		rule      deciderRules
		forGood   bool
		invariant string
	}{
		{"a far group decides that is not known to be well", wellRule, true, "Free"},
		{"a far group decides what is prepared in both", nearRule, true, "Free"},
		{"begun with a group that is known to be lost", lostRule, true, "Untouched"},
		{"the near group aborts what waits for a lost decider", keepRule, false, "Atomic"},
	} {
		met |= c.rule
		t.Run(c.name, func(t *testing.T) { breaks(t, &deciderSystem{broken: c.rule, forGood: c.forGood}, c.invariant) })
	}
	if met != keepRule<<1-1 {
		t.Errorf("not every rule is broken once: %b", met)
	}
}
