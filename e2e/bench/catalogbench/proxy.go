package catalogbench

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// proxy passes the connections to a port on, and delays what each side sends, as a
// long path does. It does not limit the rate. The kernel of many machines has no
// netem, which would do the same for packets.
type proxy struct {
	listener net.Listener
	target   string
	delay    time.Duration
	wg       sync.WaitGroup

	mu   sync.Mutex // guards all following fields
	open map[net.Conn]bool
}

// chunk is what one read returned, and when it may be written.
type chunk struct {
	data []byte
	due  time.Time
}

// newProxy listens on a loopback port of its own and passes connections to target.
func newProxy(target string, delay time.Duration) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, delay: delay, open: make(map[net.Conn]bool)}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() netip.AddrPort { return netip.MustParseAddrPort(p.listener.Addr().String()) }

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = near.Close() // the member does not run
			continue
		}
		p.mu.Lock()
		p.open[near], p.open[far] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(near, far) })
		p.wg.Go(func() { p.pass(far, near) })
	}
}

// pass copies from one side to the other until one of them ends, which ends both.
func (p *proxy) pass(from, to net.Conn) {
	chunks := make(chan chunk, 1024)
	p.wg.Go(func() {
		for c := range chunks {
			<-time.After(time.Until(c.due))
			if _, err := to.Write(c.data); err != nil {
				break
			}
		}
		p.end(from, to)
		for range chunks { // so that the reader is not blocked until it ends, too
		}
	})
	for {
		data := make([]byte, 64<<10)
		n, err := from.Read(data)
		if n > 0 {
			chunks <- chunk{data[:n], time.Now().Add(p.delay)}
		}
		if err != nil {
			close(chunks)
			return
		}
	}
}

func (p *proxy) end(conns ...io.Closer) {
	for _, c := range conns {
		_ = c.Close() // it may be closed already
	}
}

// close ends all connections.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// freePort returns a loopback address that no process uses now.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	return at, l.Close()
}
