// Command mutants switches the guards of the protocol off, one at a time, and demands that the checks notice. A checker
// that never saw its bug proves nothing. Guards can be switched only in binaries built with the tag `mutants`.
//
// Usage: go run ./integration/mutants [-run NAME]
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
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
const transactions = "^(TestRevokedAtPrepare|TestWriteSkewUnderLeases|TestNobodyDecidesAlone)$"

// recovery are the coordinators over real groups in which they do.
const recovery = "^(TestLeasesAreAskedAfterLocks|TestPartitions|TestDecisionGroupIsLost|TestCoordinatorDies)$"

// founding are the servers that are to found a cluster, together and after a loss.
const founding = "^(TestFounderLosesItsFolder|TestSeveralFounders)$"

// mutants names each guard of PROTOCOL 11 that has a switch, and who must notice.
var mutants = []struct {
	name   string
	checks []check
}{
	{"fence", []check{{"./cluster/edge", "."}, {"./integration", scripts}}},
	{"decline-drops", []check{{"./cluster/edge", "."}}},
	{"release-applied", []check{{"./cluster/edge", "^TestNoStaleReads$"}}},
	{"grant-at-apply", []check{{"./cluster/region", "."}, {"./integration", scripts}}},
	{"kill-whole-session", []check{{"./fsm", "."}, {"./integration", scripts}, {"./integration", "^TestGuards$"}}},
	{"confirm-before-renewal", []check{{"./cluster/region", "."}, {"./integration", scripts}}},
	{"newer-entry", []check{{"./fsm", "^TestTranscripts$"}}},
	{"term-fence", []check{{"./fsm", "."}}},
	{"machine-lease-check", []check{{"./fsm", "."}, {"./integration", scripts}}},
	{"revoke-at-prepare", []check{{"./fsm", "."}, {"./integration", transactions}}},
	{"leases-after-locks", []check{{"./integration", transactions}, {"./cluster/txn", recovery}}},
	{"unknown-applied", []check{{"./cluster/txn", "^TestAppliedOfARequest$"}}},
	{"ask-decider", []check{{"./cluster/txn", recovery}, {"./integration", transactions}}},
	{"grant-under-intent", []check{{"./fsm", "."}}},
	{"write-under-intent", []check{{"./fsm", "."}}},
	{"finished", []check{{"./fsm", "."}}},
	{"first-decision", []check{{"./fsm", "."}}},
	{"abort-record", []check{{"./fsm", "."}, {"./cluster/txn", recovery}}},
	{"watermark", []check{{"./fsm", "."}}},
	{"confirm-refusals", []check{{"./cluster/region", "^TestDeposedLeaderRefusesNothing$"}}},
	{"ask-before-founding", []check{{"./cluster", founding}}},
	{"one-founder", []check{{"./cluster", founding}}},
	{"read-turn", []check{{"./cluster/region", "^TestReaderTakesItsTurn$"}}},
	{"quorum-confirm", []check{{"./cluster/replica", "."}}},
}

// limit is for a check with its build, testLimit for its tests alone.
const (
	limit     = 6 * time.Minute
	testLimit = 3 * time.Minute
)

func main() {
	only := flag.String("run", "", "run only the mutant of this name")
	flag.Parse()
	bad := 0
	for _, m := range mutants {
		if *only != "" && m.name != *only {
			continue
		}
		for _, c := range m.checks {
			start := time.Now()
			caught, out := run(m.name, c)
			verdict := "caught"
			if !caught {
				verdict = "SURVIVED"
				bad++
			}
			fmt.Printf("%-24s %-20s %-10s %5.1fs\n", m.name, c.pkg, verdict, time.Since(start).Seconds())
			if !caught {
				fmt.Print(indent(out))
			}
		}
	}
	if bad > 0 {
		fmt.Printf("%d mutants survived: a check is blind\n", bad)
		os.Exit(1)
	}
}

// run tells whether the check failed by one of its tests, and not because it did not build, did not run or hung: then out
// has the stacks.
func run(mutant string, c check) (caught bool, out string) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-tags", "mutants", "-count=1", "-failfast", "-timeout", testLimit.String(), "-run", c.run, c.pkg)
	cmd.Env = append(os.Environ(), "EDGEHOLD_MUTANT="+mutant)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	out = b.String()
	ran := strings.Contains(out, "--- FAIL") || strings.Contains(out, "panic:")
	if strings.Contains(out, "[build failed]") || strings.Contains(out, "panic: test timed out") {
		return false, out
	}
	return err != nil && ran, out
}

func indent(s string) string {
	const most = 20_000
	if len(s) > most {
		s = s[:most/2] + "\n[...]\n" + s[len(s)-most/2:]
	}
	return "    " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ") + "\n"
}
