// Package ruleset determines what the nftables rules of other programs do with a
// packet. It is pure. A match that it does not understand may or may not apply, so
// that a packet is reported as dropped only if no outcome lets it pass.
package ruleset
