package clock

import (
	"os"
	"strings"
	"time"
)

// Source is where Linux tells what the machine's clock counts by.
const Source = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

// KVMPause is the pause allowance P of a guest that counts by kvm-clock: such a guest cannot see that it was paused.
const KVMPause = 2 * time.Second

// PauseAllowance is the default P of this machine: KVMPause where source, a file like [Source], says kvm-clock, or where
// Linux does not say; 0 otherwise. An empty source means Source.
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
