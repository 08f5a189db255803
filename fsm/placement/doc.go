// Package placement has the placement map: [Map], of which every node has a copy, and [Machine], the state machine of the
// meta group, which has the authoritative copy. The machine is pure: no clock, no randomness, no network.
//
// The map routes requests; it does not decide which group may serve a key. The groups' own state does, so a stale map costs
// a detour, never a wrong answer.
package placement
