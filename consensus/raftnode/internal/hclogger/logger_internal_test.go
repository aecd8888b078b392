package hclogger

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
		log.Error("failed to send snapshot to", "peer", "a/1", "err", errors.New("x"))
		log.With("k", "v").Error("failed to send snapshot to", "peer", "b/1")
	}
	assert.Equal(t, 2, strings.Count(out.String(), "\n"), "once for each peer")
	assert.False(t, log.IsDebug())
	assert.Equal(t, "raft.autopilot", log.Named("autopilot").Name())
}

func TestTransientWarningIsShownOnceItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := New(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
		for range 4 { // a gateway that joins
			log.Error("failed to appendEntries to", "peer", "west/gw")
			time.Sleep(time.Second)
		}
		assert.Empty(t, out.String())
		time.Sleep(2 * time.Minute)
		log.Error("failed to appendEntries to", "peer", "west/gw")
		assert.Empty(t, out.String(), "another moment")
		for range 10 {
			time.Sleep(time.Second)
			log.Error("failed to appendEntries to", "peer", "west/gw")
		}
		assert.Equal(t, 1, strings.Count(out.String(), "level=ERROR"))
	})
}

func TestValuesAreWrittenAsTheirText(t *testing.T) {
	var out bytes.Buffer
	log := New(slog.New(slog.NewJSONHandler(&out, nil)))
	log.Info("entering follower state", "follower", netip.MustParsePrefix("10.0.0.0/8"), "as", named{}, "took", time.Second, "error", errors.New("x"))
	assert.Contains(t, out.String(), `"follower":"10.0.0.0/8","as":"Node at west [Follower]","took":1000000000,"error":"x"`)
}

// named has no exported fields, as raft.Raft.
type named struct{}

func (named) String() string { return "Node at west [Follower]" }
