package raftnode

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

// repeatInterval is how often one warning of raft is shown. Raft says "failed to
// heartbeat to" for every attempt; while a peer is away that is a flood.
const repeatInterval = time.Minute

// bridge is raft's logger on top of slog. Trace and debug become debug, and a
// warning that repeats within repeatInterval becomes debug as well.
type bridge struct {
	log    *slog.Logger
	name   string
	args   []any
	recent *recent
}

var _ hclog.Logger = (*bridge)(nil)

func newBridge(log *slog.Logger) *bridge {
	return &bridge{log: log, name: "raft", recent: &recent{at: make(map[string]time.Time)}}
}

// recent remembers when each message was shown.
type recent struct {
	mu sync.Mutex
	at map[string]time.Time
}

// repeats says whether key was shown within repeatInterval, and notes it if not.
func (r *recent) repeats(key string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.at[key]; ok && now.Sub(at) < repeatInterval {
		return true
	}
	if len(r.at) > 1000 { // the keys name peers: bounded in practice, here by force
		clear(r.at)
	}
	r.at[key] = now
	return false
}

func (b *bridge) Log(level hclog.Level, msg string, args ...any) {
	l := slogLevel(level)
	if l >= slog.LevelWarn && b.recent.repeats(msg+" "+peerOf(args), time.Now()) {
		l = slog.LevelDebug
	}
	if !b.log.Enabled(context.Background(), l) {
		return
	}
	b.log.Log(context.Background(), l, msg, slog.Group(b.name, append(append([]any{}, b.args...), plain(args)...)...))
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

// peerOf finds whom a message is about.
func peerOf(args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "server-id", "target", "id":
			return slog.AnyValue(args[i+1]).String()
		}
	}
	return ""
}

// plain makes hclog's own value types readable: an hclog.Format is a printf call.
func plain(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a
		if f, ok := a.(hclog.Format); ok {
			out[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	return out
}

func (b *bridge) Trace(msg string, args ...any) { b.Log(hclog.Trace, msg, args...) }
func (b *bridge) Debug(msg string, args ...any) { b.Log(hclog.Debug, msg, args...) }
func (b *bridge) Info(msg string, args ...any)  { b.Log(hclog.Info, msg, args...) }
func (b *bridge) Warn(msg string, args ...any)  { b.Log(hclog.Warn, msg, args...) }
func (b *bridge) Error(msg string, args ...any) { b.Log(hclog.Error, msg, args...) }

func (b *bridge) enabled(l slog.Level) bool { return b.log.Enabled(context.Background(), l) }

func (b *bridge) IsTrace() bool      { return b.enabled(slog.LevelDebug) }
func (b *bridge) IsDebug() bool      { return b.enabled(slog.LevelDebug) }
func (b *bridge) IsInfo() bool       { return b.enabled(slog.LevelInfo) }
func (b *bridge) IsWarn() bool       { return b.enabled(slog.LevelWarn) }
func (b *bridge) IsError() bool      { return b.enabled(slog.LevelError) }
func (b *bridge) ImpliedArgs() []any { return b.args }
func (b *bridge) Name() string       { return b.name }

func (b *bridge) With(args ...any) hclog.Logger {
	c := *b
	c.args = append(append([]any{}, b.args...), plain(args)...)
	return &c
}

func (b *bridge) Named(name string) hclog.Logger { return b.ResetNamed(b.name + "." + name) }

func (b *bridge) ResetNamed(name string) hclog.Logger {
	c := *b
	c.name = name
	return &c
}

// SetLevel does nothing: the slog handler decides.
func (b *bridge) SetLevel(hclog.Level) {}

func (b *bridge) GetLevel() hclog.Level {
	if b.IsDebug() {
		return hclog.Debug
	}
	return hclog.Info
}

func (b *bridge) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(b.log.Handler(), slog.LevelInfo)
}

func (b *bridge) StandardWriter(*hclog.StandardLoggerOptions) io.Writer {
	return b.StandardLogger(nil).Writer()
}
