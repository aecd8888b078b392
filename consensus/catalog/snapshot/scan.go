package snapshot

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/meshway/meshway/consensus/catalog"
)

// Scan reads the records of a snapshot up to the end of r without decoding them, and calls
// visit with each that has at most catalog.MaxCommandRecord bytes, valid until visit
// returns. It needs little memory, for any r. The error is ErrInvalid, for a
// snapshot with more than most records too, or an error of r. Read checks the content.
func Scan(r io.Reader, most uint64, visit func(record []byte)) error {
	d := &decoder{r: bufio.NewReader(r)}
	buffer := make([]byte, catalog.MaxCommandRecord)
	for records := uint64(0); ; records++ {
		if _, err := d.r.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		if records >= most {
			return fmt.Errorf("%w: it has more than %d records", ErrInvalid, most)
		}
		size, err := d.size()
		if err != nil {
			return err
		}
		if size > catalog.MaxCommandRecord {
			_, err = io.CopyN(io.Discard, d.r, int64(size)) //nolint:gosec // at most MaxRecordSize
		} else if _, err = io.ReadFull(d.r, buffer[:size]); err == nil {
			visit(buffer[:size])
		}
		if err != nil {
			return truncated(err)
		}
	}
}
