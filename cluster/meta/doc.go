// Package meta keeps the placement map: [Meta] is the map's own group at one of its voters, [Client] changes the map from
// any node, and [Mirror] is every node's copy, kept fresh by long polls.
package meta
