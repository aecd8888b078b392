package kernel

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many messages go into one sendmsg. 256 are about as fast
	// as it gets (64: half of it; 512: no faster), and their errors, should all
	// fail, fit into the default receive buffer.
	batchSize = 256
	// answerTimeout is in seconds, for one message of the kernel.
	answerTimeout = 30
	// maxDumps is how often a dump that something changed under is repeated.
	maxDumps = 10
	// maxErrors is how many entries one error names; the others are counted.
	maxErrors = 20
)

// conn is one rtnetlink socket, for one goroutine at a time.
type conn struct {
	socket *nl.NetlinkSocket
	port   uint32
	seq    uint32
	buffer []byte
}

// dial opens a socket in the network namespace of this thread.
func dial() (*conn, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c := &conn{socket: socket}
	if err := c.setUp(); err != nil {
		socket.Close()
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	return c, nil
}

// setUp asks for strict dumps, which filter in the kernel, and for errors with
// a text and without a copy of the request.
func (c *conn) setUp() error {
	for _, option := range []int{unix.NETLINK_GET_STRICT_CHK, unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK} {
		if err := unix.SetsockoptInt(c.socket.GetFd(), unix.SOL_NETLINK, option, 1); err != nil {
			return fmt.Errorf("set option %d: %w", option, err)
		}
	}
	if err := c.socket.SetReceiveTimeout(&unix.Timeval{Sec: answerTimeout}); err != nil {
		return err
	}
	var err error
	c.port, err = c.socket.GetPid()
	return err
}

func (c *conn) close() { c.socket.Close() }

// batch is a run of messages of one type.
type batch struct {
	typ, flags uint16
	n          int
	body       func(b []byte, i int) []byte
	name       func(i int) string // for errors
	missing    bool               // that the object does not exist is no error
}

// run sends the batch and returns what went wrong, joined, each by its name.
// An error does not stop the messages behind it.
func (c *conn) run(ctx context.Context, b batch) error {
	var failed failures
	for from := 0; from < b.n; from += batchSize {
		if err := ctx.Err(); err != nil {
			return failed.with(err)
		}
		to := min(from+batchSize, b.n)
		if err := c.chunk(b, from, to, &failed); err != nil {
			return failed.with(fmt.Errorf("%s … %s: %w", b.name(from), b.name(to-1), err))
		}
	}
	return failed.with(nil)
}

// chunk sends messages from … to-1 at once. Only the last asks for an answer;
// the kernel works through them in order, and reports errors unasked.
func (c *conn) chunk(b batch, from, to int, failed *failures) error {
	c.buffer = c.buffer[:0]
	first := c.seq + 1
	for i := from; i < to; i++ {
		flags := b.flags | unix.NLM_F_REQUEST
		if i == to-1 {
			flags |= unix.NLM_F_ACK
		}
		c.seq++
		c.buffer = appendMessage(c.buffer, b.typ, flags, c.seq, func(buf []byte) []byte { return b.body(buf, i) })
	}
	if err := c.send(c.buffer); err != nil {
		return err
	}
	return c.readAcks(first, func(seq uint32, err error) {
		if b.missing && isMissing(err) {
			return
		}
		i := from + int(seq-first)
		failed.add(func() error { return fmt.Errorf("%s: %w", b.name(i), err) })
	})
}

func (c *conn) send(b []byte) error {
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for {
		err := unix.Sendto(c.socket.GetFd(), b, 0, to)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// readAcks reads until the last message sent has been answered.
func (c *conn) readAcks(first uint32, fail func(seq uint32, err error)) error {
	for {
		messages, _, err := c.socket.Receive()
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Header.Type != unix.NLMSG_ERROR || m.Header.Seq-first > c.seq-first {
				continue // of an earlier request that was given up
			}
			if err := responseError(m); err != nil {
				fail(m.Header.Seq, err)
			}
			if m.Header.Seq == c.seq {
				return nil
			}
		}
	}
}

// isMissing tells whether what was to be deleted is gone already. The device
// being gone takes its routes and nexthops along.
func isMissing(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV)
}

// failures joins errors, of which it writes out the first few only: 100 000
// routes can fail for one reason.
type failures struct {
	errs []error
	more int
}

func (f *failures) add(err func() error) {
	if len(f.errs) == maxErrors {
		f.more++
		return
	}
	f.errs = append(f.errs, err())
}

func (f *failures) with(err error) error {
	errs := append(f.errs, err)
	if f.more > 0 {
		errs = append(errs, fmt.Errorf("and %d more errors", f.more))
	}
	return errors.Join(errs...)
}

// dump asks for all objects of a type, and passes the body of each to use. It
// begins anew, after reset, when they changed meanwhile (NLM_F_DUMP_INTR).
func (c *conn) dump(ctx context.Context, typ uint16, body []byte, reset func(), use func([]byte) error) error {
	for range maxDumps {
		if err := ctx.Err(); err != nil {
			return err
		}
		reset()
		interrupted, err := c.dumpOnce(typ, body, use)
		if err != nil || !interrupted {
			return err
		}
	}
	return nl.ErrDumpInterrupted
}

func (c *conn) dumpOnce(typ uint16, body []byte, use func([]byte) error) (interrupted bool, err error) {
	if err := c.request(typ, unix.NLM_F_DUMP, body); err != nil {
		return false, err
	}
	var failed error
	for {
		messages, _, err := c.socket.Receive()
		if err != nil {
			return interrupted, err
		}
		for _, m := range messages {
			if m.Header.Seq != c.seq {
				continue
			}
			interrupted = interrupted || m.Header.Flags&unix.NLM_F_DUMP_INTR != 0
			switch m.Header.Type {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				return interrupted, errors.Join(failed, responseError(m))
			default:
				if failed == nil { // the rest has to be read in any case
					failed = use(m.Data)
				}
			}
		}
	}
}

// query sends one request that has one answer, and returns its body.
func (c *conn) query(typ uint16, body []byte) ([]byte, error) {
	if err := c.request(typ, 0, body); err != nil {
		return nil, err
	}
	for {
		messages, _, err := c.socket.Receive()
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			if m.Header.Seq != c.seq {
				continue
			}
			if m.Header.Type == unix.NLMSG_ERROR {
				return nil, responseError(m)
			}
			return m.Data, nil
		}
	}
}

func (c *conn) request(typ, flags uint16, body []byte) error {
	c.seq++
	c.buffer = appendMessage(c.buffer[:0], typ, flags|unix.NLM_F_REQUEST, c.seq,
		func(b []byte) []byte { return append(b, body...) })
	return c.send(c.buffer)
}

// kernelError is what the kernel answered, with its own words if it had any.
type kernelError struct {
	number  unix.Errno
	message string
}

func (e kernelError) Error() string {
	if e.message == "" {
		return e.number.Error()
	}
	return e.number.Error() + ": " + e.message
}

// Unwrap lets errors.Is find the number.
func (e kernelError) Unwrap() error { return e.number }

// responseError is the error that a message of type error or done carries; nil is success.
func responseError(m syscall.NetlinkMessage) error {
	const number, header = 4, unix.SizeofNlMsghdr
	if len(m.Data) < number {
		return nil
	}
	code := int32(native.Uint32(m.Data)) //nolint:gosec // the kernel's own representation
	if code == 0 {
		return nil
	}
	refusal := kernelError{number: unix.Errno(-code)}
	words := m.Data[number:]
	if m.Header.Type == unix.NLMSG_ERROR {
		words = words[min(header, len(words)):]
	}
	if m.Header.Flags&unix.NLM_F_ACK_TLVS != 0 {
		attrs, _ := parseAttrs(words) // as many as are well-formed
		refusal.message = attrs.text(unix.NLMSGERR_ATTR_MSG)
	}
	return refusal
}
