package human

import (
	"strings"
	"unicode/utf8"
)

// Wrap joins pieces with the separator into lines of at most width columns,
// the first after head, the others indented as far as head is long. A piece
// is never broken; width 0 gives one line.
func Wrap(head string, pieces []string, separator string, width int) string {
	indent := strings.Repeat(" ", utf8.RuneCountInString(head))
	line, lines := head, []string(nil)
	for n, piece := range pieces {
		piece = Clean(piece)
		if n == 0 {
			line += piece
			continue
		}
		next := line + separator + piece
		if width > 0 && utf8.RuneCountInString(next) > width {
			lines = append(lines, strings.TrimRight(line, " "))
			line = indent + piece
			continue
		}
		line = next
	}
	return strings.Join(append(lines, strings.TrimRight(line, " ")), "\n")
}

// WrapWords breaks a sentence between its words; see Wrap.
func WrapWords(head, sentence string, width int) string {
	return Wrap(head, strings.Fields(Clean(sentence)), " ", width)
}
