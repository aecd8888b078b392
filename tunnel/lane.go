package tunnel

import "strings"

// IsLane reports whether device is the name of an interface of Meshway, given
// the prefix of their names: a number follows the prefix.
func IsLane(prefix, device string) bool {
	number, ok := strings.CutPrefix(device, prefix)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}
