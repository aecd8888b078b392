package hclogger

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// repeatInterval is the time in which a warning of raft is shown once. Raft logs
// "failed to heartbeat to" for every attempt while a peer is away.
const repeatInterval = time.Minute

// logger is raft's logger, which writes to slog. The trace level becomes debug,
// and so does a warning that repeats within repeatInterval or that is transient.
type logger struct {
	log   *slog.Logger
	name  string
	args  []any
	shown *shownMessages
}

var _ hclog.Logger = (*logger)(nil)

// New returns a logger named raft.
func New(log *slog.Logger) hclog.Logger {
	return &logger{log: log, name: "raft", shown: &shownMessages{at: make(map[string]message)}}
}

// transientInterval is for how long a condition may last that each change of members
// or leader causes: only then is it shown.
const transientInterval = 5 * time.Second

// transient reports whether msg is normal for a moment: a gateway that joins is
// contacted before its port is open, and the founder elects itself.
func transient(msg string) bool {
	switch msg {
	case "failed to appendEntries to", "failed to pipeline appendEntries", "failed to start pipeline replication to",
		"failed to heartbeat to", "failed to contact", "failed to make requestVote RPC", "failed to get previous log",
		"appendEntries rejected, sending older logs", "previous log term mis-match",
		"heartbeat timeout reached, starting election", "not part of stable configuration, aborting election",
		"heartbeat timeout reached, not part of a stable configuration or a non-voter, not triggering a leader election",
		"rejecting vote request since we have a leader", "rejecting pre-vote request since we have a leader":
		return true
	}
	return false
}

// shownMessages holds when each message was last shown, and for how long it lasts.
type shownMessages struct {
	mu sync.Mutex
	at map[string]message
}

// message is one that repeats.
type message struct {
	since, last time.Time // of the messages that follow each other within repeatInterval
	shown       time.Time
}

// hides reports whether a message must not be shown now: it was within repeatInterval,
// or it is transient and does not last.
func (s *shownMessages) hides(key string, transient bool, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, known := s.at[key]
	if !known && len(s.at) > 1000 { // a bound; the keys contain peers, of which there are few
		clear(s.at)
	}
	if now.Sub(m.last) >= repeatInterval {
		m.since = now
	}
	m.last = now
	hidden := transient && now.Sub(m.since) < transientInterval || !m.shown.IsZero() && now.Sub(m.shown) < repeatInterval
	if !hidden {
		m.shown = now
	}
	s.at[key] = m
	return hidden
}

func (l *logger) Log(level hclog.Level, msg string, args ...any) {
	slogged := slogLevel(level)
	if slogged >= slog.LevelWarn && l.shown.hides(msg+" "+peerOf(args), transient(msg), time.Now()) {
		slogged = slog.LevelDebug
	}
	if !l.enabled(slogged) {
		return
	}
	l.log.Log(context.Background(), slogged, msg, slog.Group(l.name, append(append([]any{}, l.args...), formatArgs(args)...)...))
}

func slogLevel(level hclog.Level) slog.Level {
	switch level {
	case hclog.Error:
		return slog.LevelError
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Info:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// peerOf returns the peer in the arguments of a message; empty: there is none.
func peerOf(args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "server-id", "target", "id":
			return slog.AnyValue(args[i+1]).String()
		}
	}
	return ""
}

// formatArgs replaces the value types of hclog: an hclog.Format is a printf call. It
// replaces values by their text that have one: as JSON a raft.Raft would be {}.
func formatArgs(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a
		switch v := a.(type) {
		case hclog.Format:
			out[i] = fmt.Sprintf(fmt.Sprint(v[0]), v[1:]...)
		case time.Duration, time.Time, error: // slog formats them
		case fmt.Stringer:
			out[i] = fmt.Sprint(v)
		}
	}
	return out
}

func (l *logger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l *logger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l *logger) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *logger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *logger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *logger) enabled(level slog.Level) bool {
	return l.log.Enabled(context.Background(), level)
}

func (l *logger) IsTrace() bool      { return l.enabled(slog.LevelDebug) }
func (l *logger) IsDebug() bool      { return l.enabled(slog.LevelDebug) }
func (l *logger) IsInfo() bool       { return l.enabled(slog.LevelInfo) }
func (l *logger) IsWarn() bool       { return l.enabled(slog.LevelWarn) }
func (l *logger) IsError() bool      { return l.enabled(slog.LevelError) }
func (l *logger) ImpliedArgs() []any { return l.args }
func (l *logger) Name() string       { return l.name }

func (l *logger) With(args ...any) hclog.Logger {
	c := *l
	c.args = append(append([]any{}, l.args...), formatArgs(args)...)
	return &c
}

func (l *logger) Named(name string) hclog.Logger { return l.ResetNamed(l.name + "." + name) }

func (l *logger) ResetNamed(name string) hclog.Logger {
	c := *l
	c.name = name
	return &c
}

// SetLevel implements hclog.Logger. It does nothing: the slog handler decides.
func (l *logger) SetLevel(hclog.Level) {}

func (l *logger) GetLevel() hclog.Level {
	if l.IsDebug() {
		return hclog.Debug
	}
	return hclog.Info
}

func (l *logger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.log.Handler(), slog.LevelInfo)
}

func (l *logger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(nil).Writer()
}
