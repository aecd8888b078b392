package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
)

// pseudoterminal opens a terminal of the given size (pty(7)). Each side reads what
// is written to the other.
func pseudoterminal(t *testing.T, columns, rows uint16) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, keyboard.Close()) })
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0))
	require.NoError(t, unix.IoctlSetWinsize(int(keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}))
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return keyboard, screen
}

// onTerminal runs meshctl on a terminal with typed input, and returns its output.
func onTerminal(t *testing.T, o *fakeMeshd, columns uint16, environment map[string]string, input string, args ...string) (code int, shown string) {
	t.Helper()
	socket := serve(t, o)
	keyboard, screen := pseudoterminal(t, columns, 24)
	_, err := keyboard.WriteString(input)
	require.NoError(t, err)
	var seen bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&seen, keyboard) // ends with EIO when the screen is closed
	}()
	a := newApp(func(name string) string { return environment[name] }, screen, screen, screen)
	a.now = func() time.Time { return noon }
	code = a.main(t.Context(), append([]string{"--socket", socket}, args...))
	require.NoError(t, screen.Close())
	<-read
	return code, strings.ReplaceAll(seen.String(), "\r\n", "\n")
}

func uncoloured(s string) string {
	return regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]").ReplaceAllString(s, "")
}

func TestStatusOfThreeDatacentersFitsOneScreen(t *testing.T) {
	for name, test := range map[string]struct {
		columns  uint16
		snapshot status.Snapshot
	}{
		"status-80-healthy": {80, healthy()}, "status-80-problems": {80, withProblems()},
		"status-60-problems": {60, withProblems()},
	} {
		t.Run(name, func(t *testing.T) {
			_, shown := onTerminal(t, &fakeMeshd{snapshot: test.snapshot}, test.columns, nil, "", "status", "--color", "never")
			golden(t, name, shown)
			if test.columns == 80 {
				assert.LessOrEqual(t, strings.Count(shown, "\n"), 23, "one line remains for the prompt")
			}
			for line := range strings.Lines(shown) {
				assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), int(test.columns), line)
			}
		})
	}
}

func TestTablesFitTheTerminal(t *testing.T) {
	o := func() *fakeMeshd {
		return &fakeMeshd{snapshot: healthy(), report: routesReport(), services: services(), exports: exports()}
	}
	for _, args := range [][]string{{"members"}, {"routes"}, {"services"}, {"token", "list"}, {"raft", "list-peers"}} {
		_, shown := onTerminal(t, o(), 72, nil, "", append(args, "--color", "never")...)
		for line := range strings.Lines(shown) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 72, line)
		}
	}
	for _, args := range [][]string{{"status"}, {"members"}, {"routes"}, {"services"}, {"token", "list"}, {"raft", "list-peers"}} {
		for line := range strings.Lines(meshctl(t, o(), args...).out) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), defaultWidth, "%s to a pipe: %s", args, line)
		}
	}
	_, shown := onTerminal(t, o(), 72, nil, "", "services", "-o", "wide")
	assert.Contains(t, shown, "app=web,version=2", "wide truncates nothing")
}

func TestOutputOnATerminalIsColouredUnlessDisabled(t *testing.T) {
	shown := func(environment map[string]string, args ...string) string {
		_, shown := onTerminal(t, &fakeMeshd{snapshot: withProblems()}, 80, environment, "", append([]string{"status"}, args...)...)
		return shown
	}
	assert.Contains(t, shown(nil), "\x1b[31m")
	assert.NotContains(t, shown(nil, "--color", "never"), "\x1b")
	assert.NotContains(t, shown(map[string]string{"NO_COLOR": "1"}), "\x1b")
	assert.NotContains(t, shown(map[string]string{"TERM": "dumb"}), "\x1b")
	assert.NotContains(t, shown(nil, "-o", "json"), "\x1b")
}

func TestJoinOnATerminalLeavesOneLineForEachStep(t *testing.T) {
	code, shown := onTerminal(t, &fakeMeshd{steps: joinSteps()}, 80, nil, "", "join", "token")
	require.Equal(t, fault.ExitOK, code)
	assert.Contains(t, uncoloured(shown), "✓ verified east/gw1 by the pin in the token  0 s\n")
	assert.Equal(t, 3, strings.Count(shown, "✓"))
	assert.Equal(t, 4, strings.Count(shown, "\n"), "three steps and the hint")

	code, shown = onTerminal(t, &fakeMeshd{steps: joinSteps()[:2], err: refused()}, 80, nil, "", "join", "token")
	assert.Equal(t, fault.ExitRefused, code)
	assert.Contains(t, uncoloured(shown), "✓ admitted to federation prod as west  0 s\n")
	assert.Contains(t, uncoloured(shown), "\r✗ joining  0 s\nerror: 10.1.0.0/16 overlaps")
}

func TestSpinnerLineNeverWraps(t *testing.T) {
	step := &controlpb.Progress{Message: strings.Repeat("long ", 40), Done: true}
	_, shown := onTerminal(t, &fakeMeshd{steps: []*controlpb.Progress{step}}, 40, nil, "", "join", "token")
	for frame := range strings.SplitSeq(uncoloured(shown), "\r") {
		first, _, _ := strings.Cut(frame, "\n")
		assert.Less(t, utf8.RuneCountInString(first), 40, first)
	}
}

func TestOnlyATypedYesConfirms(t *testing.T) {
	for typed, want := range map[string]int{"yes\n": fault.ExitOK, "y\n": fault.ExitFailure, "\n": fault.ExitFailure, "no\n": fault.ExitFailure} {
		o := &fakeMeshd{}
		code, shown := onTerminal(t, o, 80, nil, typed, "raft", "remove-peer", "west/gw1")
		assert.Equal(t, want, code, typed)
		assert.Contains(t, shown, "removing west/gw1 from the catalog: type yes to continue:")
		assert.Equal(t, want == fault.ExitOK, len(o.requests) == 1, typed)
	}
}

func TestTokenCanBePastedOnATerminal(t *testing.T) {
	o := &fakeMeshd{steps: joinSteps()}
	code, _ := onTerminal(t, o, 80, nil, secretToken+"\n", "join", "-")
	require.Equal(t, fault.ExitOK, code)
	assert.Equal(t, secretToken, o.requests[0].(*controlpb.JoinFederationRequest).GetToken())
}

func TestInterruptEndsAPromptAtOnce(t *testing.T) {
	_, screen := pseudoterminal(t, 80, 24)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := newApp(func(string) string { return "" }, screen, io.Discard, io.Discard)
	assert.Equal(t, fault.ExitInterrupted, a.main(ctx, []string{"leave"}))
}

func TestSnapshotIsNotWrittenToATerminal(t *testing.T) {
	code, shown := onTerminal(t, &fakeMeshd{}, 80, nil, "", "snapshot", "save", "-")
	assert.Equal(t, fault.ExitUsage, code)
	assert.Contains(t, shown, "redirect stdout")
}

func TestWatchOnATerminalRedrawsAndContinuesAfterErrors(t *testing.T) {
	keyboard, screen := pseudoterminal(t, 80, 24)
	ctx, cancel := context.WithCancel(t.Context())
	o := &fakeMeshd{snapshot: healthy()}
	o.onStatus = func(calls int) {
		o.err = map[bool]error{true: connect.NewError(connect.CodeUnavailable, io.EOF)}[calls == 1]
		if calls == 3 {
			cancel()
		}
	}
	socket := serve(t, o)
	var seen bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&seen, keyboard)
	}()
	a := newApp(func(string) string { return "" }, screen, screen, screen)
	assert.Equal(t, fault.ExitOK, a.main(ctx, []string{"status", "-w", "--interval", "1ms", "--socket", socket}))
	require.NoError(t, screen.Close())
	<-read
	frames := slices.DeleteFunc(strings.Split(seen.String(), "\x1b[H\x1b[2J\x1b[3J"), func(s string) bool { return s == "" })
	require.GreaterOrEqual(t, len(frames), 2)
	assert.Contains(t, uncoloured(frames[0]), "error: EOF")
	assert.Contains(t, frames[1], "DATACENTER")
}

func TestRemovingADatacenterShowsTheEffectsAndNeedsConfirmation(t *testing.T) {
	for name, test := range map[string]struct {
		input string
		code  int
		sent  bool // the request reaches meshd
	}{
		"yes": {"yes\n", fault.ExitOK, true}, "no": {"no\n", fault.ExitFailure, false}, "return": {"\n", fault.ExitFailure, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := &fakeMeshd{snapshot: withProblems()}
			code, shown := onTerminal(t, o, 100, nil, test.input, "datacenter", "remove", "west", "--color", "never")
			assert.Equal(t, test.code, code, shown)
			for _, want := range []string{"released: its name, 10.2.0.0/16 pod\n", "its 2 services", "trust ends", "removed from Raft: west/gw1 (voter)\n", "type yes to continue"} {
				assert.Contains(t, shown, want)
			}
			assert.NotContains(t, shown, "reachable now", "west is unreachable")
			_, sent := o.requests[len(o.requests)-1].(*controlpb.RemoveDatacenterRequest)
			assert.Equal(t, test.sent, sent)
		})
	}
	_, shown := onTerminal(t, &fakeMeshd{snapshot: healthy()}, 100, nil, "no\n", "datacenter", "remove", "west")
	assert.Contains(t, shown, "reachable now: prefer `meshctl leave`")
}
