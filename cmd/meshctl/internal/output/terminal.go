package output

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
)

// Terminal reports whether v is a terminal, and its width in columns, 0 if
// unknown.
func Terminal(v any) (width int, ok bool) {
	file, isFile := v.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0, true
	}
	return width, true
}

// maxInput limits what is read from stdin, in bytes.
const maxInput = 64 << 10

// Read reads one line from a terminal, after the prompt, or everything from another
// stdin. The read cannot be interrupted: if ctx ends first, its goroutine stays until
// the process ends.
func Read(ctx context.Context, in io.Reader, prompts io.Writer, prompt string) ([]byte, error) {
	_, interactive := Terminal(in)
	if interactive {
		fmt.Fprint(prompts, prompt)
	}
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := readInput(in, interactive)
		done <- result{text, err}
	}()
	select {
	case <-ctx.Done():
		return nil, fault.ErrInterrupted
	case r := <-done:
		return r.text, r.err
	}
}

func readInput(in io.Reader, interactive bool) ([]byte, error) {
	in = io.LimitReader(in, maxInput)
	if !interactive {
		return io.ReadAll(in)
	}
	text, err := bufio.NewReader(in).ReadBytes('\n')
	if err == io.EOF {
		err = nil
	}
	return text, err
}
