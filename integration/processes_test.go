package integration

import "testing"

// TestProcesses runs real processes of the real binary through what they are built to survive.
func TestProcesses(t *testing.T) {
	skipUnderRace(t, "starts processes")
	t.Parallel()
	binary := buildBinary(t)
	region := newRegionFleet(t, binary) // becomes ready while the other runs
	t.Run("EdgeCutOff", func(t *testing.T) {
		f, server, edge, between := cutOffFleet(t, binary)
		testEdgeCutOff(t, f, server, edge, between)
	})
	ready(t, region.nodes...)
	t.Run("LeaderKilled", func(t *testing.T) { testLeaderKilled(t, region) })
	t.Run("Import", func(t *testing.T) { testImport(t, region) })
	region.stop(t)
}

// TestProcessesStart runs what happens to processes as they start and end.
func TestProcessesStart(t *testing.T) {
	skipUnderRace(t, "starts processes")
	t.Parallel()
	binary := buildBinary(t)
	t.Run("DamagedDisk", func(t *testing.T) { testDamagedDisk(t, binary) })
	t.Run("Signals", func(t *testing.T) { testSignals(t, binary) })
	t.Run("FounderWiped", func(t *testing.T) { testFounderWiped(t, binary) })
}
