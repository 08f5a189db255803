package fronts

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// runBound is the most that one run of a client takes. A client that hangs is killed then, and its output is shown.
const runBound = 2 * time.Minute

// run runs the program in the folder until it ends, with the further settings of its environment, such as EDGEHOLD_ADDR=..., and returns
// what it has printed. Unless the program ends with status 0, the test fails and shows that.
func run(t testing.TB, dir string, env []string, program string, args ...string) (printed string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, append(plainEnv(), env...)
	cmd.WaitDelay = 5 * time.Second // a child of it may hold the pipe
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// plainEnv is the environment without what would configure Edgehold or colour a program's output.
func plainEnv() []string {
	return append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "EDGEHOLD_") }), "NO_COLOR=1")
}
