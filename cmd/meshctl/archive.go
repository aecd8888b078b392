package main

import (
	"fmt"
	"io"

	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/consensus/archive"
)

// inspect verifies the content of a snapshot file and returns its description.
func inspect(file string, content []byte) (archive.Info, error) {
	info, err := archive.Inspect(content)
	if err != nil {
		return info, &fault{
			code:    exitFailure,
			message: file + ": " + err.Error(),
			field:   "FILE",
			remedy:  "use a complete copy of a file written by `meshctl snapshot save`",
		}
	}
	return info, nil
}

// printInfo prints the description of a snapshot; the structured form is
// archive.Info.
func printInfo(a *app, info archive.Info) error {
	return a.print(info, func(w io.Writer) error {
		paint := a.paint(w)
		for _, fact := range []struct{ label, value string }{
			{"federation", info.FederationName + " (id " + info.Federation + ")"},
			{"index", fmt.Sprintf("%d, term %d", info.Index, info.Term)},
			{"saved", human.Ago(a.now(), info.SavedAt) + prefixed(" by ", info.Gateway)},
			{"holds", fmt.Sprintf("%s, %s, %s", human.Count(info.Datacenters, "datacenter"),
				human.Count(info.Gateways, "gateway"), human.Count(info.Services, "service"))},
			{"catalog", human.Bytes(uint64(max(info.Size, 0))) + ", sha256 " + info.SHA256},
		} {
			if _, err := fmt.Fprintf(w, "%-12s%s\n", fact.label, human.Clean(fact.value)); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintln(w, paint.Paint(human.Good, "complete and unaltered"))
		return err
	})
}

// prefixed returns label and value, or nothing if value is empty.
func prefixed(label, value string) string {
	if value == "" {
		return ""
	}
	return label + value
}
