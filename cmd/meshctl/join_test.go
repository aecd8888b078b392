package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/kubectl"
)

// joinVia joins with a token that the inviter creates.
func joinVia(t *testing.T, inviter, joiner *fakeMeshd) result {
	t.Helper()
	var out, errs bytes.Buffer
	a := newApp(func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	a.now = func() time.Time { return noon }
	member := serve(t, inviter)
	a.dialCluster = func(c kubectl.Cluster) controlpbconnect.OperatorClient {
		require.Equal(t, "east", c.Context)
		return a.dialSocket(member)
	}
	return result{code: a.main(t.Context(), []string{"--socket", serve(t, joiner), "join", "--via", "east"}), out: out.String(), err: errs.String()}
}

func revoked(o *fakeMeshd) []string {
	var ids []string
	for _, r := range o.requests {
		if revoke, ok := r.(*controlpb.RevokeTokenRequest); ok {
			ids = append(ids, revoke.GetId())
		}
	}
	return ids
}

func TestTokenOfARefusedJoinIsRevoked(t *testing.T) {
	refused := connect.NewError(connect.CodeFailedPrecondition, errors.New("the prefixes overlap"))
	inviter, joiner := &fakeMeshd{}, &fakeMeshd{err: refused}
	r := joinVia(t, inviter, joiner)
	assert.NotZero(t, r.code)
	require.Len(t, revoked(inviter), 1)

	inviter = &fakeMeshd{}
	r = joinVia(t, inviter, &fakeMeshd{steps: joinSteps()})
	assert.Zero(t, r.code, r.err)
	assert.Empty(t, revoked(inviter))
}
