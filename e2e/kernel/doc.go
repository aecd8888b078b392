// Package kernel runs the tests of tunnel/kernel in a small virtual machine
// with a kernel of the distribution, because few machines that build Meshway
// may load modules and the tests must not change the network of any. It has
// only a test, which requires qemu but not root: go test -tags kernel
// ./e2e/kernel.
package kernel
