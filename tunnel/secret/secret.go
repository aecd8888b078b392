// Package secret keeps keys and tokens out of logs, messages and documents.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Text stands for a secret wherever it would be printed.
const Text = "(redacted)"

// Value is a secret. It prints as Text with every verb, in logs and in encodings. The
// zero Value is the secret that is the zero value of its type.
//
// Package fmt calls no method of a field that is not exported. There it prints an
// address, because it follows at most one pointer, and that only for a verb that does
// not suit a pointer.
type Value[T any] struct{ value **T }

// Of returns a secret.
func Of[T any](value T) Value[T] { return Value[T]{new(&value)} }

// Reveal returns what the secret is.
func (v Value[T]) Reveal() T {
	if v.value == nil {
		var zero T
		return zero
	}
	return **v.value
}

// String returns Text.
func (Value[T]) String() string { return Text }

// Format prints Text for every verb, including %#v, %x and %d.
func (Value[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Text) }

// MarshalText returns Text, for JSON, YAML and other encodings.
func (Value[T]) MarshalText() ([]byte, error) { return []byte(Text), nil }

// LogValue returns Text, for slog.
func (Value[T]) LogValue() slog.Value { return slog.StringValue(Text) }
