// Package configtest has configurations of the agent, for tests of its validator and of
// what must accept and refuse the same.
package configtest
