package userspace

import (
	"net"

	"golang.zx2c4.com/wireguard/tun"
)

// tunnelLink is a TUN interface that reports that it is up only when it is.
//
// wireguard-go also takes an interface for up if the kernel answers an empty write
// with EINVAL, which kernels do for an interface with offloads whatever its state. It
// would open its sockets before it is configured, on random ports, any of which may be
// the one that this or another interface is configured to have.
type tunnelLink struct {
	tun.Device
	name   string
	events chan tun.Event
}

func newTunnelLink(dev tun.Device, name string) *tunnelLink {
	l := &tunnelLink{Device: dev, name: name, events: make(chan tun.Event)}
	go l.forward()
	return l
}

// Events implements tun.Device.
func (l *tunnelLink) Events() <-chan tun.Event { return l.events }

// forward ends when the interface is closed or removed.
func (l *tunnelLink) forward() {
	defer close(l.events)
	for event := range l.Device.Events() {
		if event&tun.EventUp != 0 && l.down() {
			event &^= tun.EventUp // the kernel's own message follows when it is up
		}
		if event != 0 {
			l.events <- event
		}
	}
}

func (l *tunnelLink) down() bool {
	link, err := net.InterfaceByName(l.name)
	return err == nil && link.Flags&net.FlagUp == 0
}
