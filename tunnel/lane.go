package tunnel

import "strings"

// Alias is the link alias (IFLA_IFALIAS, printed by "ip link show") of every interface
// that Meshway creates. Interfaces of others may have names of the same form.
const Alias = "meshway"

// IsLane reports whether device is the name of an interface of Meshway, given
// the prefix of their names: a number follows the prefix.
func IsLane(prefix, device string) bool {
	number, ok := strings.CutPrefix(device, prefix)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}
