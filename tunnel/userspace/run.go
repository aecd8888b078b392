package userspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	wgdevice "golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/meshway/meshway/tunnel/device"
)

// tunPath is the device file that creates TUN interfaces.
const tunPath = "/dev/net/tun"

// Options configures one data plane process.
type Options struct {
	Interface string
	MTU       int          // bytes; 0: 1420
	Log       *slog.Logger // nil: discard
}

// Run runs a data plane process: a TUN interface with wireguard-go, and a control
// socket (mode 0600) through which the agent sets key, port and peers. It returns
// nil when ctx ends, and an error when its interface is removed or moved to another
// network namespace. A control socket that is removed is created again: another program
// may empty /run, and the tunnels carry packets without it. The interface is removed when
// Run returns.
//
// The caller ends ctx on SIGTERM and ignores SIGHUP.
func Run(ctx context.Context, opts Options) (err error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	log := opts.Log.With("device", opts.Interface)
	if opts.MTU == 0 {
		opts.MTU = wgdevice.DefaultMTU
	}
	link, err := openTUN(opts)
	if err != nil {
		return err
	}
	dev := wgdevice.NewDevice(link, newBind(), logger(log))
	defer dev.Close() // closes the TUN device, too
	departed, err := watchDeparture(opts.Interface)
	if err != nil {
		return err
	}
	defer departed.stop()
	socket, err := listen(opts.Interface)
	if err != nil {
		return err
	}
	log.Info("data plane ready", "pid", os.Getpid())
	serveCtx, stop := context.WithCancel(ctx)
	var serving sync.WaitGroup
	serving.Go(func() { keepServing(serveCtx, dev, socket, opts.Interface, log) })
	select {
	case <-ctx.Done():
		log.Info("data plane stopping")
	case <-dev.Wait():
		err = fmt.Errorf("interface %s was removed", opts.Interface)
	case <-departed.gone:
		err = fmt.Errorf("interface %s was removed from this network namespace", opts.Interface)
	}
	stop() // removes the socket file
	serving.Wait()
	return err
}

// socketRetry is the time between attempts to create the control socket again.
const socketRetry = time.Second

// keepServing serves the control socket until ctx ends, and creates it again when it is
// removed.
func keepServing(ctx context.Context, dev *wgdevice.Device, socket net.Listener, name string, log *slog.Logger) {
	for socket != nil {
		// A second call would close file descriptors of others. Closing ends serve.
		end := sync.OnceFunc(func() { _ = socket.Close() })
		cancel := context.AfterFunc(ctx, end)
		err := serve(dev, socket)
		cancel()
		end()
		if ctx.Err() != nil {
			return
		}
		log.Warn("control socket was removed; creating it again", "path", socketPath(name), "err", err)
		socket = listenAgain(ctx, name, log)
	}
}

// listenAgain opens the control socket as soon as that is possible; nil: ctx has ended.
func listenAgain(ctx context.Context, name string, log *slog.Logger) net.Listener {
	tick := time.NewTicker(socketRetry)
	defer tick.Stop()
	for reported := false; ; {
		socket, err := listen(name)
		if err == nil {
			return socket
		}
		if !reported {
			reported = true
			log.Warn("failed to create the control socket again; retrying", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// serve accepts connections on the control socket. It does not wait for open
// connections, because an idle client would keep the process running.
func serve(dev *wgdevice.Device, socket net.Listener) error {
	for {
		c, err := socket.Accept()
		if err != nil {
			return err
		}
		go dev.IpcHandle(c)
	}
}

// openTUN creates the interface and sets Meshway's alias, before the control
// socket exists.
func openTUN(opts Options) (tun.Device, error) {
	if err := checkTUN(); err != nil {
		return nil, err
	}
	if link, err := netlink.LinkByName(opts.Interface); err == nil {
		return nil, fmt.Errorf("create interface %s: it exists (%s)%s", opts.Interface, link.Type(), servedBy(opts.Interface))
	}
	// A socket that is served although there is no interface belongs to
	// another network namespace that shares the file system.
	if pid, err := serverPID(opts.Interface); err == nil {
		return nil, fmt.Errorf("create interface %s: its control socket %s is in use by process %d", opts.Interface, socketPath(opts.Interface), pid)
	}
	dev, err := tun.CreateTUN(opts.Interface, opts.MTU)
	if err != nil {
		return nil, explainTUN(opts.Interface, err)
	}
	link, err := netlink.LinkByName(opts.Interface)
	if err == nil {
		err = netlink.LinkSetAlias(link, device.Alias)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set alias of interface %s: %w", opts.Interface, err), dev.Close())
	}
	return newTunnelLink(dev, opts.Interface), nil
}

// listen opens the control socket. It replaces the file of a dead process.
func listen(name string) (net.Listener, error) {
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		return nil, fmt.Errorf("open control socket %s: %w", socketPath(name), err)
	}
	defer file.Close() // UAPIListen duplicates it
	l, err := ipc.UAPIListen(name, file)
	if err != nil {
		return nil, fmt.Errorf("listen on control socket %s: %w", socketPath(name), err)
	}
	return l, nil
}

// Supported returns why TUN devices cannot be created, or nil.
func Supported() error {
	f, err := os.OpenFile(tunPath, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// checkTUN returns an error with the remedy if TUN devices cannot be created.
func checkTUN() error {
	if err := Supported(); err != nil {
		return explainTUN("", err)
	}
	return nil
}

func explainTUN(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("no TUN: %s is missing: load the module (modprobe tun), or give %s to the container: %w", tunPath, tunPath, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no TUN: no permission to open %s: run as root, or give CAP_NET_ADMIN and %s to the container: %w", tunPath, tunPath, err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("create interface %s: it is in use%s: %w", name, servedBy(name), err)
	}
	return fmt.Errorf("create interface %s: %w", name, err)
}

// servedBy returns a text that names the process that serves an interface, or
// "" if there is none.
func servedBy(name string) string {
	if pid, err := serverPID(name); err == nil {
		return fmt.Sprintf(", served by process %d", pid)
	}
	return ""
}

// logger writes wireguard-go's messages to log. The verbose ones, of which there
// is one for every handshake and keepalive, have level debug.
func logger(log *slog.Logger) *wgdevice.Logger {
	at := func(level slog.Level) func(string, ...any) {
		return func(format string, args ...any) {
			if log.Enabled(context.Background(), level) {
				log.Log(context.Background(), level, "wireguard-go", "text", strings.TrimSpace(fmt.Sprintf(format, args...)))
			}
		}
	}
	return &wgdevice.Logger{Verbosef: at(slog.LevelDebug), Errorf: at(slog.LevelError)}
}
