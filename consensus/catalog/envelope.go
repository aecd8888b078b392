package catalog

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// MaxCommandSize bounds the encoded size of one command, in bytes. Several
// commands share one log entry, which should be smaller than 512 KiB
// (SuggestedMaxDataSize of hashicorp/raft).
const MaxCommandSize = 64 << 10

// MaxClockSkew is how far a proposer's clock may differ from the leader's. It is
// bounded because tokens and clients expire by the time of the commands.
const MaxClockSkew = 10 * time.Minute

// CheckEnvelope returns why the catalog refuses the fields of cmd other than its
// body, or nil.
func CheckEnvelope(cmd *catalogpb.Command) *Refusal {
	if size := proto.Size(cmd); size > MaxCommandSize {
		return tooLarge("", fmt.Sprintf("the command has %d bytes, the maximum is %d", size, MaxCommandSize),
			"split it into several commands")
	}
	if cmd.GetAt() == nil || !cmd.GetAt().IsValid() {
		return Malformed("at", "the time of the command is missing or invalid")
	}
	client := cmd.GetClient()
	isText := onlyBytes(client, func(c byte) bool { return ' ' < c && c < 0x7f })
	switch {
	case len(client) > maxClientLength || !isText:
		return Malformed("client", fmt.Sprintf("the client id is longer than %d bytes or not printable", maxClientLength))
	case (client == "") != (cmd.GetSequence() == 0):
		return Malformed("sequence", "client and sequence must be set together")
	case cmd.GetSequence() > 0 && cmd.GetAcknowledged() >= cmd.GetSequence():
		return Malformed("acknowledged", "a command cannot acknowledge its own result")
	}
	return nil
}
