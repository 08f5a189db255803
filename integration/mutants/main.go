// Command mutants switches the guards of the protocol off, one at a time, and demands that the checks notice. A checker
// that never saw its bug proves nothing. Guards can be switched only in binaries built with the tag `mutants`.
//
// Usage: go run ./integration/mutants [-run NAME] [-part all|ci]
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// check is one test run that must fail while the mutant is on.
type check struct {
	pkg string
	run string // go test -run
}

// scripts are the planets in which each guard decides; random faults meet such a moment now and then.
const scripts = "^(TestLateGrant|TestGrantBesideWrite|TestDeposedLeaderRenewsNothing|TestCutOffHolder)$"

// transactions are those in which the guards of transactions decide.
const transactions = "^(TestRevokedAtPrepare|TestWriteSkewUnderLeases|TestNoParticipantDecidesAlone)$"

// recovery are the coordinators over real groups in which they do.
const recovery = "^(TestLeasesAreAskedAfterLocks|TestPartitions|TestDecisionGroupIsLost|TestCoordinatorDies)$"

// founding are the servers that are to found a cluster, together and after a loss.
const founding = "^(TestFounderLosesItsFolder|TestSeveralFounders)$"

// mutant is a guard that is off, and the checks that must notice.
type mutant struct {
	name   string
	checks []check
}

// mutants has each guard of the protocol that has a switch.
var mutants = []mutant{
	{"tell-kept-deadline", []check{{"./api/front", "."}}},
	{"slow-scope", []check{{"./cluster", "^TestSlowScope$"}}},
	{"hide-slow-keys", []check{{"./api/front", "^TestSlowKeysAreHidden$"}}},
	{"keep-ttl-clears", []check{{"./fsm", "^(TestStepsKeepDeadlines|TestRandom|TestSnapshotGolden)$"}}},
	{"functions-at-any-level", []check{{"./fsm", "^(TestFunctionsNeedTheirLevel|TestManyOperationsNeedTheirLevel)$"}}},
	{"many-ops-at-any-level", []check{{"./fsm", "^TestManyOperationsNeedTheirLevel$"}}},
	{"two-instants", []check{{"./cluster/txn", "^TestManyKeysAtOneInstant$"}}},
	{"lock-without-session", []check{{"./api/consul", "^TestBetweenLookAndWrite$"}}},
	{"no-lock-delay", []check{{"./api/consul", "^(TestEndOfSession|TestLockDelayOutlivesTheKey)$"}}},
	{"index-of-keys", []check{{"./api/consul", "^(TestIndexRises|TestBlockedOnALock)$"}}},
	{"index-of-sessions", []check{{"./api/consul", "^TestIndexOfSessions$"}}},
	{"tree-deleted-once", []check{{"./api/consul", "^TestDeletedTree$"}}},
	{"lock-by-prepare", []check{{"./api/front", "^TestLocksAreReserved$"}, {"./api/client", "^TestEmbeddedLocksAreReserved$"}}},
	{"lock-with-record", []check{{"./api/lock", "^TestOldAnswer$"}}},
	{"release-without-fence", []check{{"./api/lock", "^(TestLateRelease|TestLock)$"}}},
	{"count-from-receipt", []check{{"./api/client", "^(TestLockAnsweredLate|TestLockOne)$"}}},
	{"full-ttl", []check{{"./api/client", "^(TestLockEndsInTime|TestLockOne)$"}}},
	{"leave-for-others", []check{{"./api/lock", "^TestRepeated$"}}},
	{"fence", []check{{"./cluster/leasecache", "."}, {"./integration", scripts}}},
	{"decline-drops", []check{{"./cluster/leasecache", "."}}},
	{"release-applied", []check{{"./cluster/leasecache", "^TestNoStaleReads$"}}},
	{"holder-ignores-deadline", []check{{"./cluster/leasecache", "^(TestHolderStopsAtTheDeadline|TestCutOffHolderStopsAtTheDeadline)$"}}},
	{"wall-time", []check{{"./cluster/group", "^TestKeyEndsAtItsDeadline$"}}},
	{"count-without-leader", []check{{"./cluster/group", "^TestFailoverWithinALife$"}}},
	{"no-stamps", []check{{"./cluster/group", "^TestFailoversDelayLittle$"}}},
	{"hide-by-clock", []check{{"./cluster/group", "^TestExpiryIsLogged$"}}},
	{"expiry-turn", []check{{"./cluster/group", "^TestOverdueKeyTakesATurn$"}}},
	{"later-lease", []check{{"./fsm", "."}, {"./cluster/group", "^TestSimulation$"}}},
	{"grant-at-apply", []check{{"./cluster/group", "."}, {"./integration", scripts}}},
	{"kill-whole-session", []check{{"./fsm", "."}, {"./integration", scripts}, {"./integration", "^TestGuards$"}}},
	{"confirm-before-renewal", []check{{"./cluster/group", "."}, {"./integration", scripts}}},
	{"await-removed", []check{{"./cluster/group", "^TestRemovedHolder$"}, {"./cluster", "^TestRemovedNode$"}}},
	{"session-owner", []check{{"./cluster/group", "^(TestOthersLeases|TestOthersMessages)$"}}},
	{"attempt-owner", []check{{"./cluster/remote", "^TestAttemptsOfOthers$"}}},
	{"resolve-hint", []check{{"./cluster/remote", "^TestAttemptsOfOthers$"}}},
	{"scope", []check{{"./cluster/remote", "^TestScope$"}}},
	{"give-back", []check{{"./api/admission", "."}, {"./integration", "^TestDeadHoldersGivePlacesBack$"}}},
	{"equal-shares", []check{{"./api/admission", "^(TestCallers|TestOneCallerFillsNoShare)$"}}},
	{"slow-by-key", []check{{"./api/admission", "."}}},
	{"per-holder", []check{{"./cluster/group", "^TestWaitersOfOneHolder$"}}},
	{"newer-entry", []check{{"./fsm", "^TestTranscripts$"}}},
	{"bound-in-apply", []check{{"./fsm", "^(TestWorkIsBounded|TestGrantIsBounded)$"}}},
	{"replay-values", []check{{"./fsm", "^(TestReplayAnswersTheSame|TestTxnPlanet)$"}, {"./cluster/txn", "^TestAskedAgain$"}}},
	{"term-fence", []check{{"./fsm", "."}}},
	{"machine-lease-check", []check{{"./fsm", "."}, {"./integration", scripts}}},
	{"revoke-at-prepare", []check{{"./fsm", "."}, {"./integration", transactions}}},
	{"leases-after-locks", []check{{"./integration", transactions}, {"./cluster/txn", recovery}}},
	{"near-decider", []check{{"./cluster/txn", "^TestLostParticipant$"}, {"./integration", "^TestRegionLostDuringTransactions$"}}},
	{"unknown-applied", []check{{"./cluster/txn", "^TestAppliedOfARequest$"}}},
	{"ask-decider", []check{{"./cluster/txn", recovery}, {"./integration", transactions}}},
	{"grant-under-intent", []check{{"./fsm", "."}}},
	{"write-under-intent", []check{{"./fsm", "."}}},
	{"finished", []check{{"./fsm", "."}}},
	{"first-decision", []check{{"./fsm", "."}}},
	{"abort-record", []check{{"./fsm", "."}, {"./cluster/txn", recovery}}},
	{"watermark", []check{{"./fsm", "."}}},
	{"attempt-age", []check{{"./fsm", "^TestLateCommit$"}}},
	{"level-of-all", []check{{"./cluster", "^TestEdgeHoldsLevel$"}}},
	{"epoch-plus-one", []check{{"./fsm", "^TestFencesRise$"}}},
	{"position-by-version", []check{{"./fsm", "^TestHistoryFollowed$"}}},
	{"history-in-memory", []check{{"./fsm", "^(TestRandom|TestHistoryFollowed)$"}}},
	{"floor-at-enable", []check{{"./fsm", "^TestRandom$"}}},
	{"history-hole", []check{{"./fsm", "^TestHistoryBelowItsFloor$"}}},
	{"cede-drops-history", []check{{"./fsm", "^TestHistoryOfWhatMoved$"}, {"./cluster/group", "^TestFeedOfAMove$"}}},
	{"floor-not-raised", []check{{"./fsm", "^TestRandom$"}}},
	{"epoch-lineage", []check{{"./fsm", "^TestMovesOnce$"}}},
	{"feed-confirm", []check{{"./cluster/group", "^TestFeedFromNow$"}}},
	{"feed-ahead-of-leader", []check{{"./cluster/group", "^TestFeedEndsWithLead$"}}},
	{"feed-epoch", []check{{"./cluster/group", "^TestFeedOfANewOwner$"}}},
	{"feed-incarnation", []check{{"./cluster/group", "^TestFeedGaps$"}}},
	{"feed-since", []check{{"./cluster/group", "^TestFeedOfANewOwner$"}}},
	{"feed-gap", []check{{"./cluster/group", "^TestFeedGaps$"}}},
	{"cursor-incarnation", []check{{"./cluster/cursor", "^(TestBefore|TestTold)$"}, {"./cluster/watch", "^TestRestoredUnderARing$"}}},
	{"moved-from-now", []check{{"./cluster/watch", "^(TestFollowsMoves|TestCursorWhole)$"}}},
	{"cursor-owners", []check{{"./cluster/watch", "^TestOwnersOfAnotherLife$"}}},
	{"another-life", []check{{"./cluster/watch", "^TestRestoredCluster$"}}},
	{"feed-apart", []check{{"./cluster/watch", "^(TestOneFeedOfAGroup|TestNowIsOnePosition|TestCursorWholeOverRanges)$"}}},
	{"feed-halt", []check{{"./cluster/group", "^TestFeedIsHalted$"}}},
	{"oldest-silent", []check{{"./cluster/watch", "^TestOldest"}}},
	{"none-match", []check{{"./api/httpd", "^TestWriteConditions$"}}},
	{"feed-halt-now", []check{{"./cluster/group", "^TestFeedIsHalted$"}}},
	{"now-latest", []check{{"./cluster/watch", "^TestNowOverAReturn$"}}},
	{"silent-gap", []check{{"./cluster/watch", "^(TestGaps|TestCursorWhole)$"}}},
	{"value-of-later", []check{{"./cluster/group", "^TestFeedValues$"}}},
	{"list-position-late", []check{{"./fsm", "^TestListPosition$"}}},
	{"expire-any-version", []check{{"./fsm", "^(TestExpireJudgesEachKey|TestRandom)$"}}},
	{"expire-under-lease", []check{{"./fsm", "^(TestExpireJudgesEachKey|TestRandom)$"}}},
	{"touch-lowers", []check{{"./fsm", "^(TestTouchOnlyRaises|TestRandom)$"}}},
	{"add-clears-deadline", []check{{"./fsm", "^(TestStepsSetDeadlines|TestRandom)$"}}},
	{"confirm-refusals", []check{{"./cluster/group", "^TestDeposedLeaderRefusesNothing$"}}},
	{"pin", []check{{"./cluster/join", "^(TestStolenCAKey|TestVouchers)$"}, {"./cluster", "^(TestMethodsOverTLS|TestImpostorAnswers)$"}}},
	{"ask-before-founding", []check{{"./cluster", founding}}},
	{"one-founder", []check{{"./cluster", founding}}},
	{"keep-majority", []check{{"./cluster", "^TestRemove$"}}},
	{"remove-dead-first", []check{{"./cluster", "^TestReconcile$"}}},
	{"hand-over", []check{{"./cluster", "^TestRollingRestart$"}}},
	{"hold-before-transfer", []check{{"./cluster/replica", "^TestTransferLeavesNothingUnknown$"}}},
	{"heal-on-read", []check{{"./cluster/replica/logstore", "^TestWALReadsHeal$"}}},
	{"refused-last", []check{{"./cluster/txn", "^TestRefusedLastIsOver$"}}},
	{"read-position", []check{{"./cluster/group", "^TestReadKeepsYoungerTransactionsOff$"}}},
	{"holder-returns", []check{{"./cluster/group", "^TestSuspectReturnsUnderLoad$"}}},
	{"doubt-own-clock", []check{{"./cluster/group", "^TestLeadersClockIsFast$"}}},
	{"judge-again", []check{{"./api/httpd", "^TestAccessOverHTTP$"}}},
	{"id-first", []check{{"./api/httpd", "^(TestWatchSuite|TestWatchFrames)$"}}},
	{"cursor-early", []check{{"./api/client", "^(TestWatchSuiteInProcess|TestWatchPassesOverRepeats)$"}}},
	{"repeats-applied", []check{{"./api/client", "^(TestWatchBreaks|TestWatchPassesOverRepeats)$"}, {"./cluster/watch", "^TestListThenWatch$"}}},
	{"cursor-cover", []check{{"./cluster/cursor", "^TestCover$"}, {"./cluster/watch", "^TestListCursorOfPart$"}}},
	{"id-mid-txn", []check{{"./cluster/watch", "^(TestIDsAreWhole|TestCursorWhole)$"}}},
	{"last-page-cursor", []check{{"./cluster/watch", "^TestListCursor$"}}},
	{"quorum-confirm", []check{{"./cluster/replica", "."}}},
}

// ci are the mutants that .ci/run demands to be caught: guards without which an answer would be wrong or a write lost. They take
// about two minutes on two cores; keep them below five.
var ci = []string{
	"fence", "decline-drops", "release-applied", "holder-ignores-deadline", "wall-time", "count-without-leader", "no-stamps",
	"hide-by-clock", "expiry-turn", "later-lease", "grant-at-apply", "kill-whole-session", "confirm-before-renewal", "newer-entry",
	"bound-in-apply", "replay-values", "expire-any-version", "expire-under-lease", "touch-lowers",
	"term-fence", "machine-lease-check", "revoke-at-prepare", "leases-after-locks", "refused-last", "near-decider", "ask-decider", "grant-under-intent",
	"write-under-intent", "first-decision", "abort-record", "watermark", "attempt-age", "epoch-lineage", "confirm-refusals",
	"ask-before-founding", "quorum-confirm", "session-owner", "attempt-owner", "resolve-hint", "scope", "pin", "await-removed", "judge-again",
	"id-first", "cursor-early", "repeats-applied", "cursor-cover", "cursor-incarnation", "id-mid-txn", "feed-apart", "feed-halt", "moved-from-now", "oldest-silent", "none-match", "silent-gap", "last-page-cursor",
	"list-position-late", "feed-confirm", "feed-ahead-of-leader", "feed-epoch", "feed-incarnation", "feed-since", "feed-gap", "value-of-later",
}

// buildLimit is for the tests of a package to be built, testLimit for a check.
const (
	buildLimit = 6 * time.Minute
	testLimit  = 3 * time.Minute
)

func main() {
	only := flag.String("run", "", "run only the mutant of this name")
	part := flag.String("part", "all", "all, or ci: the part that .ci/run runs")
	flag.Parse()
	bad, err := survivors(*only, *part)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if bad > 0 {
		fmt.Printf("%d mutants survived: a check is blind\n", bad)
		os.Exit(1)
	}
}

// survivors runs the chosen checks and counts those that did not notice.
func survivors(only, part string) (bad int, err error) {
	tests, err := newBinaries()
	if err != nil {
		return 0, err
	}
	defer tests.remove()
	chosen, err := choose(only, part)
	if err != nil {
		return 0, err
	}
	sound := map[check]bool{} // those that pass with no guard off: only of them does a failure say something
	for _, m := range chosen {
		for _, c := range m.checks {
			binary, err := tests.of(c.pkg)
			if err != nil {
				return bad, err
			}
			if part != "ci" && !sound[c] { // .ci/run has run all tests before
				if v, out := run("", c, binary); v != passed {
					return bad, fmt.Errorf("%s %s fails with no guard off:\n%s", c.pkg, c.run, indent(out))
				}
				sound[c] = true
			}
			start := time.Now()
			v, out := run(m.name, c, binary)
			word := "caught"
			if v != failed {
				word = "SURVIVED"
				bad++
			}
			fmt.Printf("%-24s %-20s %-10s %5.1fs\n", m.name, c.pkg, word, time.Since(start).Seconds())
			if v != failed {
				fmt.Print(indent(out))
			}
		}
	}
	return bad, nil
}

// choose returns the mutants to run. A name that is not in the table is an error: it would be a guard that is never checked.
func choose(only, part string) (chosen []mutant, err error) {
	for _, name := range ci {
		if !slices.ContainsFunc(mutants, func(m mutant) bool { return m.name == name }) {
			return nil, fmt.Errorf("the part ci names %q, which is no mutant", name)
		}
	}
	if part != "all" && part != "ci" {
		return nil, fmt.Errorf("there is no part %q; choose all or ci", part)
	}
	for _, m := range mutants {
		if (only == "" || m.name == only) && (part == "all" || slices.Contains(ci, m.name)) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("there is no mutant %q in the part %s", only, part)
	}
	return chosen, nil
}

// binaries are the tests of packages, built with the switches in them, each once.
type binaries struct {
	dir   string
	built map[string]string // by package
}

func newBinaries() (*binaries, error) {
	dir, err := os.MkdirTemp("", "edgehold-mutants-")
	return &binaries{dir: dir, built: map[string]string{}}, err
}

func (b *binaries) remove() { _ = os.RemoveAll(b.dir) } // it is in the system's folder for such

// of returns the file of the package's tests.
func (b *binaries) of(pkg string) (string, error) {
	if file, ok := b.built[pkg]; ok {
		return file, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildLimit)
	defer cancel()
	file, start := filepath.Join(b.dir, fmt.Sprint(len(b.built), ".test")), time.Now()
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "mutants", "-o", file, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s does not build: %w\n%s", pkg, err, out)
	}
	fmt.Printf("%-24s %-20s %-10s %5.1fs\n", "", pkg, "built", time.Since(start).Seconds())
	b.built[pkg] = file
	return file, nil
}

// verdict is what a check has said.
type verdict int

const (
	passed verdict = iota
	failed         // one of its tests did
	broken         // it did not run, or hung: its output has the stacks
)

// run runs a check with the guard of that name switched off; "" switches none off.
func run(mutant string, c check, binary string) (v verdict, out string) {
	ctx, cancel := context.WithTimeout(context.Background(), testLimit+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.failfast", "-test.timeout", testLimit.String(), "-test.run", c.run)
	cmd.Dir = c.pkg // as go test does
	cmd.Env = append(os.Environ(), "EDGEHOLD_MUTANT="+mutant)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	out = b.String()
	switch {
	case err == nil:
		return passed, out
	case strings.Contains(out, "panic: test timed out"):
		return broken, out
	case strings.Contains(out, "--- FAIL") || strings.Contains(out, "panic:"):
		return failed, out
	}
	return broken, out
}

func indent(s string) string {
	const most = 20_000
	if len(s) > most {
		s = s[:most/2] + "\n[...]\n" + s[len(s)-most/2:]
	}
	return "    " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ") + "\n"
}
