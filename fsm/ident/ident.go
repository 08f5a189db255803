// Package ident holds the names that a group's machine stores: of processes, groups and transactions. It imports package api alone.
package ident

import "github.com/edgehold/edgehold/api"

// MetaGroup holds the placement map.
const MetaGroup api.GroupID = "meta"

// Nonce is drawn by a process when it starts, so that two processes with one node ID are told apart.
type Nonce [16]byte

// FirstIncarnation is that of a group which has not been restored from a backup.
const FirstIncarnation = 1
