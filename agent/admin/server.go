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
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/rpc"
)

// shutdownGrace is how long calls in progress may take when meshd stops.
const shutdownGrace = 3 * time.Second

// socketInterval is the time between two checks that the socket still exists.
const socketInterval = time.Second

// readHeaderTimeout bounds the time in which a caller sends its headers.
const readHeaderTimeout = 10 * time.Second

// Config configures a Server.
type Config struct {
	Socket    string // path; its directory is created with mode 0755
	Handler   controlpbconnect.OperatorHandler
	Refuse    func(procedure string) error // returns an error for procedures that Handler does not serve; nil: it serves all
	Sentinels rpc.Sentinels                // errors of Handler that keep their identity
	Also      http.Handler                 // serves every other path; nil: none is served
	Log       *slog.Logger                 // nil: no log
}

// Server serves meshctl on a unix socket that only the user of meshd and root can
// open.
type Server struct {
	cfg      Config
	log      *slog.Logger
	http     *http.Server
	listener *ownersOnly
	created  fs.FileInfo // of the socket of listener
}

// NewServer returns a server. Listen binds it, Run serves it.
func NewServer(cfg Config) *Server {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.Handle(controlpbconnect.NewOperatorHandler(cfg.Handler,
		connect.WithReadMaxBytes(rpc.MaxArchive), connect.WithInterceptors(rpc.NewInterceptor(cfg.Sentinels, cfg.Refuse)),
		connect.WithCompression("gzip", nil, nil))) // none: the socket is on this host
	if cfg.Also != nil {
		mux.Handle("/", cfg.Also)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // programs have many calls in progress
	return &Server{cfg: cfg, log: log, http: &http.Server{
		Handler: mux, Protocols: protocols, ReadHeaderTimeout: readHeaderTimeout, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// Listen binds the socket. It replaces a socket that a previous meshd left behind.
// It returns an error if a process listens on the socket, or if another kind of
// file has its path.
func (s *Server) Listen(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(s.cfg.Socket), 0o755); err != nil {
		return fmt.Errorf("admin.socket: create directory: %w", err)
	}
	if err := removeStale(ctx, s.cfg.Socket); err != nil {
		return fmt.Errorf("admin.socket: %w", err)
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "unix", s.cfg.Socket)
	if err != nil {
		return fmt.Errorf("admin.socket: %w", err)
	}
	// Until then, the check of credentials protects the socket.
	if err := os.Chmod(s.cfg.Socket, 0o600); err != nil {
		return errors.Join(fmt.Errorf("admin.socket: %w", err), l.Close())
	}
	if s.created, err = os.Lstat(s.cfg.Socket); err != nil {
		return errors.Join(fmt.Errorf("admin.socket: %w", err), l.Close())
	}
	s.listener = &ownersOnly{Listener: l, log: s.log}
	return nil
}

// Run serves until ctx ends. It creates the socket again if it is removed, and
// has removed it when it returns.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		if err := s.Listen(ctx); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	serve := func(l net.Listener) {
		g.Go(func() error {
			if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("serve admin socket: %w", err)
			}
			return nil
		})
	}
	serve(s.listener)
	g.Go(func() error {
		notify.Loop(ctx, func(ctx context.Context) time.Duration {
			if s.restore(ctx) {
				serve(s.listener)
			}
			return socketInterval
		})
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if err := s.http.Shutdown(grace); err != nil {
			_ = s.http.Close() // ends the calls that took too long
		}
		return nil
	})
	return g.Wait()
}

// restore creates the socket again if another program has removed it, for
// example by emptying /run, and reports whether it did. A failure is tried again.
func (s *Server) restore(ctx context.Context) bool {
	if now, err := os.Lstat(s.cfg.Socket); !errors.Is(err, fs.ErrNotExist) && (err != nil || os.SameFile(now, s.created)) {
		return false
	}
	before := s.listener
	if err := s.Listen(ctx); err != nil {
		s.log.Debug("failed to create the admin socket again", "err", err)
		return false
	}
	s.log.Warn("created the admin socket again, which another program had removed")
	if l, ok := before.Listener.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false) // the path is that of the new socket
	}
	_ = before.Close() // its path is gone
	return true
}

// removeStale removes a socket on which no process listens.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket; remove it or set another path", path)
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

// ownersOnly refuses connections of other users, in case the mode of the socket
// permits them.
type ownersOnly struct {
	net.Listener
	log *slog.Logger
}

// Accept waits for the next connection of the user of meshd or root.
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
		l.log.Warn("refused a connection to the admin socket", "uid", uid, "err", err)
		_ = conn.Close() // refused
	}
}
