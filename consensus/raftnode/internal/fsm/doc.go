// Package fsm owns the copy of the catalog that raft's log is applied to, and the
// index up to which it is applied.
package fsm
