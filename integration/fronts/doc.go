// Package fronts has the tests of the fronts and of the packages of other languages, with the real clients of integration/clients. They
// share one planet, whose edge is 200 ms from home.
package fronts
