// Package catalog defines what a federation has in common: the records of its
// datacenters, gateways, tokens, services, exports and observations, the commands that
// change them, and why a command is refused. A record, a key and a command have a
// method or function Check for the rules that need nothing else. The package is pure.
//
// Package replica is the state: it applies the commands to a copy of the catalog. Package
// snapshot is the format of a copy on disk, package quota what a datacenter may use, and
// package catalogpb the encoding of records and commands.
package catalog
