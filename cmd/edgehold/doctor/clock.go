package doctor

import (
	"context"
	"errors"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/words"
)

// clockSource checks that the kernel reads a clock that is fast and keeps its rate.
func clockSource(_ context.Context, x *exam) []Finding {
	file := filepath.Join(x.sys, strings.TrimPrefix(clock.Source, "/sys"))
	b, err := os.ReadFile(file)
	if err != nil {
		return skip("nothing: this system does not name its clock source", "the clock source is not known")
	}
	switch source := strings.TrimSpace(string(b)); source {
	case "kvm-clock":
		return warn("choose tsc, if the host keeps it stable", "%s: this guest cannot see that it was paused, so its leases allow for %v of pause, and writers wait longer for it", source, clock.KVMPause)
	case "jiffies", "hpet", "acpi_pm", "pit":
		return warn("see why the kernel does not trust tsc: dmesg | grep -i clocksource", "%s is a slow clock, and each read of a key asks it", source)
	default:
		return ok("%s", source)
	}
}

// clockRate compares the clock that is not slewed with the one that is: leases need both to be right within 1 %.
func clockRate(ctx context.Context, x *exam) []Finding {
	from := x.Clock.Now()
	if !sleep(ctx, x.rateOver) {
		return skip("give it more time: --timeout", "the clocks were not compared")
	}
	now := x.Clock.Now()
	raw, slewed := now.Raw-from.Raw, now.Boottime-from.Boottime
	if raw <= 0 || slewed <= 0 {
		return fail("restart the machine, or give it another clock source", "a clock stands still: in %v one moved %v and the other %v", x.rateOver, raw, slewed)
	}
	off := math.Abs(float64(slewed)/float64(raw) - 1)
	const next = "see why the time service moves the clock so fast: chronyc tracking"
	switch {
	case off > words.ClockRateError:
		return fail(next, "the clock is slewed by %.2f %%, and leases allow for 1 %%", 100*off)
	case off > words.ClockRateError/10:
		return warn(next, "the clock is slewed by %.2f %%, and leases allow for 1 %%", 100*off)
	}
	return ok("slewed by %.3f %% of 1 %% at most", 100*off)
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

const (
	comparedNodes = 3               // whose dates are asked for
	probeTimeout  = 3 * time.Second // for one question to another node
	dateWarn      = 5 * time.Second
	dateFail      = 5 * time.Minute // the meta leader ends no tokens then
)

// dates compares this machine's time of day with that of other nodes. Leases do not need it; the ends of tokens and certificates do.
func dates(ctx context.Context, x *exam) []Finding {
	s, err := x.status()
	if err != nil {
		return unanswered("the nodes to compare with", err)
	}
	var worst time.Duration
	asked := 0
	for _, n := range s.Nodes {
		if asked == comparedNodes {
			break
		}
		if off, err := x.dateOff(ctx, n.URL); err == nil {
			asked++
			if off.Abs() > worst.Abs() {
				worst = off
			}
		}
	}
	const next = "run a time service, such as chrony, on every machine"
	switch {
	case asked == 0:
		return skip("see the check reach", "no node was there to compare with")
	case worst.Abs() > dateFail:
		return fail(next, "the date of a node is %v off this machine's: tokens and certificates end at the wrong time", worst.Round(time.Second))
	case worst.Abs() > dateWarn:
		return warn(next, "the date of a node is %v off this machine's", worst.Round(time.Second))
	}
	return ok("within %v of %d nodes", dateWarn, asked)
}

// dateOff returns how far the date of the node is ahead of this machine's, as far as an answer's Date shows it: in whole seconds.
func (x *exam) dateOff(ctx context.Context, url string) (time.Duration, error) {
	began := time.Now()
	date, err := x.probe(ctx, url)
	if err != nil {
		return 0, err
	}
	ended := time.Now()
	switch first, last := date.Sub(ended), date.Add(time.Second).Sub(began); {
	case first > 0:
		return first, nil
	case last < 0:
		return last, nil
	}
	return 0, nil
}

// probe asks whether a node answers at its URL, and returns the date of the answer.
func (x *exam) probe(ctx context.Context, url string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/livez", http.NoBody)
	if err != nil {
		return time.Time{}, err
	}
	res, err := x.HTTP.Do(req)
	if err != nil {
		return time.Time{}, err
	}
	_ = res.Body.Close() // its date is all that is asked
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return time.Time{}, errors.New("the answer has no date: it is not a node's")
	}
	return date, nil
}

// probeAll asks nodes at once, and returns for each what went wrong.
func (x *exam) probeAll(ctx context.Context, all []api.NodeStatus) []error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, n := range all {
		wg.Go(func() { _, errs[i] = x.probe(ctx, n.URL) })
	}
	wg.Wait()
	return errs
}
