// Package packages tests the deb of a release in a bare Debian system: `make
// test-packages` makes two releases, and installs, upgrades and purges their packages on
// the gateway of a federation.
package packages
