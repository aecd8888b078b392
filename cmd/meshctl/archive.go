package main

import (
	"io"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/render"
	"github.com/meshway/meshway/consensus/archive"
)

// inspect verifies the content of a snapshot file and returns its description.
func inspect(file string, content []byte) (archive.Info, error) {
	info, err := archive.Inspect(content)
	if err != nil {
		return info, &fault.Fault{
			Code:    fault.ExitFailure,
			Message: file + ": " + err.Error(),
			Field:   "FILE",
			Remedy:  "use a complete copy of a file written by `meshctl snapshot save`",
		}
	}
	return info, nil
}

// printInfo prints the description of a snapshot; the structured form is
// archive.Info.
func printInfo(a *app, info archive.Info) error {
	return a.print(info, func(w io.Writer) error { return render.Archive(w, a.paint(w), info, a.now()) })
}
