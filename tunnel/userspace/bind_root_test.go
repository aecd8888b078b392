//go:build linux && root

package userspace_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/conn"

	"github.com/meshway/meshway/tunnel/userspace"
)

// received is a datagram that a bind received.
type received struct {
	text     string
	endpoint conn.Endpoint
}

// openBind opens a bind on a host, and returns it with its port and the datagrams
// that it receives.
func openBind(t *testing.T, h *host) (conn.Bind, uint16, <-chan received) {
	b := userspace.NewBind()
	var functions []conn.ReceiveFunc
	var port uint16
	var err error
	h.Do(func() { functions, port, err = b.Open(0) })
	require.NoError(t, err)
	arrived := make(chan received, 1000)
	done := make(chan struct{})
	for _, receive := range functions {
		go func() {
			defer func() { done <- struct{}{} }()
			buffers, sizes, endpoints := make([][]byte, b.BatchSize()), make([]int, b.BatchSize()), make([]conn.Endpoint, b.BatchSize())
			for i := range buffers {
				buffers[i] = make([]byte, 65535)
			}
			for {
				n, err := receive(buffers, sizes, endpoints)
				if err != nil {
					return
				}
				for i := range n {
					arrived <- received{string(buffers[i][:sizes[i]]), endpoints[i]}
				}
			}
		}()
	}
	t.Cleanup(func() {
		require.NoError(t, b.Close())
		for range functions {
			<-done
		}
	})
	return b, port, arrived
}

// linked returns two hosts on a link with IPv4 and IPv6 addresses.
func linked(t *testing.T) (hosts [2]*host) {
	for i := range hosts {
		hosts[i] = newHost(t)
	}
	link(t, hosts, "eth0")
	for i, h := range hosts {
		h.Netlink(t, func(n *netlink.Handle) error { return addAddress(n, "eth0", fmt.Sprintf("192.0.2.%d/24", i+1)) })
		h.Netlink(t, func(n *netlink.Handle) error { return addAddress(n, "eth0", fmt.Sprintf("2001:db8::%d/64", i+1)) })
	}
	return hosts
}

func setMTU(t *testing.T, h *host, mtu int) {
	h.Netlink(t, func(n *netlink.Handle) error {
		link, err := n.LinkByName("eth0")
		return errors.Join(err, n.LinkSetMTU(link, mtu))
	})
}

// batch returns datagrams of one size that differ.
func batch(size int) (datagrams [][]byte, want []string) {
	for i := range 10 {
		d := make([]byte, size, 65535)
		d[0] = byte(i)
		datagrams, want = append(datagrams, d), append(want, string(d))
	}
	return datagrams, want
}

func collect(t *testing.T, arrived <-chan received, n int) (all []received) {
	t.Helper()
	for range n {
		select {
		case r := <-arrived:
			all = append(all, r)
		case <-time.After(5 * time.Second):
			require.FailNow(t, "datagrams are lost", "%d of %d arrived", len(all), n)
		}
	}
	return all
}

func texts(all []received) (texts []string) {
	for _, r := range all {
		texts = append(texts, r.text)
	}
	return texts
}

func TestABatchThatExceedsTheMTUOfTheLinkArrives(t *testing.T) {
	hosts := linked(t)
	a, _, _ := openBind(t, hosts[0])
	_, port, arrived := openBind(t, hosts[1])
	for _, mtu := range []int{1500, 1400, 1280} {
		setMTU(t, hosts[0], mtu)
		for _, address := range []string{"192.0.2.2", "2001:db8::2"} {
			to, err := a.ParseEndpoint(netip.AddrPortFrom(netip.MustParseAddr(address), port).String())
			require.NoError(t, err)
			datagrams, want := batch(1452)
			require.NoError(t, a.Send(datagrams, to), "MTU %d to %s", mtu, address)
			require.ElementsMatch(t, want, texts(collect(t, arrived, len(want))), "MTU %d to %s", mtu, address)
		}
	}
}

func TestADatagramThatIsTooLargeIsLostAlone(t *testing.T) {
	hosts := linked(t)
	a, _, _ := openBind(t, hosts[0])
	_, port, arrived := openBind(t, hosts[1])
	to, err := a.ParseEndpoint(fmt.Sprintf("192.0.2.2:%d", port))
	require.NoError(t, err)
	huge := bytes.Repeat([]byte("x"), 70000)
	require.NoError(t, a.Send([][]byte{[]byte("before"), huge, []byte("after")}, to))
	require.ElementsMatch(t, []string{"before", "after"}, texts(collect(t, arrived, 2)))
}

func TestDatagramsOfDifferentSizesArriveInOrder(t *testing.T) {
	hosts := linked(t)
	a, _, _ := openBind(t, hosts[0])
	_, port, arrived := openBind(t, hosts[1])
	to, err := a.ParseEndpoint(fmt.Sprintf("192.0.2.2:%d", port))
	require.NoError(t, err)
	var datagrams [][]byte
	var want []string
	for i := range a.BatchSize() {
		d := bytes.Repeat([]byte{byte(i)}, 100+200*(i%5/2))
		datagrams, want = append(datagrams, d), append(want, string(d))
	}
	require.NoError(t, a.Send(datagrams, to))
	require.Equal(t, want, texts(collect(t, arrived, len(want))))
}

func TestRepliesLeaveFromTheAddressThatReceived(t *testing.T) {
	hosts := linked(t)
	hosts[0].Netlink(t, func(n *netlink.Handle) error { return addAddress(n, "eth0", "192.0.2.9/32") })
	a, portA, arrivedA := openBind(t, hosts[0])
	b, _, arrivedB := openBind(t, hosts[1])
	to, err := b.ParseEndpoint(fmt.Sprintf("192.0.2.9:%d", portA))
	require.NoError(t, err)
	require.NoError(t, b.Send([][]byte{[]byte("request")}, to))
	request := collect(t, arrivedA, 1)[0]
	require.Equal(t, "192.0.2.9", request.endpoint.SrcToString())
	require.NoError(t, a.Send([][]byte{[]byte("reply")}, request.endpoint))
	require.Equal(t, "192.0.2.9", collect(t, arrivedB, 1)[0].endpoint.DstIP().String())

	hosts[0].Netlink(t, func(n *netlink.Handle) error { return removeAddress(n, "eth0", "192.0.2.9/32") })
	require.Eventually(t, func() bool {
		require.NoError(t, a.Send([][]byte{[]byte("later")}, request.endpoint), "the address no longer exists")
		return collect(t, arrivedB, 1)[0].endpoint.DstIP() == netip.MustParseAddr("192.0.2.1")
	}, 5*time.Second, time.Millisecond)
}

func TestDatagramsFollowTheRouteToAnotherDevice(t *testing.T) {
	for _, family := range []struct{ to, from, near, far string }{
		{"192.0.2.1", "192.0.2.2/32", "198.51.100.1/24", "198.51.100.2/24"},
		{"2001:db8::1", "2001:db8::2/128", "2001:db8:1::1/64", "2001:db8:1::2/64"},
	} {
		hosts := linked(t)
		a, portA, arrivedA := openBind(t, hosts[0])
		b, _, arrivedB := openBind(t, hosts[1])
		to, err := b.ParseEndpoint(netip.AddrPortFrom(netip.MustParseAddr(family.to), portA).String())
		require.NoError(t, err)
		require.NoError(t, b.Send([][]byte{[]byte("request")}, to))
		request := collect(t, arrivedA, 1)[0]
		link(t, hosts, "eth1")
		hosts[1].Netlink(t, func(n *netlink.Handle) error { return addAddress(n, "eth1", family.far) })
		hosts[0].Netlink(t, func(n *netlink.Handle) error { return addAddress(n, "eth1", family.near) })
		hosts[0].Netlink(t, func(n *netlink.Handle) error {
			dst, err := netlink.ParseIPNet(family.from)
			router := netip.MustParsePrefix(family.far).Addr()
			return errors.Join(err, n.RouteAdd(&netlink.Route{Dst: dst, Gw: router.AsSlice()}))
		})
		require.Eventually(t, func() bool {
			require.NoError(t, a.Send([][]byte{[]byte("reply")}, request.endpoint))
			return collect(t, arrivedB, 1)[0].endpoint.DstIP() == netip.MustParsePrefix(family.near).Addr()
		}, 5*time.Second, time.Millisecond, "the source is chosen again for %s", family.to)
	}
}

// link connects two hosts with a pair of devices of one name.
func link(t *testing.T, hosts [2]*host, name string) {
	t.Helper()
	hosts[0].Netlink(t, func(n *netlink.Handle) error {
		return n.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name, PeerNamespace: netlink.NsFd(int(hosts[1].net.Fd())),
		})
	})
}
