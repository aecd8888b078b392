//go:build !linux

package portowner

// Of returns "another process": this system is not supported.
func Of(string, uint16) string { return "another process" }
