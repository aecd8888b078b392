package render

import (
	"fmt"
	"io"
	"time"

	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/consensus/archive"
)

// Archive writes the description of a verified snapshot; now is the time of ages.
func Archive(w io.Writer, paint human.Painter, info archive.Info, now time.Time) error {
	for _, fact := range []struct{ label, value string }{
		{"federation", info.FederationName + " (id " + info.Federation + ")"},
		{"index", fmt.Sprintf("%d, term %d", info.Index, info.Term)},
		{"saved", human.Ago(now, info.SavedAt) + prefixed(" by ", info.Gateway)},
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
}

// prefixed returns label and value, or nothing if value is empty.
func prefixed(label, value string) string {
	if value == "" {
		return ""
	}
	return label + value
}
