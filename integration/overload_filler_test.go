package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// Two processors of a machine are often two threads of one core: each is a third slower while the other one works. The
// clients work harder for an overload than for a peak, and what is measured of the nodes would be less for that alone. So
// what the clients leave of their processors is used by fillers, all the time.

const fillerVariable = "OVERLOAD_FILLER"

// keepBusy has processes use what others leave of n processors, where spawn starts them, until end.
func keepBusy(t testing.TB, spawn func(*exec.Cmd) error, n int) (end func()) {
	t.Helper()
	if n == 0 {
		return func() {}
	}
	cmd := exec.Command("nice", "-n", "19", os.Args[0], "-test.run", "^TestOverloadFiller$", "-test.timeout", "15m")
	cmd.Env = append(plainEnv(), fillerVariable+"="+strconv.Itoa(n))
	if err := spawn(cmd); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = cmd.Process.Kill() // it does nothing else than to use its processors
		if err := cmd.Wait(); cmd.ProcessState.Exited() {
			t.Errorf("the filler ended by itself: %v", err)
		}
	}
}

// TestOverloadFiller is the process of keepBusy. It does what programs do: it hashes, compares and copies.
func TestOverloadFiller(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(fillerVariable))
	if err != nil {
		t.Skip("a part of BenchmarkOverload")
	}
	for range n - 1 {
		go fill()
	}
	fill()
}

func fill() {
	seen := map[string]int{}
	var key []byte
	for i := 0; ; i++ {
		key = fmt.Appendf(key[:0], "key/%d", i%10_000)
		seen[string(key)] = i
	}
}
