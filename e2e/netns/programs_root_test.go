//go:build linux && root

package netns_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
)

// programToken is in the file of tokens.
const programToken = "0123456789abcdef0123456789abcdef"

// program runs curl on the gateway of dc and returns the answer with its HTTP status.
func program(ctx context.Context, dc *harness.Datacenter, procedure, body string, flags ...string) (status, answer string, err error) {
	args := append([]string{"curl", "-sS", "--max-time", "60", "-w", "\n%{http_code}", "--json", body}, flags...)
	out, err := dc.Gateway.Exec(ctx, append(args, "http://127.0.0.1:8443/meshway.catalog.v1.Catalog/"+procedure)...)
	answer, status, _ = strings.Cut(strings.TrimSpace(out), "\n")
	return status, answer, err
}

// TestProgramsUseTheCatalogWithCurl registers a service of east on its unix socket, and
// waits for its changes on the port of west, with a token.
func TestProgramsUseTheCatalogWithCurl(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	const tokens = "/run/tokens"
	require.NoError(t, west.Gateway.WriteFile(tokens, fmt.Appendf(nil, "test read %s\n", programToken), 0o644))
	federate(t, east)
	runAgent(t, west, fmt.Sprintf("catalog: {listen: '127.0.0.1:8443', tokens: %s}", tokens))
	meshctl(t, west, "join", token(t, east))
	awaitRemedy(t, west, "catalog-tokens-invalid", "meshd config reference has its format")
	bearer := []string{"-H", "Authorization: Bearer " + programToken}
	status, answer, err := program(within(t, timeout), west, "List", "{}", bearer...)
	require.NoError(t, err)
	assert.Equal(t, "401", status, answer)
	_, err = west.Gateway.Exec(within(t, timeout), "chmod", "600", tokens)
	require.NoError(t, err)
	awaitResolved(t, west, "catalog-tokens-invalid")

	onSocket := func(procedure, body string) string {
		t.Helper()
		out, err := east.Gateway.Exec(within(t, timeout), "curl", "-sS", "--fail-with-body", "--unix-socket", "/run/meshway/meshd.sock", "--json", body,
			"http://meshd/meshway.catalog.v1.Catalog/"+procedure)
		require.NoError(t, err, out)
		return out
	}
	onSocket("Register", fmt.Sprintf(`{"service":{"name":"web","address":"%s","ports":[{"protocol":"tcp","number":8080}]},"if_index":"0"}`, east.Workloads[0].Service))
	var index string
	eventually(t, timeout, "west has the service", func(ctx context.Context) error {
		_, answer, err := program(ctx, west, "List", `{"name":"web","read":"stale"}`, bearer...)
		if err != nil {
			return err
		}
		var list struct {
			Items     []any
			Freshness struct{ Index string }
		}
		if err := json.Unmarshal([]byte(answer), &list); err != nil || len(list.Items) == 0 {
			return errors.Join(err, errors.New(answer))
		}
		index = list.Freshness.Index
		return nil
	})
	changed := make(chan string, 1)
	go func() {
		_, answer, err := program(t.Context(), west, "List", fmt.Sprintf(`{"name":"web","wait_index":"%s","wait":"50s"}`, index), bearer...)
		changed <- fmt.Sprint(answer, err)
	}()
	onSocket("Deregister", `{"name":"web"}`)
	assert.NotContains(t, <-changed, "10.", "a deletion ends the wait")

	status, answer, err = program(within(t, timeout), west, "Register", "{}", bearer...)
	require.NoError(t, err)
	assert.Equal(t, "403", status, answer)
	status, _, err = program(within(t, timeout), west, "List", "{}")
	require.NoError(t, err)
	assert.Equal(t, "401", status)
	assert.NotContains(t, west.Agent.Log(), programToken)
}
