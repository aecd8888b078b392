//go:build linux

package catalogbench

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestAResultHasAllKeysAndTheMedianOfTheRounds(t *testing.T) {
	r := NewResult("a machine")
	for _, value := range []float64{9, 1, 2} {
		r.add("write_ms_median", value)
	}
	text, err := r.JSON()
	require.NoError(t, err)
	assert.NotContains(t, string(text), "\n")
	var line map[string]any
	require.NoError(t, json.Unmarshal(text, &line))
	assert.Len(t, line, len(keys)+2)
	assert.Equal(t, "catalog", line["bench"])
	assert.InDelta(t, 2, line["write_ms_median"], 0)
	assert.Contains(t, line, "restart_ms")
	assert.Nil(t, line["restart_ms"], "it was not measured")
}

func TestALoadReportsTheFirstErrorAndStops(t *testing.T) {
	s := load(t.Context(), 2, time.Minute, func(_ context.Context, client, n int) error {
		if n > 10 {
			return errors.New("refused")
		}
		return nil
	})
	assert.Equal(t, "refused", s.Err)
	assert.Positive(t, s.PerSecond)
}

func TestUnknownMeasurementsAreRefused(t *testing.T) {
	cfg := DefaultConfig()
	require.NoError(t, cfg.Validate())
	cfg.Only = []string{"lna"}
	require.ErrorContains(t, cfg.Validate(), "use a subset of lan,")
}

func TestAProxyDelaysBothDirections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		data := make([]byte, 1)
		if _, err := conn.Read(data); err == nil {
			_, _ = conn.Write(data) // the client notices a failure
		}
	}()
	const delay = 20 * time.Millisecond
	p, err := newProxy(l.Addr().String(), delay)
	require.NoError(t, err)
	defer p.close()
	conn, err := net.Dial("tcp", p.addr().String())
	require.NoError(t, err)
	defer conn.Close()
	began := time.Now()
	_, err = conn.Write([]byte("x"))
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(began), 2*delay)
}

func TestEachSyncIsCountedAndExecuted(t *testing.T) {
	counter, err := countSyncs()
	require.NoError(t, err)
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	defer f.Close()
	before := counter.calls.Load()
	require.NoError(t, f.Sync())
	require.NoError(t, unix.Fdatasync(int(f.Fd())))
	assert.EqualValues(t, 2, counter.calls.Load()-before)
	require.Error(t, unix.Fdatasync(-1), "the kernel executes the call")
}
