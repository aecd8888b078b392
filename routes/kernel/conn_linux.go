package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// batchSize is the number of messages in one sendmsg. 256 reach the highest
	// throughput (64: half of it; 512: no more), and the errors of all of them
	// fit into the default receive buffer.
	batchSize = 256
	// answerTimeout is the time in seconds to wait for a message of the kernel.
	answerTimeout = 30
	// receiveSize holds what one call receives: the kernel combines the messages of a
	// dump up to 32 KiB.
	receiveSize = 1 << 16
	// maxDumps is the maximum number of attempts to get a consistent dump.
	maxDumps = 10
	// maxErrors is the maximum number of entries that one error names.
	maxErrors = 20
)

// conn is one rtnetlink socket. Only run may be called while it runs.
type conn struct {
	socket   int
	port     uint32
	mu       sync.Mutex // of run, during one chunk; guards all following
	seq      uint32
	buffer   []byte                   // what is sent
	received []byte                   // what was received last
	messages []syscall.NetlinkMessage // in received
}

// dial opens a socket in the network namespace of this thread.
func dial() (*conn, error) {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c := &conn{socket: socket, received: make([]byte, receiveSize)}
	if err := c.setUp(); err != nil {
		c.close()
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	return c, nil
}

// setUp enables strict dumps, which the kernel filters, and errors with a text
// and without a copy of the request.
func (c *conn) setUp() error {
	if err := unix.Bind(c.socket, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	for _, option := range []int{unix.NETLINK_GET_STRICT_CHK, unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK} {
		if err := unix.SetsockoptInt(c.socket, unix.SOL_NETLINK, option, 1); err != nil {
			return fmt.Errorf("set option %d: %w", option, err)
		}
	}
	if err := unix.SetsockoptTimeval(c.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerTimeout}); err != nil {
		return fmt.Errorf("set the time to wait for an answer: %w", err)
	}
	address, err := unix.Getsockname(c.socket)
	if err != nil {
		return fmt.Errorf("get the port: %w", err)
	}
	if own, ok := address.(*unix.SockaddrNetlink); ok {
		c.port = own.Pid
	}
	return nil
}

func (c *conn) close() { _ = unix.Close(c.socket) }

// batch is a sequence of messages of one type.
type batch struct {
	typ, flags uint16
	n          int
	body       func(b []byte, i int) []byte
	name       func(i int) string // for errors
	missing    bool               // a missing object is no error
}

// run sends the batch and returns the errors, joined, each with the name of its
// entry. An error does not stop the following messages.
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

// chunk sends the messages from … to-1 in one call. Only the last requests an
// acknowledgement: the kernel processes them in order, and always reports errors.
func (c *conn) chunk(b batch, from, to int, failed *failures) error {
	c.mu.Lock()
	defer c.mu.Unlock()
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
		err := unix.Sendto(c.socket, b, 0, to)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// receive waits for messages. They are valid until the next call: a dump of 100 000
// routes leaves no garbage.
func (c *conn) receive() ([]syscall.NetlinkMessage, error) {
	n, err := unix.Read(c.socket, c.received)
	for errors.Is(err, unix.EINTR) { // a signal of the scheduler; the kernel repeats no call with a timeout
		n, err = unix.Read(c.socket, c.received)
	}
	if err != nil {
		return nil, err
	}
	c.messages, err = appendMessages(c.messages[:0], c.received[:n])
	return c.messages, err
}

// appendMessages appends the messages in b, which share its memory.
func appendMessages(list []syscall.NetlinkMessage, b []byte) ([]syscall.NetlinkMessage, error) {
	for len(b) >= unix.SizeofNlMsghdr {
		length := int(native.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return list, errTruncated
		}
		header := syscall.NlMsghdr{
			Len: native.Uint32(b), Type: native.Uint16(b[4:]), Flags: native.Uint16(b[6:]), Seq: native.Uint32(b[8:]), Pid: native.Uint32(b[12:]),
		}
		list = append(list, syscall.NetlinkMessage{Header: header, Data: b[unix.SizeofNlMsghdr:length]})
		b = b[aligned(length, len(b)):]
	}
	return list, nil
}

// readAcks reads until the last sent message is acknowledged.
func (c *conn) readAcks(first uint32, fail func(seq uint32, err error)) error {
	for {
		messages, err := c.receive()
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Header.Type != unix.NLMSG_ERROR || m.Header.Seq-first > c.seq-first {
				continue // of an earlier request that timed out
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

// isMissing reports whether the object to delete does not exist. It includes a
// missing device, because the kernel deletes routes and nexthops with their device.
func isMissing(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV)
}

// failures joins errors. It includes only the first maxErrors, because 100 000
// routes can fail for the same reason.
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

// dump requests all objects of a type, and calls use with the body of each. It
// calls reset and starts again if they change meanwhile (NLM_F_DUMP_INTR).
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
		messages, err := c.receive()
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
				if failed == nil { // after an error the rest is only read
					failed = use(m.Data)
				}
			}
		}
	}
}

// query sends a request that has one response, and returns its body, which is valid
// until the next request.
func (c *conn) query(typ uint16, body []byte) ([]byte, error) {
	if err := c.request(typ, 0, body); err != nil {
		return nil, err
	}
	for {
		messages, err := c.receive()
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

// kernelError is an error of the kernel.
type kernelError struct {
	number  unix.Errno
	message string // extended acknowledgement; empty: none
}

func (e kernelError) Error() string {
	if e.message == "" {
		return e.number.Error()
	}
	return e.number.Error() + ": " + e.message
}

// Unwrap returns the errno.
func (e kernelError) Unwrap() error { return e.number }

// responseError returns the error in a message of type error or done; nil is success.
func responseError(m syscall.NetlinkMessage) error {
	const number, header = 4, unix.SizeofNlMsghdr
	if len(m.Data) < number {
		return nil
	}
	code := int32(native.Uint32(m.Data)) //nolint:gosec // the kernel's own representation
	if code == 0 {
		return nil
	}
	err := kernelError{number: unix.Errno(-code)}
	rest := m.Data[number:]
	if m.Header.Type == unix.NLMSG_ERROR {
		rest = rest[min(header, len(rest)):]
	}
	if m.Header.Flags&unix.NLM_F_ACK_TLVS != 0 {
		attrs, _ := parseAttrs(rest) // as many as are well-formed
		err.message = attrs.text(unix.NLMSGERR_ATTR_MSG)
	}
	return err
}
