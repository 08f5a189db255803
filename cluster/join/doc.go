// Package join is how nodes prove their identity and how new ones join: join tokens, the keys and certificates of nodes, the
// cluster's CA, and the checks of what other nodes show. All X.509 of Edgehold is here. The package uses the standard library alone,
// opens no connection, and compares no date: between nodes a certificate names a node, and the placement map says whether it
// belongs to the cluster.
package join
