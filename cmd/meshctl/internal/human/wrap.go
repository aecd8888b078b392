package human

import (
	"strings"
	"unicode/utf8"
)

// Wrap joins pieces with the separator into lines of at most width columns. The
// first line begins with head, the others are indented by its length. A piece is
// never broken; width 0 gives one line.
func Wrap(head string, pieces []Cell, separator string, width int, paint Painter) string {
	indent := utf8.RuneCountInString(head)
	var b strings.Builder
	b.WriteString(head)
	column := indent
	for n, piece := range pieces {
		text := Clean(piece.Text)
		length := utf8.RuneCountInString(text)
		switch gap := utf8.RuneCountInString(separator); {
		case n == 0:
		case width > 0 && column+gap+length > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteString(separator)
			column += gap
		}
		b.WriteString(paint.Paint(piece.Color, text))
		column += length
	}
	return b.String()
}

// WrapWords is Wrap with the words of a sentence as pieces.
func WrapWords(head, sentence string, width int) string {
	return Wrap(head, Text(strings.Fields(Clean(sentence))...), " ", width, false)
}
