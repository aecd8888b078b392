// Package setup tests .ci/setup, which installs the tools of the make targets.
package setup
