package config

import "strings"

// nearest finds the word that was likely meant: a third of it, or one letter of
// a short one, may be wrong. Of equally near ones the first is taken.
func nearest(word string, known []string) (string, bool) {
	best, distance := "", 0
	for _, k := range known {
		d := editDistance(strings.ToLower(word), strings.ToLower(k))
		if best == "" || d < distance {
			best, distance = k, d
		}
	}
	return best, best != "" && distance <= max(1, len(best)/3) && distance < len(best)
}

// editDistance counts the letters to insert, delete, replace or swap with
// their neighbour (optimal string alignment).
func editDistance(a, b string) int {
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
