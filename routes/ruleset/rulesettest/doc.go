// Package rulesettest has rules as other programs and people write them, and what
// they do with the packets of a gateway.
package rulesettest
