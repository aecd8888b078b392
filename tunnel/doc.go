// Package tunnel describes WireGuard interfaces as values, computes what
// differs from the real ones, and applies the difference.
package tunnel
