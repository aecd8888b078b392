package liveness

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestControlPacketMatchesRFC5880(t *testing.T) {
	c := Control{
		Diagnostic: NeighborSignaledDown, State: Up, Poll: true, DetectMult: 5, MyDiscriminator: 0x01020304, YourDiscriminator: 0x0a0b0c0d,
		DesiredMinTxInterval: 100 * time.Millisecond, RequiredMinRxInterval: 200 * time.Millisecond,
	}
	require.Equal(t, "23e00518010203040a0b0c0d000186a000030d4000000000", hex.EncodeToString(c.Append(nil)))
	back, err := ParseControl(c.Append(nil))
	require.NoError(t, err)
	require.Equal(t, c, back)
}

func TestMalformedControlPacketsAreRefused(t *testing.T) {
	good := Control{State: Up, DetectMult: 3, MyDiscriminator: 1, YourDiscriminator: 2}.Append(nil)
	for name, modify := range map[string]func(b []byte) []byte{
		"empty":                  func([]byte) []byte { return nil },
		"short":                  func(b []byte) []byte { return b[:23] },
		"version":                func(b []byte) []byte { b[0] = 2 << 5; return b },
		"length too small":       func(b []byte) []byte { b[3] = 23; return b },
		"length over the packet": func(b []byte) []byte { b[3] = 25; return b },
		"authentication":         func(b []byte) []byte { b[1] |= bitAuth; return b },
		"multipoint":             func(b []byte) []byte { b[1] |= bitMultipoint; return b },
		"multiplier":             func(b []byte) []byte { b[2] = 0; return b },
		"my discriminator":       func(b []byte) []byte { b[7] = 0; return b },
		"your discriminator":     func(b []byte) []byte { b[11] = 0; return b },
		"poll and final":         func(b []byte) []byte { b[1] |= bitPoll | bitFinal; return b },
	} {
		_, err := ParseControl(modify(append([]byte(nil), good...)))
		require.Error(t, err, name)
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(Control{State: Up, DetectMult: 3, MyDiscriminator: 1, YourDiscriminator: 2}.Append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseControl(b)
		if err != nil {
			return
		}
		again, err := ParseControl(c.Append(nil))
		require.NoError(t, err)
		require.Equal(t, c, again)
		s := newSession(timing{100 * time.Millisecond, 5}, 1, epoch)
		s.receive(c, epoch)
		s.expire(epoch.Add(time.Hour))
		require.False(t, s.nextEvent(epoch).IsZero())
	})
}

func FuzzParseEcho(f *testing.F) {
	f.Add(echo{1, 2}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := parseEcho(b); ok {
			require.Equal(t, b, e.encode())
		}
	})
}
