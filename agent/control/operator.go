package control

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
)

// operatorGrace is what calls of meshctl get to finish when meshd stops.
const operatorGrace = 3 * time.Second

// OperatorConfig is what an OperatorServer needs.
type OperatorConfig struct {
	Socket    string // path; its directory is made with mode 0755
	Handler   controlpbconnect.OperatorHandler
	Refuse    func(procedure string) error // of calls that Handler does not take; nil: it takes all
	Sentinels Sentinels                    // errors of Handler that have a code of their own
	Log       *slog.Logger                 // nil: silent
}

// OperatorServer answers meshctl on a unix socket that only this user and root
// can open.
type OperatorServer struct {
	config   OperatorConfig
	log      *slog.Logger
	http     *http.Server
	listener net.Listener
}

// NewOperatorServer makes a server. Listen binds it, Run serves it.
func NewOperatorServer(config OperatorConfig) *OperatorServer {
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.Handle(controlpbconnect.NewOperatorHandler(config.Handler,
		connect.WithReadMaxBytes(maxArchive), connect.WithInterceptors(&errorMapper{config.Sentinels}, doorkeeper{config.Refuse})))
	return &OperatorServer{config: config, log: log, http: &http.Server{
		Handler: mux, ReadHeaderTimeout: readHeaderTimeout, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// Listen binds the socket. One that a meshd left behind is replaced; one on which
// somebody answers, or a path that is no socket, is an error.
func (s *OperatorServer) Listen(ctx context.Context) error {
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
func (s *OperatorServer) Run(ctx context.Context) error {
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
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), operatorGrace)
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

// errorMapper gives the errors of calls and streams their codes and details.
type errorMapper struct{ sentinels Sentinels }

var _ connect.Interceptor = (*errorMapper)(nil)

// WrapUnary implements connect.Interceptor.
func (m *errorMapper) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		response, err := next(ctx, request)
		return response, m.sentinels.ToConnect(err)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (m *errorMapper) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (m *errorMapper) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return m.sentinels.ToConnect(next(ctx, conn))
	}
}

// SocketError says that meshd cannot be spoken to.
type SocketError struct {
	Socket string
	Err    error
}

// Error says what is wrong and what to do.
func (e *SocketError) Error() string {
	return fmt.Sprintf("reach meshd on %s: %v; %s", e.Socket, cause(e.Err), e.Remedy())
}

// Remedy says what to do next.
func (e *SocketError) Remedy() string {
	switch {
	case errors.Is(e.Err, fs.ErrNotExist):
		return "start meshd on this host (systemctl start meshd), or name its socket with --socket"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return "meshd has ended; start it again (systemctl start meshd) and look at its log"
	case errors.Is(e.Err, fs.ErrPermission):
		return "run meshctl as root, or as the user that runs meshd"
	}
	return "see whether meshd is running on this host"
}

// Unwrap gives the cause.
func (e *SocketError) Unwrap() error { return e.Err }

// cause drops the words of net.OpError, which repeat the path.
func cause(err error) error {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	return err
}

// DialOperator returns a client of the meshd that listens on a unix socket. It
// connects at each call; errors.As then finds a *SocketError when it cannot. The
// other errors are for FromConnect.
func DialOperator(socket string) controlpbconnect.OperatorClient {
	return NewOperatorClient(func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, &SocketError{Socket: socket, Err: err}
		}
		return conn, nil
	})
}

// NewOperatorClient returns a client of the meshd that dial leads to.
func NewOperatorClient(dial func(context.Context) (net.Conn, error)) controlpbconnect.OperatorClient {
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true, // one call and then the program ends
	}
	return controlpbconnect.NewOperatorClient(&http.Client{Transport: transport}, "http://meshd",
		connect.WithReadMaxBytes(maxArchive))
}
