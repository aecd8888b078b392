// Package tunneltest has a stateful and strict tunnel.Device in memory, and the
// contract tests that the fake and every real Device run.
package tunneltest
