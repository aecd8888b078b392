// Package proposals owns the commands of this member on their way to the log: the
// session that stamps them, so that each is applied once, the attempts to write them,
// and the batches in which they share entries.
package proposals
