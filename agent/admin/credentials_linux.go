package admin

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// peerUser returns the user of the process at the other end of a unix socket
// (SO_PEERCRED, unix(7)).
func peerUser(conn net.Conn) (int, error) {
	credentials, err := peerCredentials(conn)
	if err != nil {
		return -1, err
	}
	return int(credentials.Uid), nil
}

// peerProcess returns the process that listens on, or connected, the other end.
func peerProcess(conn net.Conn) (int, bool) {
	credentials, err := peerCredentials(conn)
	if err != nil {
		return 0, false
	}
	return int(credentials.Pid), true
}

func peerCredentials(conn net.Conn) (*unix.Ucred, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("read credentials: not a unix socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var credentials *unix.Ucred
	var optionErr error
	err = raw.Control(func(fd uintptr) {
		credentials, optionErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, optionErr); err != nil {
		return nil, err
	}
	return credentials, nil
}
