package problemlog_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/problemlog"
)

func TestOnlyNewAndResolvedProblemsAreLogged(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	problem := func(subject, message string) plan.Problem {
		return plan.Problem{Code: "code", Subject: subject, Message: message, Remedy: "remedy"}
	}
	problemlog.WriteChanges(log, slog.LevelWarn,
		[]plan.Problem{problem("kept", "old text"), problem("ended", "ended")},
		[]plan.Problem{problem("kept", "new text"), problem("begun", "begun")})
	assert.Equal(t, "level=WARN msg=begun code=code subject=begun remedy=remedy\n"+
		"level=INFO msg=\"resolved: ended\" code=code subject=ended\n", out.String())
}
