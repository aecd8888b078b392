package device

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/meshway/meshway/tunnel"
)

// configureDevice applies the WireGuard part of a change in one message, which
// the data plane processes in order. server is the process of the interface; 0
// for the kernel.
func configureDevice(c tunnel.Change, server int) error {
	cfg, err := deviceConfig(c)
	if err != nil {
		return err
	}
	client, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("open wireguard control: %w", err)
	}
	defer client.Close()
	if err := ensurePortFree(client, c, server); err != nil {
		return err
	}
	if cfg.PrivateKey == nil && cfg.ListenPort == nil && cfg.FirewallMark == nil && len(cfg.Peers) == 0 {
		return nil
	}
	if err := client.ConfigureDevice(c.Name, cfg); err != nil {
		return fmt.Errorf("set keys and peers of %s: %w", c.Name, explainError(c.Name, err))
	}
	return nil
}

// ensurePortFree returns an error if the port is in use. wireguard-go opens its
// socket only after the link is up and does not report a failure, so the port
// is checked before. The process that serves the interface may have the port
// open: it keeps it when the link goes down.
func ensurePortFree(client *wgctrl.Client, c tunnel.Change, server int) error {
	if c.ListenPort != nil {
		return portFree(*c.ListenPort, server)
	}
	if !c.Up {
		return nil
	}
	dev, _, err := readDevice(client, c.Name)
	if err != nil {
		return explainError(c.Name, err)
	}
	return portFree(uint16(dev.ListenPort), server)
}

func deviceConfig(c tunnel.Change) (wgtypes.Config, error) {
	var cfg wgtypes.Config
	if c.PrivateKey != nil {
		cfg.PrivateKey = new(wgtypes.Key(c.PrivateKey.Bytes()))
	}
	if c.ListenPort != nil {
		cfg.ListenPort = new(int(*c.ListenPort))
	}
	if c.Mark != nil {
		cfg.FirewallMark = new(int(*c.Mark))
	}
	for _, p := range c.Peers {
		if p.Renew {
			cfg.Peers = append(cfg.Peers, wgtypes.PeerConfig{PublicKey: wgtypes.Key(p.PublicKey), Remove: true})
		}
		cfg.Peers = append(cfg.Peers, peerConfig(p))
	}
	parked, err := parkPrefixes(c.Peers)
	if err != nil {
		return cfg, err
	}
	cfg.Peers = append(cfg.Peers, parked...)
	for _, k := range c.RemovePeers {
		cfg.Peers = append(cfg.Peers, wgtypes.PeerConfig{PublicKey: wgtypes.Key(k), Remove: true})
	}
	return cfg, nil
}

func peerConfig(p tunnel.PeerChange) wgtypes.PeerConfig {
	pc := wgtypes.PeerConfig{
		PublicKey:                   wgtypes.Key(p.PublicKey),
		UpdateOnly:                  !p.Add,
		PersistentKeepaliveInterval: p.Keepalive,
		AllowedIPs:                  toIPNets(p.AddAllowedIPs),
	}
	if p.Endpoint.IsValid() {
		pc.Endpoint = net.UDPAddrFromAddrPort(p.Endpoint)
	}
	return pc
}

// parkPrefixes removes prefixes from peers. wgctrl can only replace the whole
// list, which leaves the peer without any prefix for a moment and drops packets.
// Moving a prefix to another peer is atomic, so the removed ones move to a
// parking peer with a fresh random key, which the same message removes. A
// parking peer that is left after a crash is removed by the next Diff.
func parkPrefixes(peers []tunnel.PeerChange) ([]wgtypes.PeerConfig, error) {
	var removed []netip.Prefix
	for _, p := range peers {
		removed = append(removed, p.RemoveAllowedIPs...)
	}
	if len(removed) == 0 {
		return nil, nil
	}
	key, err := tunnel.NewPrivateKey()
	if err != nil {
		return nil, err
	}
	parking := wgtypes.Key(key.Public())
	return []wgtypes.PeerConfig{
		{PublicKey: parking, AllowedIPs: toIPNets(removed)},
		{PublicKey: parking, Remove: true},
	}, nil
}

// readDevice returns the WireGuard part of an interface without its secrets, and
// whether it has a private key.
func readDevice(client *wgctrl.Client, name string) (dev *wgtypes.Device, keyed bool, err error) {
	dev, err = client.Device(name)
	if err != nil {
		return nil, false, err
	}
	return dev, forgetSecrets(dev), nil
}

// forgetSecrets removes the keys that a wgtypes.Key would print, and reports whether
// there was a private key.
func forgetSecrets(dev *wgtypes.Device) (keyed bool) {
	keyed = dev.PrivateKey != (wgtypes.Key{})
	dev.PrivateKey = wgtypes.Key{}
	for i := range dev.Peers {
		dev.Peers[i].PresharedKey = wgtypes.Key{}
	}
	return keyed
}

func observeDevice(o *tunnel.Observed, dev *wgtypes.Device, keyed bool) {
	if keyed {
		o.PublicKey = tunnel.PublicKey(dev.PublicKey)
	}
	o.ListenPort = uint16(dev.ListenPort)
	o.Mark = uint32(dev.FirewallMark)
	for _, p := range dev.Peers {
		o.Peers = append(o.Peers, observePeer(p))
	}
	slices.SortFunc(o.Peers, func(a, b tunnel.ObservedPeer) int { return a.PublicKey.Compare(b.PublicKey) })
}

func observePeer(p wgtypes.Peer) tunnel.ObservedPeer {
	o := tunnel.ObservedPeer{
		Peer: tunnel.Peer{
			PublicKey: tunnel.PublicKey(p.PublicKey),
			Keepalive: p.PersistentKeepaliveInterval,
		},
		ReceivedBytes:    uint64(p.ReceiveBytes),
		TransmittedBytes: uint64(p.TransmitBytes),
	}
	if p.Endpoint != nil {
		ap := p.Endpoint.AddrPort()
		o.Endpoint = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	// "Never" comes as the epoch from wireguard-go and as zero from the kernel.
	if p.LastHandshakeTime.After(time.Unix(0, 0)) {
		o.LastHandshake = p.LastHandshakeTime
	}
	for _, ip := range p.AllowedIPs {
		if prefix, ok := fromIPNet(ip); ok {
			o.AllowedIPs = append(o.AllowedIPs, prefix)
		}
	}
	slices.SortFunc(o.AllowedIPs, netip.Prefix.Compare)
	return o
}

// isUnconfigured reports whether the interface has neither a key nor peers.
func isUnconfigured(name string) (bool, error) {
	client, err := wgctrl.New()
	if err != nil {
		return false, err
	}
	defer client.Close()
	dev, keyed, err := readDevice(client, name)
	if err != nil {
		return false, err
	}
	return !keyed && len(dev.Peers) == 0, nil
}

// explainError adds an explanation to an error of wgctrl.
func explainError(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no data plane serves interface %s (socket /var/run/wireguard/%s.sock is missing): %w", name, name, err)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("the data plane process of interface %s is dead: %w", name, err)
	}
	// wireguard-go returns "errno=-98", which wgctrl passes on as text.
	if m := regexp.MustCompile(`errno=-(\d+)`).FindStringSubmatch(err.Error()); m != nil {
		if n, convErr := strconv.Atoi(m[1]); convErr == nil {
			return fmt.Errorf("data plane refused the configuration: %w", unix.Errno(n))
		}
	}
	return err
}

func toIPNets(ps []netip.Prefix) []net.IPNet {
	out := make([]net.IPNet, 0, len(ps))
	for _, p := range ps {
		out = append(out, *toIPNet(p))
	}
	return out
}
