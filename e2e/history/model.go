package history

import (
	"github.com/anishathalye/porcupine"
)

// Kind is the kind of an operation.
type Kind int

// The kinds of operations on one service, which is a register.
const (
	Read Kind = iota
	Put
	Delete
)

// never is when an operation of unknown outcome ends.
const never = int64(1) << 62

// operation is the input of one call. value is empty unless it is a Put.
type operation struct {
	key   string
	kind  Kind
	value string
}

// register is the model of the services: each has a value, empty without a registration.
func register() porcupine.Model {
	return porcupine.Model{
		Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
			byKey := make(map[string][]porcupine.Operation)
			for _, o := range all {
				key := o.Input.(operation).key
				byKey[key] = append(byKey[key], o)
			}
			var parts [][]porcupine.Operation
			for _, part := range byKey {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			o := input.(operation)
			if o.kind != Read {
				return true, o.value
			}
			return output.(string) == state.(string), state
		},
	}
}

// bounded returns the operations with what is known of writes of unknown outcome, so
// that their search is short: one took effect before the first read of its value ended,
// and one whose value was never read changes nothing. Values are written once.
func bounded(all []porcupine.Operation) []porcupine.Operation {
	type value struct{ key, value string }
	read := make(map[value]int64) // when the first read of it ended
	for _, o := range all {
		if input := o.Input.(operation); input.kind == Read {
			v := value{input.key, o.Output.(string)}
			if ended, ok := read[v]; !ok || o.Return < ended {
				read[v] = o.Return
			}
		}
	}
	var kept []porcupine.Operation
	for _, o := range all {
		if input := o.Input.(operation); input.kind == Put && o.Return == never {
			ended, ok := read[value{input.key, input.value}]
			if !ok {
				continue
			}
			o.Return = max(ended, o.Call)
		}
		kept = append(kept, o)
	}
	return kept
}
