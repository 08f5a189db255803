package clock

import (
	"os"
	"strings"
	"time"
)

// Source is the file in which Linux names the machine's clock source.
const Source = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

// KVMPause is the pause allowance P of a guest whose clock source is kvm-clock: such a guest cannot see that it was paused.
const KVMPause = 2 * time.Second

// PauseAllowance returns the default P of this machine. It is KVMPause if the file source, by default [Source], names
// kvm-clock, or if it cannot be read on Linux; else it is 0.
func PauseAllowance(source string) time.Duration {
	if source == "" {
		source = Source
	}
	b, err := os.ReadFile(source)
	switch {
	case err != nil:
		return unknownPause
	case strings.TrimSpace(string(b)) == "kvm-clock":
		return KVMPause
	}
	return 0
}
