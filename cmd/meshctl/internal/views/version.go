package views

import (
	"fmt"
	"io"

	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// Fprint writes one line for each program.
func (v Version) Fprint(w io.Writer) error {
	fmt.Fprintln(w, "meshctl "+v.Client.String())
	if v.Server != nil {
		fmt.Fprintln(w, "meshd   "+human.Clean(v.Server.String()))
	}
	return nil
}
