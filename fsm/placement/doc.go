// Package placement says who owns what: [Map], a value that every node holds a copy of, and [Machine], the state machine
// of the meta group that keeps the one true copy. The machine is pure: no clock, no randomness, no network.
//
// The map routes; it does not decide who may serve a key. That stands in the groups' own state, so a stale map costs a
// detour, never a wrong answer.
package placement
