// Package tunneltest has a tunnel.Device in memory, which is stateful and
// strict, and the table of promises that every Device keeps: the fake one and
// the real ones run the same.
package tunneltest
