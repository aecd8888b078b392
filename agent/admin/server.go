package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/rpc"
)

// shutdownGrace is what calls of meshctl get to finish when meshd stops.
const shutdownGrace = 3 * time.Second

// readHeaderTimeout bounds the time in which a caller sends its header.
const readHeaderTimeout = 10 * time.Second

// Config is what an Server needs.
type Config struct {
	Socket    string // path; its directory is made with mode 0755
	Handler   controlpbconnect.OperatorHandler
	Refuse    func(procedure string) error // of calls that Handler does not take; nil: it takes all
	Sentinels rpc.Sentinels                // errors of Handler that have a code of their own
	Log       *slog.Logger                 // nil: silent
}

// Server answers meshctl on a unix socket that only this user and root
// can open.
type Server struct {
	config   Config
	log      *slog.Logger
	http     *http.Server
	listener net.Listener
}

// NewServer makes a server. Listen binds it, Run serves it.
func NewServer(config Config) *Server {
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.Handle(controlpbconnect.NewOperatorHandler(config.Handler,
		connect.WithReadMaxBytes(rpc.MaxArchive), connect.WithInterceptors(rpc.NewInterceptor(config.Sentinels, config.Refuse))))
	return &Server{config: config, log: log, http: &http.Server{
		Handler: mux, ReadHeaderTimeout: readHeaderTimeout, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// Listen binds the socket. One that a meshd left behind is replaced; one on which
// somebody answers, or a path that is no socket, is an error.
func (s *Server) Listen(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(s.config.Socket), 0o755); err != nil {
		return fmt.Errorf("admin.socket: make directory: %w", err)
	}
	if err := removeStale(ctx, s.config.Socket); err != nil {
		return fmt.Errorf("admin.socket: %w", err)
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", s.config.Socket)
	if err != nil {
		return fmt.Errorf("admin.socket: %w", err)
	}
	// Whoever connects before this is stopped by the check of credentials.
	if err := os.Chmod(s.config.Socket, 0o600); err != nil {
		return errors.Join(fmt.Errorf("admin.socket: %w", err), l.Close())
	}
	s.listener = &ownersOnly{Listener: l, log: s.log}
	return nil
}

// Run serves until ctx ends; the socket is gone when it returns.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		if err := s.Listen(ctx); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve admin socket: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if err := s.http.Shutdown(grace); err != nil {
			_ = s.http.Close() // calls that were not done in time are cut
		}
		return nil
	})
	return g.Wait()
}

// removeStale removes a socket on which nobody answers any more.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is no socket; remove it or set another path", path)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		owner := ""
		if pid, ok := peerProcess(conn); ok {
			owner = fmt.Sprintf(" (process %d)", pid)
		}
		return errors.Join(fmt.Errorf("%s is in use by another meshd%s; stop it or set another path", path, owner), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// ownersOnly turns away connections of other users, should the mode of the
// socket ever be widened.
type ownersOnly struct {
	net.Listener
	log *slog.Logger
}

// Accept waits for the next connection of this user or root.
func (l *ownersOnly) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peerUser(conn)
		if err == nil && (uid == 0 || uid == os.Geteuid()) {
			return conn, nil
		}
		l.log.Warn("refused a user on the admin socket", "uid", uid, "err", err)
		_ = conn.Close() // refused
	}
}
