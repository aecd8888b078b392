// Package trust decides which records of the catalog this gateway believes. Each
// datacenter signs its records; a leader or a snapshot can withhold them, but not
// forge them. Judge compares what the catalog contains with a Ledger of what was
// verified before, and Authenticator keeps the ledger of one gateway.
// agent/control/DESIGN.md has the reasons.
package trust
