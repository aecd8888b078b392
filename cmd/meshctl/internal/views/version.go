package views

import (
	"fmt"
	"io"

	"github.com/meshway/meshway/agent/build"
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

// String returns the version with its origin.
func (b Build) String() string {
	if b.Commit == "" {
		return fmt.Sprintf("%s (%s)", b.Version, b.Go)
	}
	return fmt.Sprintf("%s (commit %s, %s)", b.Version, b.Commit, b.Go)
}

// ClientBuild returns the build of this program.
func ClientBuild() Build {
	info := build.Current()
	return Build{
		Version: info.Version,
		Commit:  info.Commit,
		Go:      info.Go,
	}
}
