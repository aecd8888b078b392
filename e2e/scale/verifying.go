//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/meshway/meshway/agent/trust"
)

// measureVerify measures how long an agent verifies the records of all datacenters: when it
// sees them first, and after a restart, with the ledger on its disk.
func (b *bench) measureVerify(context.Context) error {
	have, err := b.size.Signed()
	if err != nil {
		return err
	}
	none := trust.Ledger{FederationID: have.Federation.ID}
	first := trust.Judge(b.size.Self(), none, have)
	if len(first.Findings) > 0 || len(first.Catalog.Gateways) != len(have.Gateways) {
		return fmt.Errorf("the records do not verify: %v", first.Findings)
	}
	text, err := json.Marshal(first.Ledger)
	if err != nil {
		return err
	}
	b.result.VerifyFirst, err = b.median("verification at first sight", timed(func() { trust.Judge(b.size.Self(), none, have) }))
	if err != nil {
		return err
	}
	var failed error
	b.result.Verify, err = b.median("verification after a restart", timed(func() {
		var stored trust.Ledger
		if failed = json.Unmarshal(text, &stored); failed == nil && trust.Judge(b.size.Self(), stored, have).Changed {
			failed = fmt.Errorf("the ledger of the same records changes")
		}
	}))
	if failed != nil {
		return failed
	}
	return err
}
