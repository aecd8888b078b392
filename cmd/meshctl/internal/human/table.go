package human

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Column is one column of a Table.
type Column struct {
	Title string
	Right bool // numbers: aligned to the right
	// Min is the smallest width to which the column may be truncated; 0 means
	// that it is never truncated.
	Min int
	// Drop ranks the columns that are dropped when truncation does not suffice,
	// 1 first; 0 means never.
	Drop int
}

// Cell is one text in a Table.
type Cell struct {
	Text  string
	Color Color
}

// Text returns cells without colour.
func Text(texts ...string) []Cell {
	cells := make([]Cell, 0, len(texts))
	for _, text := range texts {
		cells = append(cells, Cell{Text: text})
	}
	return cells
}

// Table has a title line and one line for each row.
type Table struct {
	Columns []Column
	Rows    [][]Cell // each as long as Columns
}

// Fprint writes the table to at most width columns; 0 is without limit.
func (t Table) Fprint(w io.Writer, width int, paint Painter) error {
	shown, widths, gap := t.layout(width)
	lines := []string{t.line(t.titles(), shown, widths, gap, paint)}
	for _, row := range t.Rows {
		lines = append(lines, t.line(row, shown, widths, gap, paint))
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

func (t Table) titles() []Cell {
	cells := make([]Cell, 0, len(t.Columns))
	for _, column := range t.Columns {
		cells = append(cells, Cell{Text: column.Title, Color: Dim})
	}
	return cells
}

// layout chooses the columns, their widths and the gap between them. If the table
// is too wide it first reduces the gap from 2 to 1, then truncates the columns with
// Min (the widest first), then drops columns.
func (t Table) layout(limit int) (shown, widths []int, gap int) {
	widths = t.natural()
	for i := range t.Columns {
		shown = append(shown, i)
	}
	for {
		if limit <= 0 || total(shown, widths, 2) <= limit {
			return shown, widths, 2
		}
		if fitted, ok := t.shrink(shown, widths, limit); ok {
			return shown, fitted, 1
		}
		drop := t.nextDrop(shown)
		if drop < 0 {
			fitted, _ := t.shrink(shown, widths, limit)
			return shown, fitted, 1
		}
		shown = slices.DeleteFunc(shown, func(i int) bool { return i == drop })
	}
}

// natural returns the widths of the columns without truncation.
func (t Table) natural() []int {
	widths := make([]int, len(t.Columns))
	for i, column := range t.Columns {
		widths[i] = utf8.RuneCountInString(column.Title)
		for _, row := range t.Rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].Text))
		}
	}
	return widths
}

func total(shown, widths []int, gap int) int {
	sum := gap * (len(shown) - 1)
	for _, i := range shown {
		sum += widths[i]
	}
	return sum
}

// shrink truncates columns until the line fits with gaps of one. It returns false
// if the line does not fit.
func (t Table) shrink(shown, widths []int, limit int) ([]int, bool) {
	widths = slices.Clone(widths)
	for total(shown, widths, 1) > limit {
		widest := -1
		for _, i := range shown {
			flexible := t.Columns[i].Min > 0 && widths[i] > t.Columns[i].Min
			if flexible && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return widths, false
		}
		widths[widest]--
	}
	return widths, true
}

// nextDrop returns the index of the column to drop next, or -1.
func (t Table) nextDrop(shown []int) int {
	next := -1
	for _, i := range shown {
		rank := t.Columns[i].Drop
		if rank > 0 && (next < 0 || rank < t.Columns[next].Drop) {
			next = i
		}
	}
	return next
}

func (t Table) line(row []Cell, shown, widths []int, gap int, paint Painter) string {
	var b strings.Builder
	for n, i := range shown {
		text := Truncate(Clean(row[i].Text), widths[i])
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
		painted := paint.Paint(row[i].Color, text)
		last := n == len(shown)-1
		switch {
		case t.Columns[i].Right:
			b.WriteString(pad + painted)
		case last:
			b.WriteString(painted)
		default:
			b.WriteString(painted + pad)
		}
		if !last {
			b.WriteString(strings.Repeat(" ", gap))
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// Truncate shortens s to at most width columns, ending it with … when something is cut.
func Truncate(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	if width <= 1 {
		return "…"
	}
	return string([]rune(s)[:width-1]) + "…"
}
