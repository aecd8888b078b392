package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

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

// String returns the name of the operation.
func (k Kind) String() string { return [...]string{"read", "put", "delete"}[k] }

// never is when an operation of unknown outcome ends.
const never = int64(1) << 62

// operation is the input of one call. value is empty unless it is a Put.
type operation struct {
	key   string
	kind  Kind
	value string
}

// register is the model of one service: its value, empty without a registration.
func register() porcupine.Model {
	return porcupine.Model{
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

// byKey returns the operations of each service, by call.
func byKey(all []porcupine.Operation) [][]porcupine.Operation {
	parts := make(map[string][]porcupine.Operation)
	for _, o := range slices.SortedFunc(slices.Values(all), func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) }) {
		key := o.Input.(operation).key
		parts[key] = append(parts[key], o)
	}
	return slices.Collect(maps.Values(parts))
}

// describe returns the operations of one service, one on a line.
func describe(part []porcupine.Operation) string {
	var b strings.Builder
	for _, o := range part {
		input := o.Input.(operation)
		ended := fmt.Sprint(o.Return)
		if o.Return == never {
			ended = "?"
		}
		fmt.Fprintf(&b, "\n%6d to %6s client %d: %s %s %s%s", o.Call, ended, o.ClientId, input.kind, input.key, input.value, o.Output)
	}
	return b.String()
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
