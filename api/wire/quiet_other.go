//go:build !linux

package wire

// setLowAt is not possible here, or has other effects.
func setLowAt(uintptr, int) {}
