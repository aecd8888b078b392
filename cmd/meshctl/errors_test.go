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
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refused is how meshd tells that the catalog said no.
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

func TestExitCodesTellScriptsWhatHappened(t *testing.T) {
	for name, test := range map[string]struct {
		operator operator
		args     string
		code     int
		says     []string
	}{
		"ok":                 {operator{snapshot: healthy()}, "status", exitOK, nil},
		"warnings are ok":    {operator{snapshot: warned()}, "status", exitOK, nil},
		"failure":            {operator{err: connect.NewError(connect.CodeInternal, errors.New("disk is full"))}, "init", exitFailure, []string{"error: disk is full\n"}},
		"nothing registered": {operator{}, "service deregister web", exitFailure, []string{"field: NAME", "remedy: `meshctl services`"}},
		"missing file":       {operator{}, "snapshot restore /no/such/file --yes", exitFailure, []string{"field: FILE"}},
		"node, no context":   {operator{}, "status --node n1", exitUsage, []string{"--node needs --context"}},
		"unknown command":    {operator{}, "statsu", exitUsage, []string{"did you mean `meshctl status`?"}},
		"nearest command":    {operator{}, "raft remove-pear", exitUsage, []string{"did you mean `meshctl raft remove-peer`?"}},
		"other word":         {operator{}, "raft peers", exitUsage, []string{"did you mean `meshctl raft list-peers`?"}},
		"unknown subcommand": {operator{}, "raft list-pers", exitUsage, []string{"did you mean `meshctl raft list-peers`?"}},
		"unknown flag":       {operator{}, "services --namespac x", exitUsage, []string{"unknown flag --namespac\n", "did you mean --namespace?"}},
		"unknown short flag": {operator{}, "services -z", exitUsage, []string{"unknown flag -z\n"}},
		"bad flag value":     {operator{}, "services --read newest", exitUsage, []string{"must be one of stale, lease, consistent", "field: --read"}},
		"missing argument":   {operator{}, "token revoke", exitUsage, []string{"error: meshctl token revoke needs the id of a token\n", "usage: meshctl token revoke ID"}},
		"spare argument":     {operator{}, "status now", exitUsage, []string{"error: meshctl status takes no arguments, 1 given\n"}},
		"no token":           {operator{}, "join", exitUsage, []string{"remedy: `meshctl token create`"}},
		"empty token":        {operator{}, "join -", exitUsage, []string{"the token is empty"}},
		"bad address":        {operator{}, "routes 10.0.0", exitUsage, []string{"field: ADDRESS"}},
		"bad service":        {operator{}, "service register web --address x --port 80", exitUsage, []string{"field: --address"}},
		"no port":            {operator{}, "service register web --address 10.0.0.1", exitUsage, []string{"field: --port"}},
		"bad ttl":            {operator{}, "token create --ttl 0s", exitUsage, []string{"field: --ttl"}},
		"no data dir":        {operator{}, "raft recover --peer x --data-dir=", exitUsage, []string{"field: --data-dir"}},
		"no survivors":       {operator{}, "raft recover --data-dir /x", exitUsage, []string{"field: --peer"}},
		"problems":           {operator{snapshot: troubled()}, "status", exitProblems, nil},
		"problems in json":   {operator{snapshot: troubled()}, "status -o json", exitProblems, nil},
		"refused":            {operator{err: refused()}, "init", exitRefused, []string{"error: 10.1.0.0/16 overlaps 10.1.0.0/16 of east\n  field: prefixes.pods[0]\n  remedy: choose prefixes that no other datacenter owns\n"}},
		"refused join":       {operator{err: refused(), steps: joinSteps()[:1]}, "join x", exitRefused, []string{"field: prefixes.pods[0]"}},
		"refused by raft":    {operator{err: connect.NewError(connect.CodeFailedPrecondition, errors.New("north/gw1 is not a member"))}, "raft remove-peer north/gw1 --yes", exitRefused, []string{"error: north/gw1 is not a member\n"}},
		"no leader":          {operator{err: connect.NewError(connect.CodeUnavailable, errors.New("no leader"))}, "services", exitNoLeader, []string{"error: no leader\n", "remedy: "}},
		"meshd times out":    {operator{err: connect.NewError(connect.CodeDeadlineExceeded, errors.New("no quorum"))}, "services", exitNoLeader, []string{"--timeout"}},
		"no answer in time":  {operator{hang: make(chan struct{})}, "services --timeout 50ms", exitNoLeader, []string{"error: no answer in time", "remedy: "}},
		"older meshd":        {operator{err: connect.NewError(connect.CodeUnimplemented, errors.New("unimplemented"))}, "services", exitFailure, []string{"meshctl version"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := meshctl(t, &test.operator, strings.Fields(test.args)...)
			assert.Equal(t, test.code, r.code, r.err)
			for _, says := range test.says {
				assert.Contains(t, r.err, says)
			}
			if test.code == exitUsage {
				assert.Empty(t, test.operator.asked, "wrong usage reaches meshd")
				assert.Empty(t, r.out)
			}
		})
	}
}

func TestExitCodesAreThoseThatHelpStates(t *testing.T) {
	help := meshctl(t, &operator{}, "help", "exit-codes").out
	for code, meaning := range map[int]string{
		exitOK: "0  done", exitFailure: "1  failed", exitUsage: "2  wrong usage", exitProblems: "3  status", exitRefused: "4  refused",
		exitUnreachable: "5  meshd cannot be reached", exitNoLeader: "6  no leader", exitInterrupted: "130  interrupted",
	} {
		assert.Contains(t, help, meaning)
		assert.True(t, strings.HasPrefix(meaning, strconv.Itoa(code)+" "), meaning)
	}
}

func TestMeshdThatIsNotThereIsToldFromOneThatIsDead(t *testing.T) {
	directory := t.TempDir()
	none := func(string) string { return "" }
	r := runAt(t.Context(), none, "", "status", "--socket", filepath.Join(directory, "none.sock"))
	assert.Equal(t, exitUnreachable, r.code)
	assert.Contains(t, r.err, "remedy: start meshd on this host")

	dead := filepath.Join(directory, "dead.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	require.NoError(t, err)
	listener.SetUnlinkOnClose(false)
	require.NoError(t, listener.Close())
	r = runAt(t.Context(), none, "", "join", "token", "--socket", dead)
	assert.Equal(t, exitUnreachable, r.code)
	assert.Contains(t, r.err, "start meshd again")
}

func TestMeshdThatHangsUpIsNotReachable(t *testing.T) {
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
	assert.Equal(t, exitUnreachable, r.code, r.err)
	require.NoError(t, listener.Close())
	<-done
}

func TestInterruptIsCleanAndHasItsOwnCode(t *testing.T) {
	for _, args := range [][]string{{"services"}, {"join", "-"}} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		socket := serve(t, &operator{hang: make(chan struct{})})
		r := runAt(ctx, func(string) string { return "" }, "token", append(args, "--socket", socket)...)
		assert.Equal(t, exitInterrupted, r.code, args)
		assert.Equal(t, "error: interrupted\n", r.err, args)
	}
}

func TestInterruptedJoinSaysThatMeshdGoesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := &operator{hang: make(chan struct{}), steps: joinSteps()[:1], onStream: cancel}
	r := runAt(ctx, func(string) string { return "" }, "", "join", "token", "--socket", serve(t, o))
	assert.Equal(t, exitInterrupted, r.code)
	assert.Contains(t, r.err, "error: interrupted\n  remedy: what has begun goes on in meshd")
}

func TestWatchLooksAgainUntilItIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := &operator{snapshot: troubled()}
	o.onStatus = func(calls int) {
		if calls == 3 {
			cancel()
		}
	}
	r := runAt(ctx, func(string) string { return "" }, "", "status", "--watch", "--interval", "1ms", "--socket", serve(t, o))
	assert.Equal(t, exitOK, r.code, "Ctrl-C is the regular end")
	assert.Equal(t, 2, strings.Count(r.out, "DATACENTER"))
	assert.Empty(t, r.err)
}

func TestSocketComesFromTheEnvironment(t *testing.T) {
	socket := serve(t, &operator{snapshot: healthy()})
	getenv := func(name string) string { return map[string]string{"MESHWAY_SOCKET": socket}[name] }
	var out, errs strings.Builder
	assert.Equal(t, exitOK, run(t.Context(), []string{"status"}, getenv, strings.NewReader(""), &out, &errs), errs.String())
	assert.Contains(t, out.String(), "east/gw1 is a member of federation prod")
}

func TestPortsAreReadAsWritten(t *testing.T) {
	for text, want := range map[string]*catalogpb.Port{
		"80": {Protocol: "tcp", Number: 80}, "53/udp": {Protocol: "udp", Number: 53},
		"http:8080/tcp": {Name: "http", Protocol: "tcp", Number: 8080}, "a:65535": {Name: "a", Protocol: "tcp", Number: 65535},
		"": nil, "0": nil, "65536": nil, "80/sctp": nil, "80/": nil, ":80": nil, "http": nil, "-1": nil, "+80": nil, "80/TCP": nil, "a:b:80": nil,
	} {
		got, err := parsePort(text)
		if want == nil {
			assert.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		assert.Equal(t, want.String(), got.String(), text)
	}
}
