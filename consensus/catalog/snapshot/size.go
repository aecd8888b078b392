package snapshot

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meshway/meshway/consensus/catalog"
)

// Fields of the message Record, and of the messages Client and Settings.
const (
	clientField   protowire.Number = 8
	settingsField protowire.Number = 12

	resultsField  protowire.Number = 3
	allowedField  protowire.Number = 2
	limitsField   protowire.Number = 4
	budgetsField  protowire.Number = 5
	removalsField protowire.Number = 6
)

// checkSize refuses a record that has more than those of its kind, before it is decoded:
// a message of two bytes takes a hundred in memory. Only the records of clients, in which
// earlier builds stored records, and the settings are larger than a command.
func checkSize(raw []byte) error {
	if len(raw) <= catalog.MaxCommandRecord {
		return nil
	}
	field, body := onlyField(raw)
	if field == clientField && count(body, resultsField) <= catalog.MaxOutstanding ||
		field == settingsField && count(body, allowedField, limitsField, budgetsField, removalsField) <= catalog.MaxSettings {
		return nil
	}
	return fmt.Errorf("%w: a record has %d bytes, more than one of its kind", ErrInvalid, len(raw))
}

// onlyField returns the number and the content of the field of a message that has one.
func onlyField(message []byte) (protowire.Number, []byte) {
	field, kind, n := protowire.ConsumeTag(message)
	if n < 0 || kind != protowire.BytesType {
		return 0, nil
	}
	body, m := protowire.ConsumeBytes(message[n:])
	if m < 0 || n+m != len(message) {
		return 0, nil
	}
	return field, body
}

// count returns how often a message has one of the fields.
func count(message []byte, fields ...protowire.Number) (times int) {
	for len(message) > 0 {
		number, _, n := protowire.ConsumeField(message)
		if n < 0 {
			return times // decoding refuses it
		}
		if slices.Contains(fields, number) {
			times++
		}
		message = message[n:]
	}
	return times
}
