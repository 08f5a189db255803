package api

import "context"

// Settings is what operators ask about settings, which hold for all nodes of a cluster, and about its level. Every node answers what
// is; servers change it.
type Settings interface {
	// Settings lists all settings, in order of name.
	Settings(ctx context.Context) ([]Setting, error)
	// Setting returns one. CodeNotFound if there is none of that name.
	Setting(ctx context.Context, name string) (*Setting, error)
	// SetSetting gives a setting a value. CodeNotFound if there is none of that name, CodeInvalid with the bound for a value that it
	// does not take, CodeConflict if the cluster cannot take it now. force allows what makes the cluster less safe.
	SetSetting(ctx context.Context, name, value string, force bool) (*Setting, error)
	// UnsetSetting gives a setting its default again. The errors are those of SetSetting.
	UnsetSetting(ctx context.Context, name string) (*Setting, error)
	// ClusterLevel returns the level of the cluster, and which nodes keep it from rising. It waits a second for their answers.
	ClusterLevel(ctx context.Context) (*ClusterLevel, error)
}

// Setting is a setting of a cluster and its present value.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Type    string `json:"type"`   // duration, number or choice
	Bounds  string `json:"bounds"` // the values that it takes, in words
	Doc     string `json:"doc"`
}

// ClusterLevel is the level of a cluster: the newest format that its nodes have agreed on.
type ClusterLevel struct {
	Level int `json:"level"`
	// Newest is the highest level that the program of the node that answers knows.
	Newest int `json:"newest"`
	// Hold is the setting level-hold: the level does not rise while it is on.
	Hold bool `json:"hold"`
	// HeldBy are the nodes that keep the level from rising.
	HeldBy []LevelHolder `json:"held_by"`
}

// LevelHolder is a node that keeps the level of its cluster from rising.
type LevelHolder struct {
	Node NodeID `json:"node"`
	Why  string `json:"why"`
}
