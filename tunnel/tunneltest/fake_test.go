package tunneltest_test

import (
	"testing"

	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

func TestFakeMeetsTheContract(t *testing.T) {
	tunneltest.TestDevice(t, 300, func(*testing.T) tunnel.Device { return tunneltest.NewFake() })
}
