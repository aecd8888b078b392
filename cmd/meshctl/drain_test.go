package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// refusedAs returns a refusal with a code, as meshd sends it.
func refusedAs(t *testing.T, code string) error {
	err := connect.NewError(connect.CodeFailedPrecondition, errors.New("refused"))
	detail, detailErr := connect.NewErrorDetail(&catalogpb.Refusal{Code: code, Message: code})
	require.NoError(t, detailErr)
	err.AddDetail(detail)
	return err
}

// drainWith runs meshctl drain against a meshd whose first attempt fails with
// first, and returns the number of attempts.
func drainWith(t *testing.T, first error, args ...string) (code, attempts int) {
	t.Helper()
	socketError, absent := errors.AsType[*adminclient.SocketError](first)
	o := &fakeMeshd{steps: []*controlpb.Progress{{Step: "done", Message: "drained", Done: true}}}
	o.onStream = func() {
		attempts++
		if o.err = nil; attempts == 1 && !absent {
			o.err = first
		}
	}
	socket := serve(t, o)
	var out, errs bytes.Buffer
	a := newApp(func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	a.dialSocket = func(string) controlpbconnect.OperatorClient {
		return adminclient.New(func(ctx context.Context) (net.Conn, error) {
			if absent && attempts == 0 {
				attempts++
				return nil, socketError
			}
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		})
	}
	return a.main(t.Context(), append([]string{"drain"}, args...)), attempts
}

func TestDrainRetriesOnlyTemporaryFailures(t *testing.T) {
	absent := &adminclient.SocketError{Socket: "meshd.sock", Err: fs.ErrNotExist}
	for name, test := range map[string]struct {
		first    error
		args     []string
		code     int
		attempts int
	}{
		"meshd is stopped":                   {absent, []string{"--retry=10s"}, fault.ExitOK, 2},
		"meshd has not read its membership":  {refusedAs(t, "starting"), []string{"--retry=10s"}, fault.ExitOK, 2},
		"the same, of an earlier release":    {refusedAs(t, "not-a-member"), []string{"--retry=10s"}, fault.ExitOK, 2},
		"the last gateway":                   {refusedAs(t, "last-gateway"), []string{"--retry=10s", "--turn=10s"}, fault.ExitRefused, 1},
		"another gateway is drained":         {refusedAs(t, "siblings-drained"), []string{"--turn=10s"}, fault.ExitOK, 2},
		"another is drained, without --turn": {refusedAs(t, "siblings-drained"), []string{"--retry=10s"}, fault.ExitRefused, 1},
		"meshd is stopped, without --retry":  {absent, nil, fault.ExitUnreachable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			code, attempts := drainWith(t, test.first, test.args...)
			assert.Equal(t, test.code, code)
			assert.Equal(t, test.attempts, attempts)
		})
	}
}
