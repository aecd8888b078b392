package hclogger

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRaftDebugMessagesAreHiddenAndRepeatedWarningsAreShownOnce(t *testing.T) {
	var out bytes.Buffer
	log := New(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
	log.Trace("t")
	log.Debug("d")
	assert.Empty(t, out.String())
	log.Info("i", "term", 3)
	assert.Contains(t, out.String(), "raft.term=3")
	out.Reset()
	for range 10 {
		log.Error("failed to heartbeat to", "peer", "a/1", "err", errors.New("x"))
		log.With("k", "v").Error("failed to heartbeat to", "peer", "b/1")
	}
	assert.Equal(t, 2, strings.Count(out.String(), "\n"), "once for each peer")
	assert.False(t, log.IsDebug())
	assert.Equal(t, "raft.autopilot", log.Named("autopilot").Name())
}
