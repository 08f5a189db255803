// Package consul has the tests of the front for clients of Consul with its official Go client. It is a module of its own, with
// consul-template as its tool, so that the product depends on neither. Tests of integration/fronts run it against a planet.
package consul
