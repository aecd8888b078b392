// Package plaintext decodes files that people write.
package plaintext

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

// byteOrderMark is what some editors write at the start of UTF-8 text.
const byteOrderMark = "\ufeff"

// Decode returns UTF-8 text without the byte order mark at its start. Text in another
// encoding, such as UTF-16, is an error that does not contain it.
func Decode(source []byte) ([]byte, error) {
	text := bytes.TrimPrefix(source, []byte(byteOrderMark))
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, errors.New("it is not UTF-8 text; save it as UTF-8")
	}
	return text, nil
}
