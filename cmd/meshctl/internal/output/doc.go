// Package output owns the formats of what meshctl prints, and the terminal that it prints
// to and reads from.
package output
