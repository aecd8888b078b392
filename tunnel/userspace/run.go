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

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	wgdevice "golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/meshway/meshway/tunnel/device"
)

// tunPath is the device that makes TUN interfaces.
const tunPath = "/dev/net/tun"

// Options is what one data plane process is told.
type Options struct {
	Interface string
	MTU       int          // bytes; 0: 1420
	Log       *slog.Logger // nil: discard
}

// Run is the data plane process: a TUN interface, wireguard-go behind it,
// and its control socket (mode 0600), through which the agent gives it key,
// port and peers. It ends when ctx does, and then with nil; or when its
// interface or its socket is taken away. The interface ends with it.
//
// The caller turns SIGTERM into the end of ctx and ignores SIGHUP.
func Run(ctx context.Context, opts Options) (err error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.MTU == 0 {
		opts.MTU = wgdevice.DefaultMTU
	}
	link, err := openTUN(opts)
	if err != nil {
		return err
	}
	dev := wgdevice.NewDevice(link, conn.NewStdNetBind(), logger(opts.Log))
	defer dev.Close() // closes the TUN, too
	socket, err := listen(opts.Interface)
	if err != nil {
		return err
	}
	opts.Log.Info("data plane ready", "interface", opts.Interface, "pid", os.Getpid())
	broken := make(chan error, 1)
	var serving sync.WaitGroup
	serving.Go(func() { broken <- serve(dev, socket) })
	select {
	case <-ctx.Done():
		opts.Log.Info("data plane ends", "interface", opts.Interface)
	case <-dev.Wait():
		err = fmt.Errorf("interface %s was taken away", opts.Interface)
	case err = <-broken:
		err = fmt.Errorf("control socket of %s was taken away: %w", opts.Interface, err)
	}
	_ = socket.Close() // ends serve, and the file goes with it
	serving.Wait()
	return err
}

// serve answers on the control socket. Connections still open when the
// process ends are cut off by its end; waiting for an idle client would let
// it keep us alive.
func serve(dev *wgdevice.Device, socket net.Listener) error {
	for {
		c, err := socket.Accept()
		if err != nil {
			return err
		}
		go dev.IpcHandle(c)
	}
}

// openTUN makes the interface and marks it as Meshway's, before anybody can
// see it configured.
func openTUN(opts Options) (tun.Device, error) {
	if err := checkTUN(); err != nil {
		return nil, err
	}
	if link, err := netlink.LinkByName(opts.Interface); err == nil {
		return nil, fmt.Errorf("make interface %s: it exists (%s)%s", opts.Interface, link.Type(), servedBy(opts.Interface))
	}
	// A socket that answers although there is no interface belongs to
	// another network namespace that shares our files.
	if pid, err := serverPID(opts.Interface); err == nil {
		return nil, fmt.Errorf("make interface %s: its control socket %s is in use by process %d", opts.Interface, socketPath(opts.Interface), pid)
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
		return nil, errors.Join(fmt.Errorf("mark interface %s as ours: %w", opts.Interface, err), dev.Close())
	}
	return dev, nil
}

// listen opens the control socket. The file of a dead process is replaced.
func listen(name string) (net.Listener, error) {
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		return nil, fmt.Errorf("open control socket %s: %w", socketPath(name), err)
	}
	defer file.Close() // UAPIListen works on a copy
	l, err := ipc.UAPIListen(name, file)
	if err != nil {
		return nil, fmt.Errorf("listen on control socket %s: %w", socketPath(name), err)
	}
	return l, nil
}

// checkTUN names the remedy before anything is started.
func checkTUN() error {
	f, err := os.OpenFile(tunPath, os.O_RDWR, 0)
	if err != nil {
		return explainTUN("", err)
	}
	return f.Close()
}

func explainTUN(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("no TUN: %s is missing: load the module (modprobe tun), or give %s to the container: %w", tunPath, tunPath, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no TUN: may not use %s: run as root, or give CAP_NET_ADMIN and %s to the container: %w", tunPath, tunPath, err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("make interface %s: it is in use%s: %w", name, servedBy(name), err)
	}
	return fmt.Errorf("make interface %s: %w", name, err)
}

// servedBy names the process behind an interface, if one answers.
func servedBy(name string) string {
	if pid, err := serverPID(name); err == nil {
		return fmt.Sprintf(", served by process %d", pid)
	}
	return ""
}

// logger passes wireguard-go's messages on. Its verbose ones come with every
// handshake and keepalive; they are debug.
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
