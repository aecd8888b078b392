// Package command owns what the commands of meshctl have in common before they run: the
// checks of their arguments, suggestions for a wrong word, and the flag --read.
package command
