// Package entrycheck decides which raft log entries of other members this build can apply. It
// is pure.
package entrycheck

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Bounds of an entry, several times what a leader writes: 256 KiB of commands that have at
// least an author and a time. One of many tiny commands takes
// a hundred times its size in memory.
const (
	maxEntrySize     = 1 << 20
	maxEntryCommands = 16 << 10
)

// Check returns why replica.State.Apply cannot apply the data of a raft log entry, or why that
// would cost more than an entry of an honest leader, or nil. A member stops permanently at such
// an entry. The error is catalog.ErrUnknownCommand if a later build may apply it.
func Check(b []byte) error {
	if len(b) > maxEntrySize {
		return fmt.Errorf("the entry has %d bytes, the maximum is %d", len(b), maxEntrySize)
	}
	if newEntryScan().supported(b) {
		return nil
	}
	cmds, err := catalog.Unmarshal(b)
	if err != nil {
		return err
	}
	if len(cmds) > maxEntryCommands {
		return fmt.Errorf("the entry has %d commands, the maximum is %d", len(cmds), maxEntryCommands)
	}
	for i, cmd := range cmds {
		if err := catalog.CheckSupported(cmd); err != nil && !cmd.GetIgnorable() {
			return fmt.Errorf("command %d by %q: %w", i, catalog.Shorten(cmd.GetAuthor()), err)
		}
	}
	return nil
}

// entryScan finds out without decoding whether an entry has only commands that this build
// supports. Each member checks each entry once more than it applies it, and to decode it takes
// a tenth of the time of that. Whatever this build does not write itself is left to the decoder.
type entryScan struct {
	command protoreflect.MessageDescriptor
	version protoreflect.FieldDescriptor
	body    protoreflect.OneofDescriptor
}

func newEntryScan() entryScan {
	d := (*catalogpb.Command)(nil).ProtoReflect().Descriptor()
	return entryScan{command: d, version: d.Fields().ByName("version"), body: d.Oneofs().ByName("body")}
}

// supported reports whether b is an entry of supported commands, not more than
// maxEntryCommands; false: it has to be decoded.
func (s entryScan) supported(b []byte) bool {
	for n := 0; len(b) > 0; n++ {
		number, kind, size := protowire.ConsumeTag(b)
		if size < 0 || number != 1 || kind != protowire.BytesType || n == maxEntryCommands {
			return false
		}
		command, length := protowire.ConsumeBytes(b[size:])
		if length < 0 || !s.supportedCommand(command) {
			return false
		}
		b = b[size+length:]
	}
	return true
}

// supportedCommand is catalog.CheckSupported for a command that is not decoded.
func (s entryScan) supportedCommand(b []byte) bool {
	version, body := uint32(0), false
	known := eachField(b, s.command, func(field protoreflect.FieldDescriptor, value uint64) {
		if field == s.version {
			version = uint32(value) //nolint:gosec // as the decoder
		}
		body = body || field.ContainingOneof() == s.body
	})
	return known && body && version > 0 && version <= catalog.Level
}

// eachField calls visit with each field of a message, and the value of one that is a varint. It
// reports whether the decoder has each field, also of the messages in it, and accepts them.
func eachField(b []byte, message protoreflect.MessageDescriptor, visit func(field protoreflect.FieldDescriptor, value uint64)) bool {
	fields := message.Fields()
	for len(b) > 0 {
		number, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return false
		}
		field := fields.ByNumber(number)
		if field == nil {
			return false
		}
		b = b[size:]
		var value uint64
		switch kind {
		case protowire.VarintType:
			if value, size = protowire.ConsumeVarint(b); !isVarint(field.Kind()) {
				return false
			}
		case protowire.BytesType:
			var content []byte
			if content, size = protowire.ConsumeBytes(b); size < 0 || !validContent(content, field) {
				return false
			}
		default:
			return false
		}
		if size < 0 {
			return false
		}
		b = b[size:]
		visit(field, value)
	}
	return true
}

func isVarint(k protoreflect.Kind) bool {
	switch k { //nolint:exhaustive // the decoder has the others
	case protoreflect.BoolKind, protoreflect.EnumKind, protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return true
	}
	return false
}

// validContent reports whether the decoder accepts the content of a field with a length.
func validContent(content []byte, field protoreflect.FieldDescriptor) bool {
	switch field.Kind() { //nolint:exhaustive // the decoder has the others
	case protoreflect.MessageKind:
		return eachField(content, field.Message(), func(protoreflect.FieldDescriptor, uint64) {})
	case protoreflect.StringKind:
		return utf8.Valid(content)
	case protoreflect.BytesKind:
		return true
	}
	return false
}
