package rpc_test

import (
	"context"
	"errors"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/rpc"
)

func TestErrorsOfContextsKeepTheirCode(t *testing.T) {
	tests := map[connect.Code]error{
		connect.CodeCanceled:         context.Canceled,
		connect.CodeDeadlineExceeded: context.DeadlineExceeded,
		connect.CodeUnknown:          errors.New("x"),
	}
	for code, err := range tests {
		assert.Equal(t, code, connect.CodeOf(rpc.Sentinels(nil).ToConnect(err)))
	}
	require.NoError(t, rpc.Sentinels(nil).ToConnect(nil))
	require.NoError(t, rpc.FromConnect(nil))
}
