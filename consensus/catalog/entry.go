package catalog

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// ErrUnknownCommand reports that the log holds a command that this build does not
// support. Skipping it would make the state of this member differ from that of the
// others, so the member must stop until it is upgraded.
var ErrUnknownCommand = errors.New("command is unknown to this version of meshd: upgrade meshd")

// Marshal encodes commands as the data of one raft log entry. The encoding is
// deterministic.
func Marshal(cmds ...*catalogpb.Command) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&catalogpb.Entry{Commands: cmds})
	if err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	return b, nil
}

// Unmarshal decodes the data of one raft log entry. It returns ErrUnknownCommand if
// the entry has a field that this build does not support.
func Unmarshal(b []byte) ([]*catalogpb.Command, error) {
	var entry catalogpb.Entry
	if err := proto.Unmarshal(b, &entry); err != nil {
		return nil, fmt.Errorf("decode entry: %w", err)
	}
	if len(entry.ProtoReflect().GetUnknown()) > 0 {
		return nil, fmt.Errorf("decode entry: %w", ErrUnknownCommand)
	}
	return entry.GetCommands(), nil
}

// CheckSupported returns ErrUnknownCommand if this build does not support cmd.
// Protobuf keeps a body of an unknown kind in the unknown fields.
func CheckSupported(cmd *catalogpb.Command) error {
	switch {
	case cmd.GetVersion() == 0 || cmd.GetVersion() > Level:
		return fmt.Errorf("command has version %d, this build supports up to version %d: %w", cmd.GetVersion(), Level, ErrUnknownCommand)
	case cmd.GetBody() == nil, len(cmd.ProtoReflect().GetUnknown()) > 0:
		return ErrUnknownCommand
	}
	return nil
}
