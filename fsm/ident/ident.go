// Package ident defines the names of processes, groups and transactions that a group's machine stores. It imports
// only package api.
package ident

import "github.com/edgehold/edgehold/api"

// MetaGroup holds the placement map.
const MetaGroup api.GroupID = "meta"

// Nonce is a random value that a process draws when it starts. It distinguishes two processes with the same node ID.
type Nonce [16]byte

// FirstIncarnation is the incarnation of a group that has not been restored from a backup.
const FirstIncarnation = 1
