// Package suggest finds the known names that a misspelled word may stand for.
package suggest

import "strings"

// Nearest returns the known name with the fewest edits from word, ignoring
// case; of equally near names the first. It returns false if the nearest name
// needs more edits than a third of its length, or than one if it is short.
func Nearest(word string, known []string) (string, bool) {
	nearest, least := "", 0
	for _, name := range known {
		edits := distance(strings.ToLower(word), strings.ToLower(name))
		if nearest == "" || edits < least {
			nearest, least = name, edits
		}
	}
	return nearest, nearest != "" && least <= allowance(nearest) && least < len(nearest)
}

// Similar returns, in their order, the known names that are one or two edits
// from word, depending on their length, and those of which one is a prefix of
// the other. It respects case.
func Similar(word string, known []string) []string {
	var similar []string
	for _, name := range known {
		most := min(2, allowance(name))
		begins := word != "" && (strings.HasPrefix(name, word) || strings.HasPrefix(word, name))
		if begins || len(word) <= len(name)+most && distance(word, name) <= most {
			similar = append(similar, name)
		}
	}
	return similar
}

// allowance is the number of edits after which a word no longer resembles name.
func allowance(name string) int { return max(1, len(name)/3) }

// distance counts the bytes to insert, delete, replace or swap with their
// neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
