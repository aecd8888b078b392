package userspace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// departure notices when a link leaves the network namespace of this process: the
// process would serve an interface that is of no use to the host, and keep its socket
// and its port from the next one.
type departure struct {
	gone   chan struct{} // closed when the link is gone
	events *nl.NetlinkSocket
	done   sync.WaitGroup
}

// watchDeparture begins to watch a link of this namespace.
func watchDeparture(name string) (*departure, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", name, err)
	}
	events, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return nil, fmt.Errorf("subscribe to changes of links: %w", err)
	}
	d := &departure{gone: make(chan struct{}), events: events}
	d.done.Go(func() { d.run(link.Index) })
	return d, nil
}

func (d *departure) run(index int) {
	for {
		messages, _, err := d.events.Receive()
		lost := errors.Is(err, unix.ENOBUFS)
		if err != nil && !lost && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return // closed
		}
		for _, m := range messages {
			const indexAt = 4 // in struct ifinfomsg
			deleted := m.Header.Type == unix.RTM_DELLINK && len(m.Data) >= unix.SizeofIfInfomsg
			lost = lost || deleted && int(binary.NativeEndian.Uint32(m.Data[indexAt:])) == index
		}
		if !lost {
			continue
		}
		if _, err := net.InterfaceByIndex(index); err != nil {
			close(d.gone)
			return
		}
	}
}

// stop ends the watch.
func (d *departure) stop() {
	d.events.Close()
	d.done.Wait()
}
