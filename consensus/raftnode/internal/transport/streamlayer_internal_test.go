package transport

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

const dialTimeout = 700 * time.Millisecond

// dialer is a Network that only dials.
type dialer struct {
	consensus.Network
	dial func(ctx context.Context, address string) (net.Conn, error)
}

func (d dialer) Dial(ctx context.Context, _ catalog.GatewayID, address string) (net.Conn, error) {
	return d.dial(ctx, address)
}

func newTestLayer(addresses []string, dial func(ctx context.Context, address string) (net.Conn, error)) *streamLayer {
	return newStreamLayer(Config{
		ID: "a/1", Network: dialer{dial: dial}, DialTimeout: dialTimeout,
		Addresses: func(catalog.GatewayID) []string { return addresses },
	})
}

func TestADialFallsBackFromADeadOverlayAddressToTheControlEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestLayer([]string{"overlay", "control"}, func(ctx context.Context, address string) (net.Conn, error) {
			if address == "overlay" { // its packets are lost
				<-ctx.Done()
				return nil, ctx.Err()
			}
			conn, _ := net.Pipe()
			return conn, nil
		})
		began := time.Now()
		conn, err := s.Dial("b/1", 10*time.Second)
		require.NoError(t, err)
		assert.Equal(t, dialTimeout, time.Since(began))
		require.NoError(t, s.Close())
		_, err = conn.Read(make([]byte, 1))
		require.Error(t, err, "closing the layer closes its streams")
	})
}

func TestADialErrorContainsEveryAddressThatWasTried(t *testing.T) {
	s := newTestLayer([]string{"overlay", "control"}, func(context.Context, string) (net.Conn, error) {
		return nil, errors.New("refused")
	})
	_, err := s.Dial("b/1", time.Second)
	require.ErrorContains(t, err, "dial b/1 at overlay: refused")
	require.ErrorContains(t, err, "dial b/1 at control: refused")
	s = newTestLayer(nil, nil)
	_, err = s.Dial("b/1", time.Second)
	require.ErrorContains(t, err, "no address known")
}

func TestADialEndsWhenItsStreamLayerIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestLayer([]string{"overlay"}, func(ctx context.Context, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		s.dialTimeout = time.Hour
		began := time.Now()
		time.AfterFunc(time.Second, func() { assert.NoError(t, s.Close()) })
		_, err := s.Dial("b/1", time.Hour)
		require.Error(t, err)
		assert.Equal(t, time.Second, time.Since(began))
	})
}
