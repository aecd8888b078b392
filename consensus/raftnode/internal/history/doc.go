// Package history has the events of the catalog: those of the log, and of each datacenter
// the newest ones, which neither the commands of another datacenter nor a cut of the log
// removes.
package history
