// Package join is how nodes prove who they are and how new ones come in: join tokens, the keys and certificates of nodes, the
// cluster's CA, and the checks of what other nodes show. All X.509 of Edgehold is here. The package uses the standard library alone,
// opens no connection, and compares no date: between nodes a certificate says who a node is, and the placement map says whether it
// belongs to the cluster.
package join
