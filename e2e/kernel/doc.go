// Package kernel runs the tests of tunnel/kernel in a small virtual machine
// with a Debian kernel, because few machines that build Meshway may load
// modules, and none should have its network touched by tests. It has only a
// test, which needs qemu but not root: go test -tags kernel ./e2e/kernel.
package kernel
