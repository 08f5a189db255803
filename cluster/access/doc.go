// Package access authenticates principals and checks their rights, once for all fronts. A [Table] is compiled from a revision of the roll; a
// [Warden] holds the newest one, turns a client's token into a principal, and checks rights, rates and the age of the table. An
// [Audit] writes down what was refused and what was administered. Rights only add up: there is no rule that forbids.
package access
