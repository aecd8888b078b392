// Package envelope checks what of a command does not depend on the state: its kind, size,
// time and certificates. It is pure.
package envelope

import (
	"fmt"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Check refuses what must not be in the log whatever the state is; now is the time of the
// leader. A command that
// Apply does not support stops every member.
func Check(cmd *catalogpb.Command, now time.Time) *catalog.Refusal {
	if err := catalog.CheckSupported(cmd); err != nil {
		return &catalog.Refusal{
			Code: catalog.CodeUnknownCommand, Message: "the leader does not support this command: " + err.Error(),
			Remedy: "upgrade meshd on all gateways, then try again",
		}
	}
	if r := catalog.CheckEnvelope(cmd); r != nil {
		return r
	}
	if der, ok := catalog.CertificateOf(cmd); ok {
		if _, r := catalog.ParseCA(der); r != nil {
			return r
		}
	}
	return checkClock(cmd, now)
}

// checkClock bounds the time of a command in both directions: tokens and clients
// expire by it, and a command of the past would not count as one of today.
func checkClock(cmd *catalogpb.Command, now time.Time) *catalog.Refusal {
	skew := cmd.GetAt().AsTime().Sub(now)
	code, direction := catalog.CodeClockAhead, "ahead of"
	if skew < 0 {
		code, direction, skew = catalog.CodeClockBehind, "behind", -skew
	}
	if skew <= catalog.MaxClockSkew {
		return nil
	}
	return &catalog.Refusal{
		Code: code, Field: "at",
		Message: fmt.Sprintf("the clock of gateway %s is %s %s the leader's clock", catalog.Shorten(cmd.GetAuthor()), skew.Round(time.Second), direction),
		Remedy:  "synchronize the clocks of both hosts, for example with NTP",
	}
}
