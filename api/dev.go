package api

import "context"

// Dev is what a planet in one process offers to try what happens when networks and nodes fail: see `edgehold dev`. No node of a real
// cluster has it. Each method returns what is in force afterwards.
type Dev interface {
	// DevStatus returns the planet, and which faults are in force.
	DevStatus(ctx context.Context) (*DevStatus, error)
	// CutRegions cuts two regions off from each other. Nodes go on in both; what they send each other arrives after the cut is
	// healed. It does no harm to regions that are cut off already. CodeInvalid if they are the same region, CodeNotFound if the
	// planet lacks one of them.
	CutRegions(ctx context.Context, a, b RegionID) (*DevStatus, error)
	// HealRegions undoes CutRegions; every cut if both names are "". It does no harm if there is none. The errors are those of
	// CutRegions.
	HealRegions(ctx context.Context, a, b RegionID) (*DevStatus, error)
	// StopNode stops a node of the planet, as the end of its process does after SIGTERM. Its port refuses connections, its data
	// stays. It returns when the node has stopped, or CodeAmbiguous if ctx ends before: the node still stops. CodeNotFound if there
	// is no such node, CodeConflict if it is the node that is asked. It does no harm to a node that is stopped.
	StopNode(ctx context.Context, node NodeID) (*DevStatus, error)
	// StartNode starts a node that was stopped, with the name, address and data that it had. It returns when the node answers,
	// which may be before it is ready. CodeNotFound if there is no such node, CodeUnavailable if its port is taken, CodeAmbiguous
	// if ctx ends before: it may still start. It does no harm to a node that runs.
	StartNode(ctx context.Context, node NodeID) (*DevStatus, error)
}

// DevStatus is a planet of `edgehold dev`, and the faults in force.
type DevStatus struct {
	Regions []RegionID `json:"regions"`
	// Cuts are the pairs of regions that are cut off from each other.
	Cuts  []DevCut  `json:"cuts"`
	Nodes []DevNode `json:"nodes"`
}

// DevCut is a pair of regions that are cut off from each other.
type DevCut struct {
	A RegionID `json:"a"`
	B RegionID `json:"b"`
}

// DevNode is a node of a planet of `edgehold dev`.
type DevNode struct {
	Node   NodeID   `json:"node"`
	Region RegionID `json:"region"`
	Role   Role     `json:"role"`
	URL    string   `json:"url"`
	// State is up, stopping, stopped or starting.
	State DevState `json:"state"`
	// Self: it is the node that answers, which cannot be asked to stop itself.
	Self bool `json:"self,omitempty"`
}

// DevState is what the process of a node of a planet does, as far as the planet decides it.
type DevState string

// The states of nodes.
const (
	DevUp       DevState = "up"
	DevStopping DevState = "stopping"
	DevStopped  DevState = "stopped"
	DevStarting DevState = "starting"
)
