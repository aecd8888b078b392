package liveness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// State is the state of a session (RFC 5880 section 4.1).
type State uint8

// The states of a session.
const (
	AdminDown State = iota
	Down
	Init
	Up
)

// String returns the name of the state in RFC 5880.
func (s State) String() string {
	if s > Up {
		return fmt.Sprintf("State(%d)", uint8(s))
	}
	return [...]string{"AdminDown", "Down", "Init", "Up"}[s]
}

// Diagnostic is the reason for the last change of a session's state (RFC 5880
// section 4.1).
type Diagnostic uint8

// The diagnostics that Meshway sends. Other received ones are printed as numbers.
const (
	NoDiagnostic         Diagnostic = 0
	DetectionTimeExpired Diagnostic = 1
	NeighborSignaledDown Diagnostic = 3
	AdministrativelyDown Diagnostic = 7
)

// String returns the diagnostic as text.
func (d Diagnostic) String() string {
	switch d {
	case NoDiagnostic:
		return "none"
	case DetectionTimeExpired:
		return "detection time expired"
	case NeighborSignaledDown:
		return "neighbor signaled session down"
	case AdministrativelyDown:
		return "administratively down"
	}
	return fmt.Sprintf("diagnostic %d", uint8(d))
}

// Control is a BFD control packet (RFC 5880 section 4.1) without an authentication
// section, because WireGuard authenticates it.
type Control struct {
	Diagnostic                Diagnostic
	State                     State
	Poll                      bool
	Final                     bool
	DetectMult                uint8
	MyDiscriminator           uint32
	YourDiscriminator         uint32
	DesiredMinTxInterval      time.Duration // whole microseconds
	RequiredMinRxInterval     time.Duration // whole microseconds; 0: no periodic packets
	RequiredMinEchoRxInterval time.Duration // whole microseconds; 0: no echo function
}

// controlSize is the length in bytes of a packet without authentication section.
const controlSize = 24

// Bits of the second byte.
const (
	bitPoll       = 1 << 5
	bitFinal      = 1 << 4
	bitAuth       = 1 << 2
	bitMultipoint = 1 << 0
)

// maxMicroseconds is the longest interval that fits into the packet.
const maxMicroseconds = 1<<32 - 1

// Append appends the packet to b.
func (c Control) Append(b []byte) []byte {
	flags := byte(c.State&3) << 6
	if c.Poll {
		flags |= bitPoll
	}
	if c.Final {
		flags |= bitFinal
	}
	b = append(b, 1<<5|byte(c.Diagnostic&31), flags, c.DetectMult, controlSize)
	b = binary.BigEndian.AppendUint32(b, c.MyDiscriminator)
	b = binary.BigEndian.AppendUint32(b, c.YourDiscriminator)
	b = binary.BigEndian.AppendUint32(b, microseconds(c.DesiredMinTxInterval))
	b = binary.BigEndian.AppendUint32(b, microseconds(c.RequiredMinRxInterval))
	return binary.BigEndian.AppendUint32(b, microseconds(c.RequiredMinEchoRxInterval))
}

// ParseControl parses a packet and applies the checks of RFC 5880 section 6.8.6
// that need no session.
func ParseControl(b []byte) (Control, error) {
	switch {
	case len(b) < controlSize:
		return Control{}, fmt.Errorf("%d bytes, want at least %d", len(b), controlSize)
	case b[0]>>5 != 1:
		return Control{}, fmt.Errorf("version %d, want 1", b[0]>>5)
	case int(b[3]) < controlSize || int(b[3]) > len(b):
		return Control{}, fmt.Errorf("length field %d in %d bytes", b[3], len(b))
	case b[1]&bitAuth != 0:
		return Control{}, errors.New("unexpected authentication section")
	case b[1]&bitMultipoint != 0:
		return Control{}, errors.New("multipoint bit")
	case b[2] == 0:
		return Control{}, errors.New("detect multiplier 0")
	}
	c := Control{
		Diagnostic:                Diagnostic(b[0] & 31),
		State:                     State(b[1] >> 6),
		Poll:                      b[1]&bitPoll != 0,
		Final:                     b[1]&bitFinal != 0,
		DetectMult:                b[2],
		MyDiscriminator:           binary.BigEndian.Uint32(b[4:]),
		YourDiscriminator:         binary.BigEndian.Uint32(b[8:]),
		DesiredMinTxInterval:      duration(b[12:]),
		RequiredMinRxInterval:     duration(b[16:]),
		RequiredMinEchoRxInterval: duration(b[20:]),
	}
	switch {
	case c.MyDiscriminator == 0:
		return Control{}, errors.New("my discriminator 0")
	case c.YourDiscriminator == 0 && c.State != Down && c.State != AdminDown:
		return Control{}, fmt.Errorf("your discriminator 0 in state %s", c.State)
	case c.Poll && c.Final:
		return Control{}, errors.New("both poll and final") // RFC 5880 section 6.5
	}
	return c, nil
}

// echoMagic is the start of the payload of our echoes, which distinguishes them
// from those of other programs.
const echoMagic = "MWE1"

const echoSize = len(echoMagic) + 8

// echo is the payload of an ICMP echo: the discriminator of the session that sent
// it, and its sequence number.
type echo struct{ discriminator, sequence uint32 }

func (e echo) encode() []byte {
	b := []byte(echoMagic)
	b = binary.BigEndian.AppendUint32(b, e.discriminator)
	return binary.BigEndian.AppendUint32(b, e.sequence)
}

func parseEcho(b []byte) (echo, bool) {
	if len(b) != echoSize || string(b[:len(echoMagic)]) != echoMagic {
		return echo{}, false
	}
	b = b[len(echoMagic):]
	return echo{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}, true
}

func microseconds(d time.Duration) uint32 {
	return uint32(min(max(d.Microseconds(), 0), maxMicroseconds))
}

func duration(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}
