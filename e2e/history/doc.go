// Package history records what clients of the catalog call and get while faults are
// injected, and checks the recorded history: consistent reads, registrations and
// deregistrations are linearizable, a stale read returns the catalog of the index that it
// names, a write takes effect at most once, and a watch has each change once and in
// order, over restarts and at other members. Its tests run members in a synctest bubble,
// where a seed names the faults and the calls, and as processes in namespaces, with
// networks, disks and files that fail.
//
// The time of day of a process cannot be set, as the kernel has one for all: only in the
// bubble it jumps. A process that starts gets another monotonic and boot clock than the
// others and than it had before.
//
// Product code never imports it.
package history
