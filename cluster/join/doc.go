// Package join is how nodes prove who they are and how new ones come in: join tokens, the keys and certificates of nodes, and the
// cluster's certificate authority. All X.509 is here. It uses the standard library alone.
package join
