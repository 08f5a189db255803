//go:build !linux

package main

import (
	"runtime"
	"time"
)

// cpu is time that processes have used. It is not measured on this system.
type cpu struct{ servers, client time.Duration }

func readCPU([]*process) cpu   { return cpu{} }
func (c cpu) since(cpu) cpu    { return c }
func settleDisk()              {}
func fileSystem(string) string { return "unknown" }
func kernel() string           { return runtime.GOOS }
func memoryGiB() float64       { return 0 }
func loadAverage() float64     { return 0 }
