package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// refused returns a refusal of the catalog, as meshd sends it.
func refused() error {
	err := connect.NewError(connect.CodeFailedPrecondition, errors.New("refused"))
	detail, detailErr := connect.NewErrorDetail(&catalogpb.Refusal{
		Code: "prefix-overlap", Field: "prefixes.pods[0]", Message: "10.1.0.0/16 overlaps 10.1.0.0/16 of east",
		Remedy: "choose prefixes that no other datacenter owns",
	})
	if detailErr != nil {
		return detailErr
	}
	err.AddDetail(detail)
	return err
}

func TestEachOutcomeHasItsExitCode(t *testing.T) {
	for name, test := range map[string]struct {
		meshd fakeMeshd
		args  string
		code  int
		want  []string // in stderr
	}{
		"ok":                 {fakeMeshd{snapshot: healthy()}, "status", fault.ExitOK, nil},
		"warnings are ok":    {fakeMeshd{snapshot: withWarning()}, "status", fault.ExitOK, nil},
		"failure":            {fakeMeshd{err: connect.NewError(connect.CodeInternal, errors.New("disk is full"))}, "init", fault.ExitFailure, []string{"error: disk is full\n"}},
		"nothing registered": {fakeMeshd{}, "service deregister web", fault.ExitFailure, []string{"field: NAME", "remedy: run `meshctl services`"}},
		"missing file":       {fakeMeshd{}, "snapshot restore /no/such/file --yes", fault.ExitFailure, []string{"field: FILE"}},
		"node, no context":   {fakeMeshd{}, "status --node n1", fault.ExitUsage, []string{"--node needs --context"}},
		"unknown command":    {fakeMeshd{}, "statsu", fault.ExitUsage, []string{"did you mean `meshctl status`?"}},
		"nearest command":    {fakeMeshd{}, "raft remove-pear", fault.ExitUsage, []string{"did you mean `meshctl raft remove-peer`?"}},
		"other word":         {fakeMeshd{}, "raft peers", fault.ExitUsage, []string{"did you mean `meshctl raft list-peers`?"}},
		"unknown shell":      {fakeMeshd{}, "completion tcsh", fault.ExitUsage, []string{"remedy: use one of bash, fish, powershell, zsh\n"}},
		"unknown topic":      {fakeMeshd{}, "help statsu", fault.ExitUsage, []string{"error: unknown command \"statsu\" of meshctl\n", "did you mean `meshctl help status`?"}},
		"no such subcommand": {fakeMeshd{}, "token nonsense", fault.ExitUsage, []string{"remedy: use one of create, list, revoke\n"}},
		"unknown subcommand": {fakeMeshd{}, "raft list-pers", fault.ExitUsage, []string{"did you mean `meshctl raft list-peers`?"}},
		"unknown flag":       {fakeMeshd{}, "services --namespac x", fault.ExitUsage, []string{"unknown flag --namespac\n", "did you mean --namespace?"}},
		"unknown short flag": {fakeMeshd{}, "services -z", fault.ExitUsage, []string{"unknown flag -z\n"}},
		"bad flag value":     {fakeMeshd{}, "services --read newest", fault.ExitUsage, []string{"must be one of stale, lease, consistent", "field: --read"}},
		"bad number":         {fakeMeshd{}, "events --limit many", fault.ExitUsage, []string{`error: invalid value "many": must be a whole number from 0 to 4294967295`, "field: --limit"}},
		"bad time":           {fakeMeshd{}, "services --timeout 5", fault.ExitUsage, []string{`error: invalid value "5": must be a time such as 30s or 5m`, "field: --timeout"}},
		"bad switch":         {fakeMeshd{}, "raft remove-peer x --yes=maybe", fault.ExitUsage, []string{`error: invalid value "maybe": must be true or false`, "field: --yes"}},
		"missing argument":   {fakeMeshd{}, "token revoke", fault.ExitUsage, []string{"error: meshctl token revoke needs the id of a token\n", "usage: meshctl token revoke ID"}},
		"spare argument":     {fakeMeshd{}, "status now", fault.ExitUsage, []string{"error: meshctl status takes no arguments, 1 given\n"}},
		"no token":           {fakeMeshd{}, "join", fault.ExitUsage, []string{"remedy: run `meshctl token create`"}},
		"empty token":        {fakeMeshd{}, "join -", fault.ExitUsage, []string{"the token is empty"}},
		"bad address":        {fakeMeshd{}, "routes 10.0.0", fault.ExitUsage, []string{`error: "10.0.0" is not an IP address`, "field: ADDRESS"}},
		"bad service":        {fakeMeshd{}, "service register web --address x --port 80", fault.ExitUsage, []string{"field: --address"}},
		"no port":            {fakeMeshd{}, "service register web --address 10.0.0.1", fault.ExitUsage, []string{"field: --port"}},
		"bad ttl":            {fakeMeshd{}, "token create --ttl 0s", fault.ExitUsage, []string{"field: --ttl"}},
		"no data dir":        {fakeMeshd{}, "raft recover --peer x --data-dir=", fault.ExitUsage, []string{"field: --data-dir"}},
		"no voters":          {fakeMeshd{}, "raft recover --data-dir /x", fault.ExitUsage, []string{"field: --peer"}},
		"problems":           {fakeMeshd{snapshot: withProblems()}, "status", fault.ExitProblems, nil},
		"problems in json":   {fakeMeshd{snapshot: withProblems()}, "status -o json", fault.ExitProblems, nil},
		"refused":            {fakeMeshd{err: refused()}, "init", fault.ExitRefused, []string{"error: 10.1.0.0/16 overlaps 10.1.0.0/16 of east\n  field: prefixes.pods[0]\n  remedy: choose prefixes that no other datacenter owns\n"}},
		"meshd starts":       {fakeMeshd{err: refusedAs(t, "starting")}, "services", fault.ExitNoLeader, nil},
		"refused join":       {fakeMeshd{err: refused(), steps: joinSteps()[:1]}, "join x", fault.ExitRefused, []string{"field: prefixes.pods[0]"}},
		"refused by raft":    {fakeMeshd{err: connect.NewError(connect.CodeFailedPrecondition, errors.New("north/gw1 is not a member"))}, "raft remove-peer north/gw1 --yes", fault.ExitRefused, []string{"error: north/gw1 is not a member\n"}},
		"no leader":          {fakeMeshd{err: connect.NewError(connect.CodeUnavailable, errors.New("no leader"))}, "services", fault.ExitNoLeader, []string{"error: no leader\n", "remedy: "}},
		"meshd times out":    {fakeMeshd{err: connect.NewError(connect.CodeDeadlineExceeded, errors.New("no quorum"))}, "services", fault.ExitNoLeader, []string{"--timeout"}},
		"no answer in time":  {fakeMeshd{hang: make(chan struct{})}, "services --timeout 50ms", fault.ExitNoLeader, []string{"error: no answer in time", "remedy: "}},
		"older meshd":        {fakeMeshd{err: connect.NewError(connect.CodeUnimplemented, errors.New("unimplemented"))}, "services", fault.ExitFailure, []string{"meshctl version"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := meshctl(t, &test.meshd, strings.Fields(test.args)...)
			assert.Equal(t, test.code, r.code, r.err)
			for _, want := range test.want {
				assert.Contains(t, r.err, want)
			}
			if test.code == fault.ExitUsage {
				assert.Empty(t, test.meshd.requests, "meshd gets no request")
				assert.Empty(t, r.out)
			}
		})
	}
}

func TestHelpListsAllExitCodes(t *testing.T) {
	help := meshctl(t, &fakeMeshd{}, "help", "exit-codes").out
	for code, meaning := range map[int]string{
		fault.ExitOK: "0  success", fault.ExitFailure: "1  failure", fault.ExitUsage: "2  wrong usage", fault.ExitProblems: "3  status", fault.ExitRefused: "4  refused",
		fault.ExitUnreachable: "5  meshd cannot be reached", fault.ExitNoLeader: "6  no leader", fault.ExitInterrupted: "130  interrupted",
	} {
		assert.Contains(t, help, meaning)
		assert.True(t, strings.HasPrefix(meaning, strconv.Itoa(code)+" "), meaning)
	}
}

func TestMissingSocketAndDeadMeshdHaveTheirOwnRemedies(t *testing.T) {
	directory := t.TempDir()
	none := func(string) string { return "" }
	r := runAt(t.Context(), none, "", "status", "--socket", filepath.Join(directory, "none.sock"))
	assert.Equal(t, fault.ExitUnreachable, r.code)
	assert.Contains(t, r.err, "remedy: start meshd on this host")

	dead := filepath.Join(directory, "dead.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	require.NoError(t, err)
	listener.SetUnlinkOnClose(false)
	require.NoError(t, listener.Close())
	r = runAt(t.Context(), none, "", "join", "token", "--socket", dead)
	assert.Equal(t, fault.ExitUnreachable, r.code)
	assert.Contains(t, r.err, "start meshd again")
}

func TestMeshdThatClosesTheConnectionIsUnreachable(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "meshd.sock")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_ = connection.Close()
		}
	}()
	r := runAt(t.Context(), func(string) string { return "" }, "", "init", "--socket", socket)
	assert.Equal(t, fault.ExitUnreachable, r.code, r.err)
	require.NoError(t, listener.Close())
	<-done
}

func TestInterruptHasItsOwnExitCode(t *testing.T) {
	for _, args := range [][]string{{"services"}, {"join", "-"}} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		socket := serve(t, &fakeMeshd{hang: make(chan struct{})})
		r := runAt(ctx, func(string) string { return "" }, "token", append(args, "--socket", socket)...)
		assert.Equal(t, fault.ExitInterrupted, r.code, args)
		assert.Equal(t, "error: interrupted\n", r.err, args)
	}
}

func TestInterruptedJoinStatesThatMeshdContinues(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := &fakeMeshd{hang: make(chan struct{}), steps: joinSteps()[:1], onStream: cancel}
	r := runAt(ctx, func(string) string { return "" }, "", "join", "token", "--socket", serve(t, o))
	assert.Equal(t, fault.ExitInterrupted, r.code)
	assert.Contains(t, r.err, "error: interrupted\n  remedy: check `meshctl status`: meshd continues the operation")
}

func TestWatchRefreshesUntilInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := &fakeMeshd{snapshot: withProblems()}
	o.onStatus = func(calls int) {
		if calls == 3 {
			cancel()
		}
	}
	r := runAt(ctx, func(string) string { return "" }, "", "status", "--watch", "--interval", "1ms", "--socket", serve(t, o))
	assert.Equal(t, fault.ExitOK, r.code, "Ctrl-C ends --watch without an error")
	assert.Equal(t, 2, strings.Count(r.out, "DATACENTER"))
	assert.Empty(t, r.err)
}

func TestSocketComesFromTheEnvironment(t *testing.T) {
	socket := serve(t, &fakeMeshd{snapshot: healthy()})
	getenv := func(name string) string { return map[string]string{"MESHWAY_SOCKET": socket}[name] }
	var out, errs strings.Builder
	assert.Equal(t, fault.ExitOK, newApp(getenv, strings.NewReader(""), &out, &errs).main(t.Context(), []string{"status"}), errs.String())
	assert.Contains(t, out.String(), "east/gw1 is a member of federation prod")
}
