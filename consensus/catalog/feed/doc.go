// Package feed has the latest changes of the services in a member's copy of the
// catalog, in the order of the log, for any number of watchers. It is bounded: a watcher
// that falls behind, or that continues from an older index, gets a *LostError and reads
// the services again.
package feed
