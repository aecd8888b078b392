// Package upgrade tests that this build and an earlier one run in one federation, and
// that each reads what the other has left on disk. The earlier build is made from the
// history of this repository.
package upgrade
