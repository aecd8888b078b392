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
// and so does a warning that repeats within repeatInterval.
type logger struct {
	log   *slog.Logger
	name  string
	args  []any
	shown *shownMessages
}

var _ hclog.Logger = (*logger)(nil)

// New returns a logger named raft.
func New(log *slog.Logger) hclog.Logger {
	return &logger{log: log, name: "raft", shown: &shownMessages{at: make(map[string]time.Time)}}
}

// shownMessages holds when each message was last shown.
type shownMessages struct {
	mu sync.Mutex
	at map[string]time.Time
}

// repeats reports whether key was shown within repeatInterval. If not, key counts
// as shown now.
func (s *shownMessages) repeats(key string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.at[key]; ok && now.Sub(at) < repeatInterval {
		return true
	}
	if len(s.at) > 1000 { // a bound; the keys contain peers, of which there are few
		clear(s.at)
	}
	s.at[key] = now
	return false
}

func (l *logger) Log(level hclog.Level, msg string, args ...any) {
	slogged := slogLevel(level)
	if slogged >= slog.LevelWarn && l.shown.repeats(msg+" "+peerOf(args), time.Now()) {
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

// formatArgs replaces the value types of hclog: an hclog.Format is a printf call.
func formatArgs(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a
		if f, ok := a.(hclog.Format); ok {
			out[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
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
