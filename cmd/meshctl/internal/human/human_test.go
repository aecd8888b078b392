package human

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDurationsAreInOneUnit(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 s",
		400 * time.Microsecond:  "0.4 ms",
		12 * time.Millisecond:   "12 ms",
		999 * time.Millisecond:  "999 ms",
		3900 * time.Millisecond: "3 s",
		59 * time.Second:        "59 s",
		90 * time.Second:        "1 min",
		3 * time.Hour:           "3 h",
		47 * time.Hour:          "47 h",
		96 * time.Hour:          "4 d",
	} {
		assert.Equal(t, want, Duration(d), d)
	}
}

func TestAgoOfZeroTimeIsNever(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	assert.Equal(t, "never", Ago(now, time.Time{}))
	assert.Equal(t, "3 s ago", Ago(now, now.Add(-3*time.Second)))
}

func TestSizesAndCountsStateTheirUnit(t *testing.T) {
	assert.Equal(t, []string{"0 B", "1023 B", "1.0 KiB", "1.5 MiB"},
		[]string{Bytes(0), Bytes(1023), Bytes(1024), Bytes(3 << 19)})
	assert.Equal(t, []string{"0 %", "<1 %", "5 %", "100 %"},
		[]string{Percent(0), Percent(0.001), Percent(0.05), Percent(1)})
	assert.Equal(t, []string{"1 error", "0 errors"}, []string{Count(1, "error"), Count(0, "error")})
}

func fixture() Table {
	return Table{
		Columns: []Column{{Title: "NAME", Min: 6}, {Title: "RTT", Right: true}, {Title: "ENDPOINT", Min: 8, Drop: 1}},
		Rows: [][]Cell{
			{{Text: "east"}, {Text: "3 ms"}, {Text: "192.0.2.13:51820"}},
			{{Text: "north-of-all", Color: Bad}, {Text: "120 ms"}, {Text: "[2001:db8::1]:51820"}},
		},
	}
}

func render(t *testing.T, table Table, width int, paint Painter) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, table.Fprint(&b, width, paint))
	return b.String()
}

func TestTableFitsTheWidthItIsGiven(t *testing.T) {
	full := render(t, fixture(), 0, false)
	assert.Contains(t, full, "[2001:db8::1]:51820")
	assert.NotContains(t, full, "…")
	for width := 14; width < 60; width++ {
		for line := range strings.Lines(render(t, fixture(), width, false)) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimRight(line, "\n")), width, line)
		}
	}
}

func TestNarrowTableTruncatesTheWidestFlexibleColumnThenDropsColumns(t *testing.T) {
	assert.Equal(t, ""+
		"NAME           RTT ENDPOINT\n"+
		"east          3 ms 192.0.2.13:…\n"+
		"north-of-a… 120 ms [2001:db8::…\n", render(t, fixture(), 31, false))
	assert.Equal(t, ""+
		"NAME         RTT\n"+
		"east        3 ms\n"+
		"north-of… 120 ms\n", render(t, fixture(), 16, false))
}

func TestColourDoesNotMoveColumns(t *testing.T) {
	painted := render(t, fixture(), 0, true)
	assert.Contains(t, painted, "\x1b[31mnorth-of-all\x1b[0m")
	plain := painted
	for _, code := range []string{"\x1b[31m", "\x1b[2m", "\x1b[0m"} {
		plain = strings.ReplaceAll(plain, code, "")
	}
	assert.Equal(t, render(t, fixture(), 0, false), plain)
}

func TestReceivedTextCannotControlTheTerminal(t *testing.T) {
	table := Table{Columns: []Column{{Title: "NAME"}}, Rows: [][]Cell{Text("a\x1b[2Jb\nc")}}
	assert.Equal(t, "NAME\na?[2Jb c\n", render(t, table, 0, false))
}

func TestWrapKeepsPiecesWhole(t *testing.T) {
	assert.Equal(t, "catalog  leader here · term 4\n         index 9",
		Wrap("catalog  ", Text("leader here", "term 4", "index 9"), " · ", 30, false))
	assert.Equal(t, "a  b c", WrapWords("a  ", "b\nc", 0))
}
